"""What the disk may do to a store: nothing acknowledged is lost, nothing damaged passes."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.memories.making import a_query, a_workflow, credit, found_by, ids, keep

from mia.errors import StoreError
from mia.memories.workflow.records import Source
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import Remembered


def limit(store: SqliteStore, pages: int) -> None:
    """Bounds the file, as a full disk would."""
    store.write(lambda rows: list(rows.session.rows(f"PRAGMA max_page_count = {pages}")))


def pages(store: SqliteStore) -> int:
    return int(store.read(lambda rows: next(rows.session.rows("PRAGMA page_count"))[0]))


def fill(store: SqliteStore) -> list[str]:
    """Writes until there is no space; what was acknowledged."""
    acked: list[str] = []
    with pytest.raises(StoreError, match="full"):
        for number in range(100_000):
            keep(store, a_workflow(f"w{number}", lesson="x" * 3000))
            acked.append(f"w{number}")
    return acked


def test_a_full_disk_costs_nothing_that_was_acknowledged(file_store: SqliteStore) -> None:
    limit(file_store, pages(file_store) + 60)
    acked = fill(file_store)
    assert acked
    assert {workflow.id for workflow in file_store.all()} == set(acked)
    assert set(ids(file_store, a_query(1, limit=1000))) == set(acked)
    assert file_store.check() == len(acked)
    limit(file_store, 100_000)
    keep(file_store, a_workflow("after"))
    assert file_store.check() == len(acked) + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_costs_nothing_either(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    with SqliteStore(small_disk / "memory.sqlite") as store:
        keep(store, a_workflow("first"))
        ballast.write_bytes(b"x" * 600_000)
        acked = ["first", *fill(store)]
        assert {workflow.id for workflow in store.all()} == set(acked)
        ballast.unlink()
        keep(store, a_workflow("after"))
        assert store.check() == len(acked) + 1


def test_no_flipped_bit_changes_a_record_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        for number in range(20):
            keep(store, a_workflow(f"w{number}"), found_by(1, number, caption=(1, number)))
            credit(store, f"w{number}")
        known = {workflow.id: workflow for workflow in store.all()}
        query = a_query(1, 3, limit=30)
        best = {item.id: item for item in store.best(query)}
    whole = path.read_bytes()
    luck = random.Random(7)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        path.write_bytes(damaged)
        try:
            with SqliteStore(path) as store:
                read = [store.get(id) for id in known]
                found = store.best(query)
        except StoreError:
            continue
        assert all(w is None or known[w.id] == w for w in read)
        assert all(best[item.id] == item for item in found)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE versions SET body = replace(body, 'director', 'producer')", "workflow w1"),
        ("UPDATE workflows SET wins = 7", "workflow w1"),
        ("UPDATE workflows SET used = '2027'", "workflow w1"),
        ("UPDATE workflows SET trust = 'quarantined'", "workflow w1"),
        ("UPDATE workflows SET outcome = 'failure'", "workflow w1"),
        ("UPDATE workflows SET source_episode = 'none'", "workflow w1"),
        ("UPDATE workflows SET crc = crc + 1", "workflow w1"),
        ("UPDATE workflows SET seal = seal + 1", "workflow w1"),
        ("DELETE FROM versions", "workflow w1"),
    ],
)
def test_a_damaged_row_is_named_and_not_returned(tmp_path: Path, damage: str, named: str) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        keep(store, a_workflow())
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(damage)
        with pytest.raises(StoreError, match=named):
            store.get("w1")
        with pytest.raises(StoreError):
            store.check()


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE versions SET body = replace(body, 'bad', 'sad') WHERE seq = 3", "of entry 3"),
        ("DELETE FROM versions WHERE seq = 3", "of entry 3"),
        ("UPDATE log SET digest = digest || '0' WHERE seq = 3", "entry 3 of the log"),
        ("UPDATE log SET workflow = 'w1' WHERE seq = 6", "entry 6 of the log"),
        ("DELETE FROM log WHERE seq = 2", "entry 3 of the log"),
    ],
)
def test_a_damaged_source_is_named_and_not_returned(
    tmp_path: Path, damage: str, named: str
) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        for id in ("w1", "w2"):
            keep(store, a_workflow(id))
            store.write(lambda rows, id=id: rows.merge(id, Source(episode="bad")))
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(damage)
        with pytest.raises(StoreError, match=named):
            store.read(lambda rows: rows.sources("w1"))


def test_a_damaged_decision_is_named_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    decided = Remembered(decision="stored", reason="new", workflow_id="w1")
    with SqliteStore(path) as store:
        store.write(lambda rows: rows.absorb("default", "e1", decided))
        assert store.read(lambda rows: rows.absorbed("default", "e1")) == decided
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE absorbed SET body = replace(body, 'stored', 'merged')")
        with pytest.raises(StoreError, match="episode e1 is damaged"):
            store.read(lambda rows: rows.absorbed("default", "e1"))


def test_damaged_vectors_are_named_and_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        keep(store, a_workflow())
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE vectors SET template = zeroblob(32)")
        with pytest.raises(StoreError, match="workflow w1 is damaged: its vectors"):
            store.best(a_query(1))
        with pytest.raises(StoreError, match="w1"):
            store.check()


def test_writes_are_synchronised_with_the_disk(file_store: SqliteStore) -> None:
    def pragma(name: str) -> object:
        return file_store.write(lambda rows: next(rows.session.rows(f"PRAGMA {name}"))[0])

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL
    assert pragma("foreign_keys") == 1
