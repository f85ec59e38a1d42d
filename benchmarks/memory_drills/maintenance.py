"""Whoever looks after a store is killed in the middle of it."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.audit import audit, holds, is_earlier, is_one_of, state_of
from benchmarks.memory_drills.crew import MOST_SECONDS, Crew, Voice, killed, noted
from benchmarks.memory_drills.made import EMBEDDER, OPEN, TIGHT, some, unit, vectors_of
from benchmarks.memory_drills.tally import Ack, Tally
from benchmarks.memory_drills.writers import Writer, ack_of, write_on
from msgspec.structs import replace

from mia.memories.workflow.compact import compact
from mia.memories.workflow.history import restore, snapshot
from mia.memories.workflow.migrations import APPLICATION, MIGRATIONS
from mia.memories.workflow.remember import Keeping
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import Workflow, encode

_OWN_FILES = {f"memory.db{part}" for part in ("", "-wal", "-shm", ".lock")}


def schema_1(path: Path, workflows: Iterable[Workflow]) -> None:
    """A file as schema 1 had it."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in MIGRATIONS[0]:
            assert isinstance(statement, str)
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute("PRAGMA user_version = 1")
        for w in workflows:
            body = encode(w)
            row = (
                w.id, w.namespace, w.modality, w.category, w.outcome, w.trust, w.plan,
                w.question_id, w.task, w.uses, w.wins, w.created, body.decode(), zlib.crc32(body),
            )  # fmt: skip
            db.execute(
                "INSERT INTO workflows (id, namespace, modality, category, outcome, trust, plan,"
                " question_id, task, uses, wins, created, body, crc)"
                f" VALUES ({', '.join('?' * len(row))})",
                row,
            )
            blobs = [unit(zlib.crc32(w.id.encode()), part).tobytes() for part in (1, 2)]
            crc = zlib.crc32(f"{w.id}\0{EMBEDDER}".encode())
            for blob in blobs:
                crc = zlib.crc32(blob, crc)
            db.execute(
                "INSERT INTO vectors VALUES (?, ?, ?, ?, NULL, ?)", (w.id, EMBEDDER, *blobs, crc)
            )


def open_it(path: Path, voice: Voice) -> None:
    """Opens a file, which migrates it."""
    with SqliteStore(path):
        voice.say(Ack(note="opened"))
        time.sleep(MOST_SECONDS)


def kills_migration(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever migrates a file of schema 1 is killed: it is of schema 1 or of the newest, and the
    copy beside it is whole or not there."""
    old, wanted = folder / "old.db", {w.id: w for w in some(luck, 250)}
    schema_1(old, wanted.values())
    tally.counts.update(unfinished=0, lost=0, corrupt=0)
    began = time.perf_counter()
    SqliteStore(Path(shutil.copy(old, folder / "timed.db"))).close()
    took = time.perf_counter() - began
    for round in range(rounds):
        path = Path(shutil.copy(old, folder / f"{round}.db"))
        with Crew(partial(open_it, path)) as crew:
            crew.await_lines(1)
            crew.listen(luck.uniform(0.0, took))
            tally.counts["kills"] += 1
            tally.counts["unfinished"] += not noted(crew.kill(), tally)
        copy = path.with_name(f"{path.name}.v1.bak")
        for file in (path, copy):
            if file == path or file.exists():
                holds(file, wanted, tally)


def tidy_on(path: Path, voice: Voice) -> None:
    """Merges near-duplicates and rewrites the file without end."""
    keeping = Keeping(namespace=OPEN, embedder=EMBEDDER, capacity=150)
    with SqliteStore(path) as store:
        while True:
            voice.say(store.write(partial(_tidy, keeping)))
            store.scrub()
            voice.say(Ack(note="rewritten"))


def _tidy(keeping: Keeping, rows: Rows) -> Ack:
    compact(rows, keeping)
    return ack_of(rows, note="tidied")


def reembed_on(path: Path, voice: Voice) -> None:
    """Makes all vectors anew without end, some at a time, by one embedder after the other."""
    with SqliteStore(path) as store:
        number = 0
        while True:
            number += 1
            store.reembed("a drill")
            name = f"{EMBEDDER}-{number}"
            while items := store.read(partial(_without, name=name)):
                voice.say(store.write(partial(_embed, items[:16], name)))


def _without(rows: Rows, name: str) -> tuple[Workflow, ...]:
    return rows.vectors.missing(OPEN, name)


def _embed(items: Sequence[Workflow], name: str, rows: Rows) -> Ack:
    for item in items:
        rows.vectors.set(item.id, name, vectors_of(name + item.id, 0))
    return ack_of(rows, note="embedded")


def kills_reembed(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever changes the embedder is killed: no workflow goes, and each has vectors of the one
    embedder or is known to have none."""
    path, wanted = folder / "memory.db", {w.id: w for w in some(luck, 200)}
    acks: list[Ack] = []
    tally.counts.update(acknowledged=0, lost=0, corrupt=0)
    with SqliteStore(path) as store:
        store.add(wanted.values())
    for _ in range(rounds):
        acks += killed([partial(reembed_on, path)], luck, tally)
        audit(path, acks, tally)
        holds(path, wanted, tally)


def kills_compaction(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """The file is rewritten while others write, and all are killed."""
    path, acks = folder / "memory.db", list[Ack]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0, rewritten=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 200))
    for round in range(rounds):
        writer = partial(write_on, path, f"r{round}", luck.getrandbits(32), 2)
        said = killed([partial(tidy_on, path), writer], luck, tally)
        tally.counts["rewritten"] += sum(ack.seq == 0 for ack in said)
        acks += said
        audit(path, acks, tally)


