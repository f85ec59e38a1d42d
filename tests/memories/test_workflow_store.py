"""What the store promises: nothing acknowledged is lost, nothing damaged passes."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.compress import compress
from mia.memories.workflow.migrations import APPLICATION, MIGRATIONS, migrate
from mia.memories.workflow.rows import Bucket
from mia.memories.workflow.store import Store
from mia.types import Episode, Workflow

Films = Callable[..., Episode]


@pytest.fixture
def workflow(film_episode: Films) -> Workflow:
    compressed = compress(film_episode(), "default", "w1")
    assert compressed is not None
    return compressed


def sql(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def test_what_was_added_is_there_after_reopening(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "deep" / "memory.sqlite"
    with Store(path) as store:
        assert store.add([workflow]) == 1
        assert store.add([replace(workflow, summary="other")]) == 0
    with Store(path) as store:
        assert store.get("w1") == workflow
        assert store.get("w2") is None
        assert store.check() == 1


def test_workflows_come_newest_first_and_filtered(store: Store, workflow: Workflow) -> None:
    old = replace(workflow, id="old", created="2025-01-01")
    failed = replace(workflow, id="failed", created="2027-01-01", outcome="failure")
    other = replace(workflow, id="other", namespace="other", category="human", uses=3, wins=2)
    store.add([failed, old, workflow, other])
    assert [w.id for w in store.all("default")] == ["failed", "w1", "old"]
    assert [w.id for w in store.all("default", outcome="success", limit=1)] == ["w1"]
    assert [w.id for w in store.all(category="human")] == ["other"]
    assert (store.count(), store.count("other"), store.count("none")) == (4, 1, 0)
    assert store.stats() == (
        Bucket(category="human", outcome="success", workflows=1, uses=3, wins=2),
        Bucket(category="time", outcome="success", workflows=2, uses=0, wins=0),
        Bucket(category="time", outcome="failure", workflows=1, uses=0, wins=0),
    )


def test_a_deleted_workflow_is_gone_with_its_vectors(store: Store, workflow: Workflow) -> None:
    store.add([workflow])
    assert store.delete("w1")
    assert not store.delete("w1")
    assert store.count() == store.check() == 0


def test_a_transaction_that_raises_keeps_nothing(store: Store, workflow: Workflow) -> None:
    def two_and_a_fault() -> None:
        with store.writing() as rows:
            rows.put(workflow)
            rows.put(replace(workflow, id="w2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        two_and_a_fault()
    assert store.count() == 0
    assert store.add([workflow]) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE workflows SET body = replace(body, 'director', 'producer')",
        "UPDATE workflows SET wins = 7",
        "UPDATE workflows SET outcome = 'failure'",
        "UPDATE workflows SET crc = crc + 1",
    ],
)
def test_a_damaged_row_is_named_and_not_returned(
    tmp_path: Path, workflow: Workflow, damage: str
) -> None:
    path = tmp_path / "memory.sqlite"
    with Store(path) as store:
        store.add([workflow])
        sql(path, damage)
        with pytest.raises(StoreError, match="workflow w1 is damaged"):
            store.get("w1")
        with pytest.raises(StoreError, match="w1"):
            store.check()


def test_no_flipped_bit_changes_a_record_in_silence(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "memory.sqlite"
    wanted = tuple(replace(workflow, id=f"w{number}") for number in range(20))
    with Store(path) as store:
        store.add(wanted)
    whole = path.read_bytes()
    known = {w.id: w for w in wanted}
    luck = random.Random(7)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        path.write_bytes(damaged)
        try:
            with Store(path) as store:
                read = [store.get(w.id) for w in wanted]
        except StoreError:
            continue
        assert all(w is None or known[w.id] == w for w in read)


def test_writes_are_synchronised_with_the_disk(store: Store) -> None:
    with store.reading() as rows:
        pragma = rows._run  # pyright: ignore[reportPrivateUsage]
        assert pragma("PRAGMA journal_mode").fetchone() == ("wal",)
        assert pragma("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert pragma("PRAGMA foreign_keys").fetchone() == (1,)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "memory.sqlite")
    store.close()
    store.close()
    with pytest.raises(StoreError, match=r"memory\.sqlite.*closed"):
        store.count()


def test_threads_share_a_store(store: Store, workflow: Workflow) -> None:
    def add(start: int) -> None:
        for number in range(start, start + 15):
            store.add([replace(workflow, id=f"w{number}")])
            with store.writing() as rows:
                rows.credit("shared", won=True, at="2026")

    store.add([replace(workflow, id="shared")])
    threads = [threading.Thread(target=add, args=(100 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared = store.get("shared")
    assert shared is not None
    assert (store.check(), shared.uses, shared.wins) == (61, 60, 60)


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    Store(path).close()
    sql(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer MIA \(schema 99"):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    sql(path, "CREATE TABLE episodes (id TEXT)")
    with pytest.raises(StoreError, match="another program"):
        Store(path)
    text = tmp_path / "notes.txt"
    text.write_text("not a database, whatever its name says" * 40)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        Store(text)


def test_a_migration_backs_up_first_and_loses_nothing(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "memory.sqlite"
    with Store(path) as store:
        store.add([workflow])
    newer = (*MIGRATIONS, ("ALTER TABLE workflows ADD COLUMN mood TEXT",))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, newer)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert connection.execute("SELECT id, mood FROM workflows").fetchall() == [("w1", None)]
    backup = tmp_path / f"memory.sqlite.v{len(MIGRATIONS)}.bak"
    with Store(backup) as store:
        assert store.get("w1") == workflow


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, workflow: Workflow
) -> None:
    path = tmp_path / "memory.sqlite"
    with Store(path) as store:
        store.add([workflow])
    broken = (*MIGRATIONS, ("ALTER TABLE workflows ADD COLUMN mood TEXT", "NONSENSE"))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.Error):
            migrate(connection, path, broken)
        assert not connection.in_transaction
    with Store(path) as store:
        assert store.get("w1") == workflow


def test_a_new_file_is_marked_and_not_backed_up(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    assert not list(tmp_path.glob("*.bak*"))
