"""Backups: whole while others write, and put back while others read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.memories.making import a_query, a_workflow, credit, ids, keep
from tests.memories.test_workflow_migration import build

from mia.errors import InputError, StoreError
from mia.memories.workflow.files import sweep
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import as_of
from mia.memories.workflow.sqlite import SqliteStore

COPIES = Path(__file__).with_name("copy_forever.py")


def unfinished(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.building*"))


@contextmanager
def stopped_halfway(path: Path, file: Path, deed: str) -> Generator[list[Path]]:
    """A process that was stopped in the middle of a backup or a restore, and is killed after the
    block; what it has lying about."""
    with subprocess.Popen([sys.executable, str(COPIES), str(path), str(file), deed]) as child:
        left = list[Path]()
        while not left:
            child.send_signal(signal.SIGCONT)
            while not unfinished(path.parent):
                assert child.poll() is None
            child.send_signal(signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
            left = unfinished(path.parent)
        try:
            yield left
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("deed", "then"), [("backup", "open"), ("restore", "backup"), ("backup", "restore")]
)
def test_what_a_killed_process_left_is_told_and_goes_and_a_living_one_s_stays(
    tmp_path: Path, deed: str, then: str
) -> None:
    path, other = tmp_path / "memory.sqlite", tmp_path / "away" / "memory.bak"
    file = tmp_path / f"memory.sqlite.{deed}.bak"
    with SqliteStore(path) as store:
        store.add(a_workflow(f"w{number}", lesson="x" * 3000) for number in range(700))
        store.backup(file)
        store.backup(other)
        with stopped_halfway(path, file, deed) as left:
            SqliteStore(path).close()
            store.backup(tmp_path / "mine.bak")
            assert unfinished(tmp_path) == left
            copies = {str(one) for one in left if one.suffix != ".lock"}
            assert copies <= {*store.copies()}
        assert copies <= {*forget(store, "default", Choice(workflows=("w1",))).copies}
        if then == "open":
            SqliteStore(path).close()
        elif then == "backup":
            store.backup(tmp_path / "mine.bak")
        else:
            store.restore(other)
        assert unfinished(tmp_path) == []
        assert not copies & {*store.copies()}


def test_files_of_others_that_are_called_alike_stay(tmp_path: Path) -> None:
    names = ("a.building", "memory.sqlite.1234.building", f"{'A' * 26}.building", "b.bak")
    for name in names:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*names}


def head(store: SqliteStore) -> int:
    return store.read(lambda rows: rows.log.head().seq)


def test_a_backup_made_while_others_write_is_a_state_that_there_was(tmp_path: Path) -> None:
    path, rounds = tmp_path / "memory.sqlite", 12
    stop = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            keep(store, a_workflow(f"{name}{number}"))
            credit(store, f"{name}{number}")

    with SqliteStore(path) as store:
        writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
        for writer in writers:
            writer.start()
        for round in range(rounds):
            store.backup(tmp_path / f"{round}.bak")
        stop.set()
        for writer in writers:
            writer.join()
        for round in range(rounds):
            with SqliteStore(tmp_path / f"{round}.bak") as backup:
                assert backup.check() == backup.count()
                past = as_of(store, head(backup))
                assert {w.id: w for w in past.workflows} == {w.id: w for w in backup.all()}
    assert unfinished(tmp_path) == []


def test_a_backup_that_fails_leaves_what_was_there(file_store: SqliteStore, tmp_path: Path) -> None:
    keep(file_store, a_workflow())
    folder = tmp_path / "a folder"
    folder.mkdir()
    with pytest.raises(StoreError, match="no copy was made at"):
        file_store.backup(folder)
    target = tmp_path / "memory.bak"
    file_store.backup(target)
    keep(file_store, a_workflow("w2"))
    file_store.backup(target)
    with SqliteStore(target) as backup:
        assert backup.count() == 2


def test_a_restored_backup_takes_the_place_of_everything(tmp_path: Path) -> None:
    path, file = tmp_path / "memory.sqlite", tmp_path / "away" / "memory.bak"
    with SqliteStore(path) as store, SqliteStore(path) as other:
        keep(store, a_workflow("w1"))
        store.backup(file)
        before = file.read_bytes()
        keep(store, a_workflow("w2"))
        credit(store, "w1")
        for open in (store, other):
            assert ids(open, a_query(1)) == ["w2", "w1"]
        was = set(store.all())
        kept = store.restore(file)
        for open in (store, other):
            assert ids(open, a_query(1)) == ["w1"]
            assert open.best(a_query(1))[0].frequency == 1.0
            assert open.check() == 1
        keep(other, a_workflow("w3"))
        assert ids(store, a_query(1)) == ["w1", "w3"]
        assert [entry.action for entry in store.read(lambda rows: list(rows.log.entries()))] == [
            "put", "embed", "recover", "put", "embed",
        ]  # fmt: skip
        assert file.read_bytes() == before
        with SqliteStore(kept) as replaced:
            assert set(replaced.all()) == was
            assert replaced.check() == 2
        store.restore(kept)
        assert set(other.all()) == was
    assert unfinished(tmp_path) == []


def test_a_backup_of_an_older_version_is_upgraded_on_the_way(tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    build(old)
    before = old.read_bytes()
    with SqliteStore(tmp_path / "memory.sqlite") as store:
        store.restore(old)
        assert store.check() == 6
    assert old.read_bytes() == before


@pytest.mark.parametrize("damage", ["flip", "cut", "text", "log"])
def test_a_damaged_backup_is_not_restored(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "memory.bak"
    with SqliteStore(tmp_path / "memory.sqlite") as store:
        for number in range(30):
            keep(store, a_workflow(f"w{number}"))
        store.backup(file)
        raw = bytearray(file.read_bytes())
        if damage == "flip":
            at = raw.index(b"summary of w7")
            raw[at] ^= 1
        elif damage == "cut":
            raw = raw[: len(raw) // 2]
        elif damage == "text":
            raw = bytearray(b"not a database at all" * 100)
        else:
            at = raw.rindex(b"toy-8")
            raw[at] ^= 1
        file.write_bytes(raw)
        was, at = set(store.all()), head(store)
        with pytest.raises(StoreError):
            store.restore(file)
        assert (set(store.all()), head(store)) == (was, at)
    assert unfinished(tmp_path) == []


def test_a_backup_that_is_not_there_is_an_input_error(
    file_store: SqliteStore, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no file"):
        file_store.restore(tmp_path / "absent.bak")


def test_writers_wait_for_a_restore_and_lose_nothing(tmp_path: Path) -> None:
    path, file = tmp_path / "memory.sqlite", tmp_path / "memory.bak"
    acked: list[str] = []
    stop = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            keep(store, a_workflow(f"{name}{number}"))
            acked.append(f"{name}{number}")

    with SqliteStore(path) as store:
        keep(store, a_workflow("first"))
        store.backup(file)
        writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
        for writer in writers:
            writer.start()
        kept = [store.restore(file) for _ in range(3)]
        stop.set()
        for writer in writers:
            writer.join()
        found = {workflow.id for workflow in store.all()}
        for copy in kept:  # what a restore replaced is in its copy: nothing fell in between
            with SqliteStore(copy) as replaced:
                found |= {workflow.id for workflow in replaced.all()}
        assert store.check() == store.count()
    assert found == {"first", *acked}