def snapshot_on(path: Path, voice: Voice) -> None:
    """Goes back to one snapshot and to the other without end."""
    with SqliteStore(path) as store:
        for name in itertools.cycle(("first", "second")):
            restore(store, name)
            voice.say(store.read(partial(ack_of, note=name)))


def kills_snapshot(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever goes back to a snapshot is killed: the workflows are those of the one or of the
    other, never some of each."""
    path, acks, states = folder / "memory.db", list[Ack](), list[set[bytes]]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0)
    with SqliteStore(path) as store:
        writers = [Writer(store, name, luck, name) for name in (OPEN, TIGHT)]
        for name in ("first", "second"):
            for _ in range(40):
                acks += [writer.step() for writer in writers]
            snapshot(store, name)
            states.append(state_of(store))
    for _ in range(rounds):
        acks += killed([partial(snapshot_on, path)], luck, tally)
        audit(path, acks, tally)
        is_one_of(path, states, tally)


def backup_on(path: Path, voice: Voice) -> None:
    """Makes backups without end."""
    with SqliteStore(path) as store:
        for number in itertools.count():
            target = path.with_name(f"{os.getpid()}-{number}.copy")
            store.backup(target)
            voice.say(Ack(file=target.name))


def kills_backup(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever makes backups is killed, with who writes: a backup is whole or not there."""
    path, acks = folder / "memory.db", list[Ack]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0, backups=0, torn=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 200))
    for round in range(rounds):
        writer = partial(write_on, path, f"r{round}", luck.getrandbits(32), 2)
        said = killed([partial(backup_on, path), writer], luck, tally)
        acks += said
        audit(path, acks, tally)
        there = set(folder.glob("*.copy"))
        told_of = {folder / ack.file for ack in said if ack.file}
        tally.expect(told_of <= there, "a backup that was acknowledged is not there")
        for file in there:
            tally.counts["backups"] += 1
            tally.counts["torn"] += not is_earlier(file, path, tally, 0)
        clear(folder, tally)


def clear(folder: Path, tally: Tally) -> None:
    """Removes copies, and what the killed left lying about."""
    for file in folder.iterdir():
        if file.name not in _OWN_FILES:
            tally.counts["left_lying"] += ".building" in file.name
            file.unlink()


def restore_on(path: Path, files: Sequence[Path], voice: Voice) -> None:
    """Puts one backup and the other in place of everything without end."""
    with SqliteStore(path) as store:
        for file in itertools.cycle(files):
            store.restore(file)
            voice.say(Ack(file=file.name))


def kills_restore(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever restores a backup is killed: the store is one or the other, and so is every copy
    that was kept of what was there."""
    path, states = folder / "home" / "memory.db", list[set[bytes]]()
    files = [folder / "one.db", folder / "two.db"]
    tally.counts.update(restores=0, corrupt=0)
    with SqliteStore(path) as store:
        for file in files:
            store.add(replace(w, id=f"{file.stem}{w.id}") for w in some(luck, 100))
            store.backup(file)
            states.append(state_of(store))
    for _ in range(rounds):
        said = killed([partial(restore_on, path, files)], luck, tally, longest=1.0)
        tally.counts["restores"] += len(said)
        for file in (path, *path.parent.glob("*.bak")):
            audit(file, (), tally)
            is_one_of(file, states, tally)
        clear(path.parent, tally)
