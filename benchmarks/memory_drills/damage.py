"""Files that are not what was written."""

from __future__ import annotations

import random
import shutil
import sqlite3
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from benchmarks.memory_drills.audit import chain, head_of
from benchmarks.memory_drills.made import OPEN, TIGHT, vectors_of
from benchmarks.memory_drills.tally import Tally
from benchmarks.memory_drills.writers import Writer, recalled

from mia.errors import StoreError
from mia.memories.workflow.history import snapshot
from mia.memories.workflow.log import Head
from mia.memories.workflow.records import vectors_raw
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import encode

T = TypeVar("T")
PAGE = 4096
"""Bytes; SQLite's default."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A populated store's files, and what it told before they were damaged."""

    file: bytes
    wal: bytes
    """The write-ahead log beside it; empty when the store was closed."""
    ids: tuple[str, ...]
    episodes: tuple[tuple[str, str], ...]
    records: Mapping[str, bytes]
    """What is read one by one and sealed one by one, under a name each."""
    history: Mapping[str, bytes]
    """The log, its texts and what else only verifying vouches for."""
    heads: Mapping[int, str]
    """Hashes of the log's entries: how it ended at any time."""


def records_of(
    ids: Iterable[str], episodes: Iterable[tuple[str, str]], rows: Rows
) -> tuple[dict[str, bytes], int]:
    """The records that can be read, and how many reads were refused."""
    reads = [partial(_record, rows, id) for id in ids]
    reads += [partial(_decision, rows, *episode) for episode in episodes]
    found: dict[str, bytes] = {}
    refused = 0
    for read in reads:
        try:
            found.update(read())
        except (StoreError, sqlite3.Error):
            refused += 1
    return found, refused


def _record(rows: Rows, id: str) -> Iterator[tuple[str, bytes]]:
    workflow, vectors = rows.get(id), rows.vectors.of(id)
    if workflow is not None:
        yield f"workflow {id}", encode(workflow)
    if vectors is not None:
        yield f"vectors of {id}", vectors_raw(id, vectors)
    for _, digest, source in rows.all_sources(id):
        yield f"source {digest} of {id}", source.raw


def _decision(rows: Rows, namespace: str, episode: str) -> Iterator[tuple[str, bytes]]:
    remembered = rows.absorbed(namespace, episode)
    if remembered is not None:
        yield f"episode {namespace} {episode}", encode(remembered)


def history_of(rows: Rows) -> dict[str, bytes]:
    """The log and what belongs to it."""
    history = {f"entry {entry.seq}": msgspec.json.encode(entry) for entry in rows.log.entries()}
    history |= {f"text {entry.seq}": text.encode() for entry, text in rows.log.texts()}
    for table in ("snapshots", "meta", "unembedded"):
        found = rows.session.rows(f"SELECT * FROM {table} ORDER BY 1")
        history[table] = msgspec.json.encode(list(found))
    return history


def exhibit(folder: Path, luck: random.Random, *, closed: bool) -> Exhibit:
    """Populates a store and keeps its files."""
    path = folder / "memory.db"
    episodes = tuple((name, f"{name}-{n}") for name in (OPEN, TIGHT) for n in range(45))
    with SqliteStore(path) as store:
        writers = [Writer(store, name, luck, name) for name in (OPEN, TIGHT)]
        acks = [writer.step() for _ in range(45) for writer in writers]
        snapshot(store, "a snapshot")
        ids = tuple(sorted({ack.workflow for ack in acks if ack.workflow}))
        records, _ = store.read(partial(records_of, ids, episodes))
        history, heads = store.read(history_of), chain(store)
        file, wal = path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()
        if closed:
            store.scrub()
    if closed:
        file, wal = path.read_bytes(), b""
    return Exhibit(file, wal, ids, episodes, records, history, heads)


def damaged(luck: random.Random, raw: bytes) -> bytes:
    """Bytes with one flipped bit, or cut, or with a page of zeros."""
    at, kind = luck.randrange(len(raw)), luck.random()
    if kind < 0.1:
        return raw[:at]
    if kind < 0.2:
        page = at // PAGE * PAGE
        return raw[:page] + bytes(len(raw[page : page + PAGE])) + raw[page + PAGE :]
    flipped = bytearray(raw)
    flipped[at] ^= 1 << luck.randrange(8)
    return bytes(flipped)


Found = Literal[
    "open", "record", "misread", "integrity_check", "verify", "harmless", "earlier", "silent"
]


def examine(path: Path, before: Exhibit, tally: Tally) -> Found:
    """Which detector is the first to notice what was done to a file. `misread`: reading gave
    something that was not there, and only verifying notices."""
    try:
        store = SqliteStore(path)
    except StoreError:
        return "open"
    with store:
        reads = partial(records_of, before.ids, before.episodes)
        head = told(partial(store.read, head_of)) or Head()
        earlier = bool(before.wal) and head.seq < max(before.heads)
        found, refused = told(partial(store.read, reads)) or ({}, 1)
        best = told(partial(recalled, store, OPEN, vectors_of(OPEN, 0), 5))
        for item in () if best is None else best.successes:
            found[f"workflow {item.workflow.id}"] = encode(item.workflow)
        changed = [name for name, raw in found.items() if before.records.get(name) != raw]
        if changed and not earlier:
            if told(store.check) is None:
                return "misread"
            tally.broken.append(f"silent: {changed[0]} was read as something else")
            return "silent"
        if refused or best is None:
            return "record"
        if told(partial(store.read, lambda rows: rows.session.problems())) != ():
            return "integrity_check"
        if told(store.check) is None:
            return "verify"
        if found == before.records and store.read(history_of) == before.history:
            return "harmless"
        if earlier and before.heads.get(head.seq) == head.hash:
            return "earlier"
    tally.broken.append("silent: the verified store holds something else")
    return "silent"


def told(job: Callable[[], T]) -> T | None:
    """What a job gives; None when the store says what is wrong."""
    try:
        return job()
    except StoreError:
        return None


def flips(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """A closed store's file is damaged."""
    _damage(folder, luck, rounds, tally, closed=True)


def flips_wal(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """The write-ahead log of a store that was not closed is damaged. SQLite takes what follows the
    damage for unfinished: the store is what it was some writes ago, which nothing can tell."""
    _damage(folder, luck, rounds, tally, closed=False)


def _damage(folder: Path, luck: random.Random, rounds: int, tally: Tally, *, closed: bool) -> None:
    before = exhibit(folder, luck, closed=closed)
    tally.counts.update(silent=0)
    for round in range(rounds):
        copy = folder / f"copy{round}"
        copy.mkdir()
        path = copy / "memory.db"
        path.write_bytes(damaged(luck, before.file) if closed else before.file)
        if not closed:
            (copy / "memory.db-wal").write_bytes(damaged(luck, before.wal))
        try:
            tally.counts[examine(path, before, tally)] += 1
        except Exception as error:  # noqa: BLE001 - what flies here is what the drill looks for
            tally.counts["raw_error"] += 1
            tally.broken.append(f"damage {round} was told of as {error!r} at {_last_line(error)}")
        shutil.rmtree(copy)


def _last_line(error: Exception) -> str:
    """Where our code was when something flew."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "mia" in Path(f.filename).parts]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "the drill"
