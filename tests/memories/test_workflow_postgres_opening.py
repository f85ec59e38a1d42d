"""Opening a memory on Postgres: addresses, schemas, and what can be wrong with either."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.memories.making import a_query, a_workflow, credit, ids, keep
from tests.memories.postgres_server import PASSWORD, address_of, sql
from ulid import ULID

from mia.errors import ConfigError, MIAError, StoreError
from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.postgres_schema import MIGRATIONS, migrate
from mia.memories.workflow.records import Source

WRONG = "hunter2-is-wrong"


def told(address: str, password: str | None = None) -> str:
    """What somebody is told who opens an address that is no good: one line without a password."""
    with pytest.raises(MIAError) as error:
        PostgresStore(address, password=password)
    said = str(error.value)
    assert "\n" not in said
    shown = f"{said} {error.value.__cause__!r} {error.value.__context__!r}"
    assert PASSWORD not in shown and WRONG not in shown
    return said


def name_of(address: str) -> str:
    return str(conninfo_to_dict(address)["dbname"])


def test_an_address_is_shown_without_its_password(postgres: str) -> None:
    with PostgresStore(postgres) as store:
        known = conninfo_to_dict(postgres)
        place = f"{known['host']}:{known['port']}/{known['dbname']}"
        assert store.where == f"postgresql://{known['user']}@{place}"
        assert str(known["password"]) not in repr(vars(store))


def test_a_password_may_come_from_elsewhere_and_the_address_has_the_last_word(
    postgres: str,
) -> None:
    password = str(conninfo_to_dict(postgres)["password"])
    without = postgres.replace(f":{password}@", "@")
    with PostgresStore(without, password=password) as store:
        assert store.count() == 0
    with PostgresStore(postgres, password=WRONG) as store:
        assert store.count() == 0


def test_a_wrong_password_is_said_in_one_line(postgres: str) -> None:
    name = name_of(postgres)
    assert "password authentication failed" in told(address_of(postgres, name, password=WRONG))


def test_a_server_that_is_down_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"postgresql://mia:{WRONG}@127.0.0.1:{taken.getsockname()[1]}/db"
        said = told(address)
    assert "refused" in said and said.startswith("the memory in postgresql://mia@127.0.0.1:")


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://mia:{WRONG}@[host/db",
        f"password={WRONG} {WRONG}",
        f"postgresql://mia:{WRONG}%zz@host/db",
    ],
)
def test_what_is_no_address_is_not_repeated(address: str) -> None:
    said = told(address)
    assert "should look like postgresql://user@host/db" in said


def test_a_database_that_is_not_there_is_named(postgres: str) -> None:
    assert '"nowhere" does not exist' in told(address_of(postgres, "nowhere"))


@pytest.fixture
def plain(postgres: str, server_address: str) -> Iterator[str]:
    """The same database for somebody who owns it and is no administrator."""
    role = f"plain_{ULID()}".lower()
    sql(server_address, f"CREATE ROLE {role} LOGIN PASSWORD 'plain'")
    sql(server_address, f"ALTER DATABASE {name_of(postgres)} OWNER TO {role}")
    yield address_of(postgres, name_of(postgres), user=role, password="plain")
    sql(postgres, f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}")
    sql(server_address, f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}")
    sql(server_address, f"DROP ROLE {role}")


def test_a_database_without_pgvector_is_said_with_what_to_do(postgres: str, plain: str) -> None:
    said = told(plain)
    assert "has no pgvector" in said and said.endswith("run: CREATE EXTENSION vector")
    assert sql(postgres, "SELECT to_regnamespace('mia') IS NULL") == [(True,)]
    sql(postgres, "CREATE EXTENSION vector")
    with PostgresStore(plain) as store:
        keep(store, a_workflow())
        assert ids(store, a_query(1)) == ["w1"]
        assert store.check() == 1


def test_pgvector_may_lie_in_any_schema(postgres: str) -> None:
    sql(postgres, 'CREATE SCHEMA "Odd One"')
    sql(postgres, 'CREATE EXTENSION vector SCHEMA "Odd One"')
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
        assert ids(store, a_query(1)) == ["w1"]


def test_who_may_not_create_schemas_can_be_given_one(
    postgres: str, plain: str, server_address: str
) -> None:
    role = conninfo_to_dict(plain)["user"]
    sql(server_address, f"ALTER DATABASE {name_of(postgres)} OWNER TO current_user")
    sql(postgres, "CREATE EXTENSION vector")
    assert "permission denied" in told(plain)
    sql(postgres, f"CREATE SCHEMA mia AUTHORIZATION {role}")
    with PostgresStore(plain) as store:
        keep(store, a_workflow())
        assert store.check() == 1


def test_a_schema_of_a_newer_version_is_refused_and_left_alone(postgres: str) -> None:
    PostgresStore(postgres).close()
    sql(postgres, "UPDATE about SET version = 99")
    assert "newer MIA (schema 99" in (said := told(postgres)) and "pip install" not in said
    assert sql(postgres, "SELECT version FROM about") == [(99,)]


@pytest.mark.parametrize("table", ["workflows", "about"])
def test_a_schema_of_another_program_is_refused_and_left_alone(postgres: str, table: str) -> None:
    sql(postgres, "CREATE SCHEMA mia")
    sql(postgres, f"CREATE TABLE mia.{table} (application BIGINT, version BIGINT)")
    sql(postgres, f"INSERT INTO mia.{table} VALUES (7, 1)")
    assert "another program" in told(postgres)
    assert sql(postgres, "SELECT count(*) FROM pg_tables WHERE schemaname = 'mia'") == [(1,)]


def test_many_may_open_an_empty_database_at_once(postgres: str) -> None:
    stores: list[PostgresStore] = []
    ready = threading.Barrier(6)

    def open_it() -> None:
        ready.wait()
        stores.append(PostgresStore(postgres))

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 6
    for number, store in enumerate(stores):
        keep(store, a_workflow(f"w{number}"))
    assert stores[0].check() == 6
    for store in stores:
        store.close()


def upgraded(address: str, *steps: str) -> None:
    with psycopg.connect(address, autocommit=True) as db:
        migrate(db, "the database", (*MIGRATIONS, steps))


def test_a_migration_loses_nothing(postgres: str) -> None:
    with PostgresStore(postgres) as store:
        workflow = keep(store, a_workflow())
        credit(store, "w1")
    upgraded(postgres, "ALTER TABLE workflows ADD COLUMN mood TEXT")
    assert sql(postgres, "SELECT id, mood FROM workflows") == [("w1", None)]
    assert sql(postgres, "SELECT version FROM about") == [(len(MIGRATIONS) + 1,)]
    sql(postgres, f"UPDATE about SET version = {len(MIGRATIONS)}")
    with PostgresStore(postgres) as store:
        kept = store.get("w1")
        assert kept is not None
        assert (kept.plan, kept.uses) == (workflow.plan, 1)
        assert store.check() == 1


def test_sources_of_version_1_are_read_from_the_log(postgres: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as db:
        migrate(db, "the database", MIGRATIONS[:1])
        assert db.execute("SELECT to_regclass('mia.sources') IS NULL").fetchone() == (False,)
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
        store.write(lambda rows: rows.merge("w1", Source(episode="another")))
        sources = store.read(lambda rows: rows.sources("w1"))
        assert {source.episode for source in sources} == {"episode of w1", "another"}
        assert store.scrub()
    assert sql(postgres, "SELECT to_regclass('mia.sources') IS NULL") == [(True,)]


def test_a_migration_that_fails_leaves_everything_as_it_was(postgres: str) -> None:
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
    with pytest.raises(psycopg.Error):
        upgraded(postgres, "ALTER TABLE workflows ADD COLUMN mood TEXT", "NONSENSE")
    with PostgresStore(postgres) as store:
        assert store.check() == 1
    with pytest.raises(psycopg.Error, match="mood"):
        sql(postgres, "SELECT mood FROM workflows")


def test_a_memory_that_was_upgraded_meanwhile_is_refused_by_new_connections(postgres: str) -> None:
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
        sql(postgres, "UPDATE about SET version = 99")
        with pytest.raises(StoreError, match="newer MIA"):
            store.count()


def test_a_closed_store_says_so(postgres: str) -> None:
    store = PostgresStore(postgres)
    store.close()
    store.close()
    for attempt in (store.count, store.check, lambda: keep(store, a_workflow())):
        with pytest.raises(StoreError, match="closed"):
            attempt()


def test_an_address_error_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        PostgresStore("nonsense")
