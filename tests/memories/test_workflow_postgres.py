"""The store on Postgres: what it promises beyond what every store does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test
from tests.memories.making import EMBEDDER, a_query, a_workflow, credit, found_by, ids, keep
from tests.memories.postgres_server import PASSWORD, Server, address_of, empty, sql
from tests.memories.test_workflow_index import (
    Stored,
    assert_same,
    by_the_rules,
    put_all,
    queries,
    stores,
)
from tests.memories.test_workflow_machine import Stores

from mia.errors import InputError, StoreError
from mia.memories.workflow.bucket import SLACK
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.postgres_best import scores
from mia.memories.workflow.records import Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Query
from mia.memory import Weights, score


@pytest.fixture
def store(emptied: str) -> Iterator[PostgresStore]:
    with PostgresStore(emptied) as opened:
        yield opened


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stored=stores(), asked=st.lists(queries(), min_size=1, max_size=6))
def test_the_best_are_those_of_the_rules(
    emptied: str, store: PostgresStore, stored: list[Stored], asked: list[Query]
) -> None:
    empty(emptied)
    put_all(store, stored)
    for query in asked:
        assert_same(store.best(query), by_the_rules(stored, query))
        assert_the_formula_is_that_of_the_rules(store, query, stored)
    assert store.check() == len(stored)


def assert_the_formula_is_that_of_the_rules(
    store: PostgresStore, query: Query, stored: list[Stored]
) -> None:
    def job(rows: Rows) -> dict[str, float]:
        told: dict[str, float] = {}
        for absorbed in (False, True):
            near, values = scores(query, rows.session, absorbed=absorbed)
            found = f"SELECT w.id, s.rough FROM ({near}) AS s JOIN workflows AS w ON w.seq = s.seq"
            told |= dict(rows.session.rows(found, values))
        return told

    everything = Query(
        namespace=query.namespace, modality=query.modality, outcome=query.outcome,
        asked=query.asked, weights=query.weights, floor=query.floor, limit=len(stored),
        category=query.category,
    )  # fmt: skip
    rough = store.read(job)
    for item in store.best(everything):
        assert abs(rough[item.id] - item.score) < SLACK / 10
        exact = score(item.similarity, item.value, item.frequency, query.weights)
        assert item.score == exact


def test_both_stores_score_alike_to_the_last_bit(store: PostgresStore) -> None:
    luck = np.random.default_rng(3)
    with SqliteStore(None) as other:
        stored: list[Stored] = []
        for number in range(300):
            rows = luck.normal(size=(3, 384)).astype(np.float32)
            question, template, caption = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            uses = int(luck.integers(0, 4))
            workflow = a_workflow(f"w{number}", uses=uses, wins=uses // 2)
            stored.append((workflow, Vectors(question, template, caption if number % 2 else None)))
        put_all(store, stored)
        put_all(other, stored)
        for _, asked in stored[:20]:
            query = Query("default", "text", "success", asked, Weights(), 0.05, 10)
            found = store.best(query)
            assert len(found) == 10
            assert found == other.best(query)


@pytest.mark.timeout(600)
def test_the_store_does_what_its_model_does(emptied: str) -> None:
    class OnPostgres(Stores):
        @initialize()
        def open(self) -> None:
            empty(emptied)
            super().open()

        def opened(self) -> PostgresStore:
            return PostgresStore(emptied)

    run_state_machine_as_test(
        OnPostgres, settings=settings(max_examples=10, stateful_step_count=40, deadline=None)
    )


def test_texts_are_ordered_byte_by_byte_whatever_the_server_thinks(
    emptied: str, store: PostgresStore
) -> None:
    names = ["b", "B", "a", "é", "Z", "ß", "_", "w 1", "w1", "\N{CAT FACE}"]
    for name in names:
        keep(store, a_workflow(name), found_by(1))
    assert ids(store, a_query(1)) == sorted(names)
    others = sql(
        emptied,
        "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " WHERE relnamespace = 'mia'::regnamespace AND relkind = 'r'"
        " AND attcollation NOT IN (0, '\"C\"'::regcollation)",
    )
    assert others == []


def test_equals_beyond_what_is_fetched_first_are_not_overlooked(store: PostgresStore) -> None:
    def job(rows: Rows) -> None:
        for number in reversed(range(300)):
            rows.put(a_workflow(f"w{number:03}"))
            # nearer than single precision can tell
            near = np.array([1, 1e-9 * number, 0, 0, 0, 0, 0, 0], np.float32)
            rows.vectors.set(f"w{number:03}", EMBEDDER, Vectors(near, near))

    store.write(job)
    assert ids(store, a_query(1, limit=3)) == ["w000", "w001", "w002"]


def test_long_vectors_fit(store: PostgresStore) -> None:
    luck = np.random.default_rng(1)
    rows = luck.normal(size=(3, 4096)).astype(np.float32)
    vectors = Vectors(*(rows / np.linalg.norm(rows, axis=1, keepdims=True)))
    keep(store, a_workflow(), vectors)
    found = store.best(Query("default", "text", "success", vectors, Weights(), 0.9, 1))
    assert [item.id for item in found] == ["w1"]
    kept = store.read(lambda rows: rows.vectors.of("w1"))
    assert kept is not None and kept.caption is not None
    assert (kept.question.tobytes(), kept.caption.tobytes()) == (rows_bytes(vectors))


def rows_bytes(vectors: Vectors) -> tuple[bytes, bytes]:
    assert vectors.caption is not None
    return vectors.question.tobytes(), vectors.caption.tobytes()


def test_a_question_of_another_embedder_is_told_what_to_do(store: PostgresStore) -> None:
    keep(store, a_workflow())
    row = np.ones(3, np.float32)
    other = Query("elsewhere", "text", "success", Vectors(row, row), Weights(), 0.0, 1)
    with pytest.raises(StoreError, match=r"have 8 numbers, the question's 3.*mia memory reembed"):
        store.best(other)
    store.reembed()
    assert store.best(other) == ()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE workflows SET wins = 7",
        "UPDATE workflows SET category = 'human'",
        "UPDATE workflows SET crc = crc + 1",
        "UPDATE vectors SET template = '[0,1,0,0,0,0,0,0]'",
        "UPDATE vectors SET crc = crc + 1",
    ],
)
def test_a_damaged_row_is_named_and_never_recalled(
    emptied: str, store: PostgresStore, damage: str
) -> None:
    keep(store, a_workflow())
    sql(emptied, damage)
    with pytest.raises(StoreError, match="workflow w1 is damaged"):
        store.best(a_query(1))
    with pytest.raises(StoreError, match="w1"):
        store.check()


def test_a_database_can_be_shared_with_other_programs(postgres: str) -> None:
    sql(postgres, "CREATE TABLE public.workflows (mood TEXT)")
    sql(postgres, "INSERT INTO public.workflows VALUES ('fine')")
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
        assert store.check() == 1
    assert sql(postgres, "SELECT mood FROM public.workflows") == [("fine",)]


def test_stores_on_one_database_see_each_other_and_share_one_log(postgres: str) -> None:
    def add(which: PostgresStore, start: int) -> None:
        for number in range(start, start + 10):
            keep(which, a_workflow(f"w{number}"))
            credit(which, "shared")

    with PostgresStore(postgres) as one, PostgresStore(postgres) as other:
        keep(one, a_workflow("shared"))
        assert ids(other, a_query(1)) == ["shared"]
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(add, (one, other)[n % 2], 100 * n) for n in range(4)]:
                done.result()
        shared = other.get("shared")
        assert shared is not None
        assert (one.check(), shared.uses, shared.wins) == (41, 40, 40)
        assert one.best(a_query(1, limit=99)) == other.best(a_query(1, limit=99))


def test_what_postgres_cannot_keep_is_an_error_and_takes_nobody_with_it(
    store: PostgresStore,
) -> None:
    with pytest.raises(StoreError, match="NUL"):
        keep(store, a_workflow("w1", namespace="nul\0"))
    with pytest.raises(StoreError, match="nowhere"):
        store.read(lambda rows: list(rows.session.rows("SELECT * FROM nowhere")))
    keep(store, a_workflow("w2", summary="in a text a \0 is fine"))
    assert store.check() == 1


def test_a_job_that_hides_an_error_of_the_database_keeps_nothing(store: PostgresStore) -> None:
    def job(rows: Rows) -> str:
        rows.put(a_workflow("half"))
        try:
            rows.session.change("INSERT INTO nowhere VALUES (1)")
        except psycopg.Error:
            return "fine"
        raise AssertionError

    with pytest.raises(StoreError, match="aborted"):
        store.write(job)
    assert store.check() == 0


def test_a_commit_that_fails_keeps_nothing_and_says_so(postgres: str) -> None:
    def orphan(rows: Rows) -> None:
        rows.put(a_workflow())
        rows.session.change("INSERT INTO unembedded VALUES (999, 'default')")

    with PostgresStore(postgres) as store:
        late = "ALTER CONSTRAINT unembedded_seq_fkey DEFERRABLE INITIALLY DEFERRED"
        sql(postgres, f"ALTER TABLE unembedded {late}")
        with pytest.raises(StoreError, match="violates foreign key"):
            store.write(orphan)
        assert store.count() == 0
        keep(store, a_workflow("w2"))
        assert store.check() == 1


def test_a_commit_waits_for_the_disk_whatever_the_server_is_used_to(postgres: str) -> None:
    name = sql(postgres, "SELECT current_database()")[0][0]
    for usual, kept in (("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")):
        sql(postgres, f"ALTER DATABASE {name} SET synchronous_commit = {usual}")
        with PostgresStore(postgres) as store:
            shown = store.write(lambda rows: next(rows.session.rows("SHOW synchronous_commit")))
            assert shown == (kept,)


def test_readers_do_not_wait_for_a_writer_and_see_one_moment(store: PostgresStore) -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(rows: Rows) -> None:
        rows.put(a_workflow("w1"))
        entered.set()
        assert go.wait(20)

    def counts(rows: Rows) -> tuple[int, int]:
        before = rows.count()
        go.set()
        writing.result(20)
        return before, rows.count()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, slow)
        assert entered.wait(20)
        assert store.read(counts) == (0, 0)
        assert store.count() == 1


def test_copies_are_the_servers_affair_and_the_command_is_named(store: PostgresStore) -> None:
    with pytest.raises(InputError, match=r"pg_dump -Fc -f copy.bak postgresql://") as told:
        store.backup(Path("copy.bak"))
    with pytest.raises(InputError, match=r"pg_restore .* copy.bak") as told_too:
        store.restore(Path("copy.bak"))
    assert PASSWORD not in f"{told.value}{told_too.value}"


def test_nothing_of_what_is_forgotten_is_left_in_the_tables_files(
    private_server: Server, killable: str
) -> None:
    secret = "a-very-private-word"

    def left() -> list[str]:
        sql(private_server.address, "CHECKPOINT")
        files = (path for path in (private_server.data / "base").rglob("*") if path.is_file())
        return [path.name for path in files if secret.encode() in path.read_bytes()]

    with PostgresStore(killable) as store:
        for number in range(20):
            summary = secret * 20 if number % 3 else "nothing in particular"
            keep(store, a_workflow(f"w{number}", summary=summary))
        assert left()
        gone = tuple(f"w{number}" for number in range(20) if number % 3)
        done = forget(store, "default", Choice(workflows=gone))
        assert done.scrubbed
        assert left() == []
        assert store.check() == 20 - len(gone)


def test_files_that_somebody_still_reads_are_not_called_scrubbed(
    postgres: str, server_address: str
) -> None:
    with PostgresStore(postgres) as store:
        keep(store, a_workflow())
        assert store.scrub()

        def beside(rows: Rows) -> bool:
            assert list(rows.session.rows("SELECT 1")) == [(1,)]
            store.delete("w1")
            return store.scrub()

        def on_the_table(rows: Rows) -> bool:
            return rows.count() == 0 and store.scrub()

        assert store.read(beside) is False
        assert store.scrub()
        assert store.read(on_the_table) is False
        assert store.scrub()
        sql(server_address, "CREATE ROLE stranger LOGIN PASSWORD 'x'")
        try:
            somebody = address_of(
                postgres, postgres.rpartition("/")[2], user="stranger", password="x"
            )
            with psycopg.connect(somebody):
                assert store.scrub()  # an administrator can tell what the other one sees
        finally:
            sql(server_address, "DROP ROLE stranger")
