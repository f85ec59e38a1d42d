"""Drills of the workflow store: what it promises, tried by force.

    python benchmarks/memory_drills.py                              # everything, at full length
    python benchmarks/memory_drills.py kills flips --kills 100 --flips 100
    python benchmarks/memory_drills.py --state drills.jsonl         # goes on where it stopped

kills       1 to 4 processes of 2 to 4 threads remember without end and say what was acknowledged;
            all are killed (SIGKILL) 0.1 to 0.4 s after the first began, 20 times on one file. After
            every kill the file is opened and verified, and every acknowledged write must be there
            as it was. Then the same in the middle of a migration from schema 1, of a compaction, a
            backup, a restore, and a change of embedder
diskfull    a file system of 4 MiB is filled by 4 threads until nothing goes in any more
flips       one bit of a closed file is flipped, or the file is cut, or a page is zeroed: opening,
            reading and verifying it either meets an error or gives exactly what was there. Counted
            by what notices first; `misread` is what only verifying notices. Then the same to the
            write-ahead log of a store that was not closed, which may also become an earlier state
machine     the state machine of the tests, 2,000 times 50 steps
concurrent  8 processes write at once, also to one and the same workflow
backup      backups and restores while others write

A drill is cut into blocks, each with a seed of its own, which is printed; with `--state`, blocks
that are done are not done again. Where processes race, a seed repeats what they do and not when.
Ends with 1 when a promise was broken; the files of that block are kept.

Not covered: power cuts. A killed process loses nothing that it gave to the system, so no kill shows
whether it reached the disk (tests/memories looks at the settings that see to this).
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import itertools
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.compact import compact
from mia.memories.workflow.files import write_whole
from mia.memories.workflow.history import restore, snapshot
from mia.memories.workflow.log import REMOVALS, STANDINGS, TEXTS, Entry, Head
from mia.memories.workflow.migrations import APPLICATION, MIGRATIONS
from mia.memories.workflow.records import (
    Standing,
    Vectors,
    body_of,
    fingerprint,
    standing_of,
    vectors_raw,
)
from mia.memories.workflow.remember import Draft, Keeping, absorb
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.session import Row
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Query, Store
from mia.memory import Weights
from mia.types import (
    Episode,
    Noun,
    Question,
    Recalled,
    Recollection,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
    Workflow,
    WorkflowStep,
    decode,
    encode,
)

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]
SEED = 20261122
DIMENSIONS = 96
EMBEDDER = "drill-96"
OPEN, TIGHT = "open", "tight"
"""Namespaces: one without a bound, and one that has to evict."""
CAPACITY = 25
PAPER = Weights()
LONGEST = 0.4
"""Seconds from the start to the kill; at least a quarter of it."""
MOST_SECONDS = 300.0
"""For processes that come to an end by themselves."""
PAGE = 4096
"""Bytes; SQLite's default."""
DISK_MIB = 4
OWN_FILES = {f"memory.db{part}" for part in ("", "-wal", "-shm", ".lock")}
STARTED = "2026-01-01T00:00:00.000+00:00"

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["mia.memories.workflow.sqlite", "mia.memories.workflow.remember"])


class Skipped(Exception):
    """A drill that cannot be done on this machine, and why."""


class Tally:
    """What a block counted, and which promises it saw broken."""

    def __init__(self, **zeros: int) -> None:
        self.counts: Counter[str] = Counter(zeros)
        self.broken: list[str] = []

    def expect(self, kept: bool, promise: str) -> None:
        """Notes a broken promise."""
        if not kept:
            self.broken.append(promise)


class Result(Noun, frozen=True):
    """One block of a drill."""

    drill: str
    seed: int
    rounds: int
    counts: dict[str, int]
    broken: tuple[str, ...] = ()
    skipped: str = ""
    kept: str = ""
    """Where the files of a block are that broke a promise."""
    seconds: float = 0.0


class Ack(Noun, frozen=True):
    """A write that a process was told is durable: where the log ended after it, and how the
    workflow stood that it was about."""

    seq: int = 0
    hash: str = ""
    workflow: str | None = None
    digest: str | None = None
    """Of the workflow's text; None when the write left no such workflow."""
    standing: Standing | None = None
    note: str = ""
    file: str = ""
    """The backup that was made or restored."""
    waited: float = 0.0
    """Seconds."""
    error: str = ""
    """What went wrong instead."""


# what is remembered


def unit(*seed: int) -> Row:
    """A vector of length 1, always the same for a seed."""
    row = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return (row / np.linalg.norm(row)).astype(np.float32)


def vectors_of(name: str, way: int, captioned: bool = False) -> Vectors:
    """What a way is found by."""
    place = zlib.crc32(name.encode())
    caption = unit(place, way, 3) if captioned else None
    return Vectors(unit(place, way, 1), unit(place, way, 2), caption)


def made(
    luck: random.Random, name: str, number: int, namespace: str, found: Recollection
) -> tuple[Episode, Draft]:
    """An episode and the workflow in it. Every third goes a way that was gone before, so that
    some are merged and some replaced."""
    way = luck.randrange(number + 1) if number % 3 == 2 else number
    won, captioned = luck.random() < 0.7, way % 5 == 0
    asked = Question(
        text=f"Who {name} thing {number} of way {way}?",
        id=f"{name}-{number}",
        caption=f"a thing of way {way}" if captioned else None,
    )
    verdict = Verdict(
        value=VerdictValue.CORRECT if won else VerdictValue.INCORRECT, judge="exact_match"
    )
    trajectory = Trajectory(turns=(Turn(answer="Ann Lee"),), outcome="answered")
    episode = Episode(
        id=f"{name}-{number}", question=asked, recollection=found, trajectory=trajectory,
        verdict=verdict, started=STARTED,
    )  # fmt: skip
    workflow = workflow_of(luck, episode, namespace, f"{name} {way}")
    return episode, Draft(workflow, vectors_of(name, way, captioned))


def workflow_of(luck: random.Random, episode: Episode, namespace: str, way: str) -> Workflow:
    """The workflow of an episode; its length is left to luck, so that a later one may be better."""
    asked, won = episode.question, episode.verdict.value is VerdictValue.CORRECT
    step = WorkflowStep(
        tool="search", purpose="find who made it", query=f"who made [A] {way}", yielded="a person"
    )
    return Workflow(
        id=f"w-{episode.id}", namespace=namespace, question=asked.text,
        question_template=f"Who {way} [A]?", category=luck.choice(("human", "time", "location")),
        steps=(step,) * luck.randint(1, 4), summary=" ".join(["so"] * luck.randint(5, 150)),
        plan=f"#1 Who {way} [A]?\nanswer #1", outcome="success" if won else "failure",
        verdict_kind="exact_match", confidence=1.0, caption=asked.caption, modality=asked.modality,
        lesson="" if won else luck.choice(("it went wrong at #1", "it went wrong")),
        question_id=asked.id, created=STARTED, source_episode=episode.id,
        source_domains=(f"{luck.choice('abcdef')}.example",),
        parents=tuple(item.workflow.id for item in found_in(episode.recollection)),
    )  # fmt: skip


def found_in(recollection: Recollection) -> tuple[Recalled, ...]:
    """Everything that memory returned."""
    return (*recollection.successes, *recollection.failures)


def recalled(store: Store, namespace: str, vectors: Vectors, limit: int = 2) -> Recollection:
    """The best successes, whatever they are about."""
    query = Query(
        namespace=namespace, modality="text", outcome="success", asked=vectors, weights=PAPER,
        floor=-2.0, limit=limit,
    )  # fmt: skip
    items: list[Recalled] = []
    for best in store.best(query):
        workflow = store.get(best.id)
        if workflow is not None:  # else somebody evicted it meanwhile
            item = Recalled(
                workflow=workflow, score=best.score, similarity=best.similarity, value=best.value,
                frequency=best.frequency,
            )  # fmt: skip
            items.append(item)
    return Recollection(successes=tuple(items))


def ack_of(rows: Rows, workflow: str | None = None, note: str = "") -> Ack:
    """What a job can say at its end, before it is durable."""
    head, kept = rows.log.head(), None if workflow is None else rows.get(workflow)
    digest = None if kept is None else fingerprint(body_of(kept))
    standing = None if kept is None else standing_of(kept)
    return Ack(
        seq=head.seq, hash=head.hash, workflow=workflow, digest=digest, standing=standing, note=note
    )


class Writer:
    """Remembers one episode after another, as `WorkflowMemory` does: recall, then one write. Now
    and then somebody distrusts or deletes a workflow."""

    def __init__(self, store: Store, name: str, luck: random.Random, namespace: str) -> None:
        capacity = CAPACITY if namespace == TIGHT else 0
        self._store, self._name, self._luck = store, name, luck
        self._keeping = Keeping(namespace=namespace, embedder=EMBEDDER, capacity=capacity)
        self._number = 0

    def step(self) -> Ack:
        """One write, durable once this returns."""
        luck, number, namespace = self._luck, self._number, self._keeping.namespace
        self._number += 1
        asked = vectors_of(self._name, luck.randrange(number + 1))
        found = recalled(self._store, namespace, asked)
        if found.successes and luck.random() < 0.1:
            return self._store.write(partial(self._tend, found.successes[0].workflow.id))
        episode, draft = made(luck, self._name, number, namespace, found)
        return self._store.write(partial(self._take, episode, draft))

    def _take(self, episode: Episode, draft: Draft, rows: Rows) -> Ack:
        remembered = absorb(rows, episode, draft, self._keeping)
        return ack_of(rows, remembered.workflow_id, remembered.decision)

    def _tend(self, id: str, rows: Rows) -> Ack:
        if self._luck.random() < 0.5:
            rows.delete(id, reason="a drill")
            return ack_of(rows, id, "deleted")
        rows.set_trust(id, "quarantined", "a drill")
        return ack_of(rows, id, "distrusted")


# processes


class Voice:
    """A process's way to say something to the one that may kill it. What was said is said: a line
    goes through the pipe whole or not at all."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def be_ready(self) -> None:
        """Tells that the process has begun: an empty line."""
        os.write(self._pipe.fileno(), b"\n")

    def say(self, ack: Ack) -> None:
        """Tells what was acknowledged."""
        line = encode(ack) + b"\n"
        assert len(line) <= select.PIPE_BUF, "the system may cut a line of this length"
        os.write(self._pipe.fileno(), line)


Job = Callable[[Voice], None]


def _at_work(job: Job, pipe: Connection) -> None:
    faulthandler.enable()
    voice = Voice(pipe)
    voice.be_ready()
    with heard(voice):
        job(voice)


class Crew:
    """Processes at work, and what they said."""

    def __init__(self, *jobs: Job) -> None:
        self._pipe, theirs = _FORKS.Pipe(duplex=False)
        self._heard = b""
        self._silent = False
        """Whether the last of them hung up."""
        with theirs:
            self._members = [_FORKS.Process(target=_at_work, args=(job, theirs)) for job in jobs]
            for member in self._members:
                member.start()

    def acks(self) -> list[Ack]:
        """Everything that came through whole, but for who is ready."""
        lines = self._heard[: self._heard.rfind(b"\n") + 1].splitlines()
        return [decode(line, Ack) for line in lines if line]

    def listen(self, seconds: float) -> None:
        """Hears what is said until then, or until nobody is left."""
        until = time.monotonic() + seconds
        while not self._silent and (left := until - time.monotonic()) > 0:
            self._hear(left)

    def await_lines(self, lines: int) -> None:
        """Waits until so much was said; each of them begins by saying that it is ready."""
        until = time.monotonic() + MOST_SECONDS
        while not self._silent and self._heard.count(b"\n") < lines:
            assert time.monotonic() < until, "the processes of a drill do nothing"
            self._hear(until - time.monotonic())

    def kill(self) -> list[Ack]:
        """Kills all of them at once; what they had said."""
        for member in self._members:
            member.kill()
        return self.finish()

    def finish(self) -> list[Ack]:
        """Waits for all of them; what they said."""
        self.listen(MOST_SECONDS)
        late, ends = not self._silent, list[Ack]()
        for member in self._members:
            if late:
                member.kill()
            member.join()
            if member.exitcode not in (0, -signal.SIGKILL):
                ends.append(Ack(error=f"it ended with {member.exitcode}"))
            member.close()
        self._pipe.close()
        assert not late, f"a process of a drill took more than {MOST_SECONDS:.0f} s"
        return self.acks() + ends

    def _hear(self, seconds: float) -> None:
        ready, _, _ = select.select([self._pipe], [], [], max(seconds, 0))
        if ready:
            said = os.read(self._pipe.fileno(), 1 << 20)
            self._heard += said
            self._silent = not said


def killed(jobs: Sequence[Job], luck: random.Random, longest: float, tally: Tally) -> list[Ack]:
    """Starts processes and kills them, up to so many seconds after the first was ready, or after
    all were and one had something acknowledged; what they said."""
    crew = Crew(*jobs)
    crew.await_lines(luck.choice((1, len(jobs) + 1)))
    crew.listen(luck.uniform(longest / 4, longest))
    tally.counts["kills"] += 1
    return noted(crew.kill(), tally)


def noted(acks: Iterable[Ack], tally: Tally) -> list[Ack]:
    """The acknowledged writes. An error that a process met is a broken promise."""
    good: list[Ack] = []
    for ack in acks:
        tally.expect(not ack.error, f"a process met an error: {ack.error}")
        if not ack.error:
            good.append(ack)
    tally.counts["acknowledged"] += sum(ack.seq > 0 for ack in good)
    return good


def write_on(path: Path, name: str, seed: int, threads: int, voice: Voice) -> None:
    """Remembers on several threads without end."""

    def one(number: int) -> None:
        namespace = TIGHT if number % 2 else OPEN
        writer = Writer(store, f"{name}t{number}", random.Random(seed + number), namespace)
        with heard(voice):
            while True:
                voice.say(writer.step())

    with SqliteStore(path) as store:
        together(partial(one, number) for number in range(threads))


@contextmanager
def heard(voice: Voice) -> Generator[None]:
    """Tells what the store had against a process or a thread."""
    try:
        yield
    except StoreError as error:
        voice.say(Ack(error=str(error)))


def together(jobs: Iterable[Callable[[], None]]) -> None:
    """Runs jobs at the same time and waits for them."""
    every = list(jobs)
    with ThreadPoolExecutor(len(every)) as pool:
        for done in [pool.submit(job) for job in every]:
            done.result()


# what must be true


def audit(path: Path, acks: Sequence[Ack], tally: Tally) -> None:
    """Opens a file, verifies it, and looks for every acknowledged write."""
    try:
        with SqliteStore(path) as store:
            store.check()
            lost = store.read(partial(missing, acks=acks))
    except StoreError as error:
        tally.counts["corrupt"] += 1
        tally.broken.append(f"corrupt: {error}")
        return
    tally.counts["lost"] += len(lost)
    tally.broken.extend(lost[:5])


def missing(rows: Rows, acks: Sequence[Ack]) -> list[str]:
    """What was acknowledged and is not there as it was: the log is played back, by other code than
    the store's, and must say at every acknowledged entry what the writer was told; at its end it
    must say what the rows say."""
    waiting: dict[int, list[Ack]] = defaultdict(list)
    for ack in acks:
        if ack.seq:
            waiting[ack.seq].append(ack)
    lost: list[str] = []
    stands: dict[str, tuple[str | None, Standing | None]] = {}
    for entry in rows.log.entries():
        id, told = entry.workflow or "", entry.details().standing
        if entry.action in TEXTS:
            stands[id] = entry.digest, told
        elif entry.action in STANDINGS and id in stands:
            stands[id] = stands[id][0], told
        elif entry.action in REMOVALS:
            stands.pop(id, None)
        for ack in waiting.pop(entry.seq, ()):
            as_told = stands.get(ack.workflow or "", (None, None)) == (ack.digest, ack.standing)
            if ack.hash != entry.hash or not as_told:
                lost.append(f"lost: entry {ack.seq} is not what was acknowledged ({ack.note})")
    lost += [f"lost: there is no entry {seq}, which was acknowledged" for seq in waiting]
    for workflow in rows.all():
        if stands.pop(workflow.id, None) != (fingerprint(body_of(workflow)), standing_of(workflow)):
            lost.append(f"lost: workflow {workflow.id} does not stand as the log says")
    return lost + [f"lost: workflow {id} is not there" for id in stands]


# kills


def kills(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Writers are killed, again and again on one file."""
    path, acks = folder / "memory.db", list[Ack]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0)
    for round in range(rounds):
        jobs = [
            partial(write_on, path, f"r{round}p{number}", luck.getrandbits(32), luck.randint(2, 4))
            for number in range(luck.randint(1, 4))
        ]
        acks += killed(jobs, luck, LONGEST, tally)
        audit(path, acks, tally)


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


def some(luck: random.Random, count: int) -> list[Workflow]:
    """Workflows that were used."""
    items: list[Workflow] = []
    for number in range(count):
        _, draft = made(luck, "some", number, OPEN, Recollection())
        uses = luck.randrange(5)
        items.append(replace(draft.workflow, uses=uses, wins=luck.randint(0, uses)))
    return items


def kills_migration(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever migrates a file of schema 1 is killed: it is of schema 1 or of schema 2, and the copy
    beside it is whole or not there."""
    old, wanted = folder / "old.db", {w.id: w for w in some(luck, 250)}
    schema_1(old, wanted.values())
    tally.counts.update(unfinished=0, lost=0, corrupt=0)
    began = time.perf_counter()
    SqliteStore(Path(shutil.copy(old, folder / "timed.db"))).close()
    took = time.perf_counter() - began
    for round in range(rounds):
        path = Path(shutil.copy(old, folder / f"{round}.db"))
        crew = Crew(partial(open_it, path))
        crew.await_lines(1)
        crew.listen(luck.uniform(0.0, took))
        tally.counts["kills"] += 1
        tally.counts["unfinished"] += not noted(crew.kill(), tally)
        copy = path.with_name(f"{path.name}.v1.bak")
        for file in (path, copy):
            if file == path or file.exists():
                _holds(file, wanted, tally)


def _holds(path: Path, wanted: Mapping[str, Workflow], tally: Tally) -> None:
    """Checks that a file holds these workflows and no others."""
    try:
        with SqliteStore(path) as store:
            store.check()
            found = {workflow.id: workflow for workflow in store.all()}
    except StoreError as error:
        tally.counts["corrupt"] += 1
        tally.broken.append(f"corrupt: {error}")
        return
    lost = sum(found.get(id) != workflow for id, workflow in wanted.items())
    tally.counts["lost"] += lost
    tally.expect(not lost and len(found) == len(wanted), f"{path.name} holds other workflows")


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
        acks += killed([partial(reembed_on, path)], luck, LONGEST, tally)
        audit(path, acks, tally)
        _holds(path, wanted, tally)


def kills_compaction(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """The file is rewritten while others write, and all are killed."""
    path, acks = folder / "memory.db", list[Ack]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0, rewritten=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 200))
    for round in range(rounds):
        writer = partial(write_on, path, f"r{round}", luck.getrandbits(32), 2)
        said = killed([partial(tidy_on, path), writer], luck, LONGEST, tally)
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
        acks += killed([partial(snapshot_on, path)], luck, LONGEST, tally)
        audit(path, acks, tally)
        _is_one_of(path, states, tally)


def state_of(store: Store) -> set[bytes]:
    """All workflows, with how they stand."""
    return {encode(workflow) for workflow in store.all()}


def _is_one_of(path: Path, states: Sequence[set[bytes]], tally: Tally) -> None:
    with SqliteStore(path) as store:
        tally.expect(state_of(store) in states, f"{path.name} is in a state between two")


def backup_on(path: Path, voice: Voice) -> None:
    """Makes backups without end."""
    with SqliteStore(path) as store:
        for number in itertools.count():
            target = path.with_name(f"{os.getpid()}-{number}.copy")
            store.backup(target)
            voice.say(Ack(file=target.name))


def kills_backup(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Whoever makes backups is killed, with who writes: a backup is whole or not there."""
    path, acks, seen = folder / "memory.db", list[Ack](), set[str]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0, backups=0, torn=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 200))
    for round in range(rounds):
        writer = partial(write_on, path, f"r{round}", luck.getrandbits(32), 2)
        acks += killed([partial(backup_on, path), writer], luck, LONGEST, tally)
        audit(path, acks, tally)
        told_of = {ack.file for ack in acks if ack.file}
        there = {file.name: file for file in folder.glob("*.copy")}
        tally.expect(told_of <= set(there) | seen, "a backup that was acknowledged is not there")
        for file in there.values():
            tally.counts["backups"] += 1
            tally.counts["torn"] += not is_earlier(file, path, tally, 0)
        seen |= set(there)
        sweep(folder, tally)


def is_earlier(file: Path, path: Path, tally: Tally, at_least: int) -> bool:
    """Whether a copy is whole and what the store was at some entry of its log."""
    try:
        with SqliteStore(file) as copy, SqliteStore(path) as store:
            copy.check()
            head = copy.read(_head)
            same = store.read(lambda rows: rows.log.hash_at(head.seq)) == head.hash
    except StoreError as error:
        tally.broken.append(f"torn: {error}")
        return False
    tally.expect(same, f"{file.name} was never the state of the store")
    tally.expect(head.seq >= at_least, f"{file.name} lacks what was there before it was made")
    return same and head.seq >= at_least


def sweep(folder: Path, tally: Tally) -> None:
    """Removes copies, and what the killed left lying about."""
    for file in folder.iterdir():
        if file.name not in OWN_FILES:
            tally.counts["left_lying"] += ".building" in file.name or ".restoring" in file.name
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
        tally.counts["restores"] += len(killed([partial(restore_on, path, files)], luck, 1, tally))
        for file in (path, *path.parent.glob("*.bak")):
            audit(file, (), tally)
            _is_one_of(file, states, tally)
        sweep(path.parent, tally)


# a full disk


class SmallDisk:
    """A file system of its own, of a few MiB. Raises Skipped where one cannot be made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if os.geteuid() != 0:
            raise Skipped("only root can make a small file system")
        if error := self._mount(f"size={DISK_MIB}m"):
            raise Skipped(f"there is no small file system to be had: {error}")

    def grow(self) -> None:
        """Makes room."""
        if error := self._mount(f"remount,size={4 * DISK_MIB}m"):
            raise Skipped(f"the small file system cannot grow: {error}")

    def close(self) -> None:
        """Gives it back."""
        subprocess.run(["umount", str(self.folder)], check=True)

    def _mount(self, options: str) -> str:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else ""


class Filler:
    """A thread that writes until the disk is full."""

    def __init__(self, store: Store, name: str, luck: random.Random) -> None:
        self._writer = Writer(store, name, luck, OPEN)
        self.acks: list[Ack] = []
        self.error = ""

    def fill(self, most: int = 100_000) -> None:
        """Writes until it is told that it cannot."""
        try:
            for _ in range(most):
                self.acks.append(self._writer.step())
        except StoreError as error:
            self.error = str(error)


def diskfull(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """A file system is filled: what was acknowledged stays, the rest is refused in one line, what
    is there can be read, and writing goes on once there is room."""
    tally.counts.update(acknowledged=0, refused=0, lost=0, corrupt=0)
    for round in range(rounds):
        with closing(SmallDisk(folder / f"disk{round}")) as disk:
            _fill(disk, luck, tally)


def _fill(disk: SmallDisk, luck: random.Random, tally: Tally) -> None:
    path = disk.folder / "memory.db"
    with SqliteStore(path) as store:
        fillers = [Filler(store, f"t{n}", random.Random(luck.getrandbits(32))) for n in range(4)]
        together(filler.fill for filler in fillers)
        acks = [ack for filler in fillers for ack in filler.acks]
        tally.expect(len(acks) > 20, f"only {len(acks)} writes went in before the disk was full")
        for filler in fillers:
            plain = "\n" not in filler.error and str(path) in filler.error
            tally.expect(plain, f"a full disk is told of as {filler.error!r}")
        tally.counts["refused"] += len(fillers)
        lost = store.read(partial(missing, acks=acks))
        tally.expect(not lost, "with the disk full, what was acknowledged cannot all be read")
        best = recalled(store, OPEN, vectors_of("t0", 0)).successes
        tally.expect(bool(best), "with the disk full, nothing is recalled")
        with suppress(StoreError):
            SqliteStore(path).close()
            tally.counts["opened_while_full"] += 1
        disk.grow()
        before = len(acks)
        for filler in fillers:
            filler.error = ""
            filler.fill(10)
            tally.expect(not filler.error, f"there is room again, and still: {filler.error}")
        acks = [ack for filler in fillers for ack in filler.acks]
        tally.counts["after_that"] += len(acks) - before
    tally.counts["acknowledged"] += len(acks)
    audit(path, acks, tally)


# damage


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
        head = told(partial(store.read, _head)) or Head()
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
        if told(partial(store.read, _problems)) != ():
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


def _head(rows: Rows) -> Head:
    return rows.log.head()


def _problems(rows: Rows) -> tuple[str, ...]:
    return rows.session.problems()


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


# the state machine


def machine(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """The state machine of the tests: a store beside a dictionary, `rounds` times 50 steps."""
    from hypothesis import HealthCheck, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    stores = importlib.import_module("tests.memories.test_workflow_machine").Stores
    profile = settings(
        max_examples=rounds, stateful_step_count=50, deadline=None, database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )  # fmt: skip
    tempfile.tempdir = str(folder)  # where the machine makes its stores
    try:
        run_state_machine_as_test(seed(luck.getrandbits(32))(stores), settings=profile)
    except Exception as error:  # noqa: BLE001 - what flies here is what the drill looks for
        notes = " ".join(getattr(error, "__notes__", ()))
        tally.broken.append(f"the store is not what its model is: {error!r} {notes}")
    finally:
        tempfile.tempdir = None


# at once


def write_exactly(path: Path, name: str, writes: int, voice: Voice) -> None:
    """On two threads: so many new workflows, and half as many changes of the shared one."""

    def one(part: int) -> None:
        with heard(voice):
            for number in range(part, writes, 2):
                began = time.perf_counter()
                ack = store.write(partial(_insert, name, number))
                if number % 4 < 2:
                    store.write(_bump)
                voice.say(replace(ack, waited=time.perf_counter() - began))

    with SqliteStore(path) as store:
        together(partial(one, part) for part in range(2))


def _insert(name: str, number: int, rows: Rows) -> Ack:
    _, draft = made(random.Random(number), name, number, OPEN, Recollection())
    rows.put(draft.workflow)
    rows.vectors.set(draft.workflow.id, EMBEDDER, draft.vectors)
    return ack_of(rows, draft.workflow.id)


def _bump(rows: Rows) -> None:
    """Reads, adds one, writes: lost when somebody else comes between."""
    shared = rows.get("shared")
    assert shared is not None
    rows.put(replace(shared, summary=str(int(shared.summary) + 1)))
    rows.credit("shared", True, STARTED)


def concurrent(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Processes write at once; `rounds` new workflows each."""
    path, processes = folder / "memory.db", 8
    with SqliteStore(path) as store:
        store.add([replace(some(luck, 1)[0], id="shared", summary="0", uses=0, wins=0)])
    began = time.perf_counter()
    crew = Crew(*(partial(write_exactly, path, f"p{n}", rounds) for n in range(processes)))
    acks = noted(crew.finish(), tally)
    took = time.perf_counter() - began
    bumps = processes * sum(number % 4 < 2 for number in range(rounds))
    tally.counts["writes_a_second"] = round((len(acks) + bumps) / took)
    tally.counts["longest_wait_ms"] = round(1000 * max(ack.waited for ack in acks))
    tally.counts["changes_of_one"] = bumps
    with SqliteStore(path) as store:
        shared, count = store.get("shared"), store.count()
    tally.expect(count == processes * rounds + 1, f"{count} workflows of {processes * rounds + 1}")
    tally.expect(len(acks) == processes * rounds, f"{len(acks)} writes were acknowledged")
    exact = shared is not None and (shared.summary, shared.uses) == (str(bumps), bumps)
    tally.expect(exact, f"an update was lost: {bumps} changes made {shared and shared.summary}")
    audit(path, acks, tally)


# backups


def backup(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Backups while two processes write are what the store was at a moment. Every fourth is put
    back while they go on: nothing acknowledged falls between what was kept and what is there."""
    path, chains = folder / "memory.db", list[Mapping[int, str]]()
    tally.counts.update(backups=0, torn=0, restores=0, acknowledged=0, lost=0)
    with SqliteStore(path) as store:
        store.add(some(luck, 50))
        crew = Crew(*(partial(write_on, path, f"p{n}", luck.getrandbits(32), 2) for n in range(2)))
        crew.await_lines(6)
        for round in range(rounds):
            crew.listen(luck.uniform(0.0, 0.2))
            target, known = folder / f"{round}.copy", store.read(_head).seq
            store.backup(target)
            crew.listen(0.01)
            tally.counts["backups"] += 1
            tally.counts["torn"] += not is_earlier(target, path, tally, known)
            if round % 4 == 3:
                chains.append(_put_back(store, folder, luck.randrange(round), tally))
        acks = noted(crew.kill(), tally)
        store.check()
        chains.append(chain(store))
    lost = [ack for ack in acks if all(known.get(ack.seq) != ack.hash for known in chains)]
    tally.counts["lost"] += len(lost)
    tally.expect(not lost, f"{len(lost)} acknowledged writes are in no copy and not in the store")


def _put_back(store: SqliteStore, folder: Path, round: int, tally: Tally) -> Mapping[int, str]:
    """Restores a backup; the log of the copy that was kept of what was there."""
    target = folder / f"{round}.copy"
    with SqliteStore(target) as copy:
        wanted = chain(copy)
    kept = store.restore(target)
    tally.counts["restores"] += 1
    found = chain(store)
    tally.expect(wanted.items() <= found.items(), f"what was restored is not {target.name}")
    store.check()
    with SqliteStore(kept) as copy:
        copy.check()
        return chain(copy)


def chain(store: Store) -> Mapping[int, str]:
    """The hashes of the log's entries. Equal hashes: equal histories."""
    return {entry.seq: entry.hash for entry in store.read(_entries)}


def _entries(rows: Rows) -> list[Entry]:
    return list(rows.log.entries())


# the whole


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill, and how much of it there is."""

    name: str
    run: Callable[[Path, random.Random, int, Tally], None]
    rounds: int
    block: int
    """Rounds that share a folder and a seed."""

    def blocks(self, seed: int) -> Iterator[tuple[int, int]]:
        """Seeds, with the rounds of each."""
        for start in range(0, self.rounds, self.block):
            yield seed + start // self.block, min(self.block, self.rounds - start)


def drills(kill: int, flip: int, backups: int, examples: int) -> tuple[Drill, ...]:
    """All drills, with so many rounds of each."""
    few = -(-kill // 25)
    return (
        Drill("kills", kills, kill, 20),
        Drill("kills: migration", kills_migration, few, 20),
        Drill("kills: compaction", kills_compaction, few, 20),
        Drill("kills: reembed", kills_reembed, few, 20),
        Drill("kills: snapshot", kills_snapshot, few, 20),
        Drill("kills: backup", kills_backup, few, 20),
        Drill("kills: restore", kills_restore, few, 20),
        Drill("diskfull", diskfull, 3, 1),
        Drill("flips", flips, flip, 100),
        Drill("flips: wal", flips_wal, -(-flip // 5), 100),
        Drill("machine", machine, examples, 100),
        Drill("concurrent", concurrent, 2 * kill, 2 * kill),
        Drill("backup", backup, backups, 10),
    )


def run_block(drill: Drill, seed: int, rounds: int, parent: Path | None = None) -> Result:
    """Runs one block. Its files are kept when a promise was broken."""
    folder = Path(tempfile.mkdtemp(prefix=f"drill-{drill.run.__name__}-{seed}-", dir=parent))
    tally, skipped, began = Tally(), "", time.perf_counter()
    try:
        drill.run(folder, random.Random(seed), rounds, tally)
    except Skipped as why:
        skipped = str(why)
    except StoreError as error:
        tally.broken.append(f"corrupt: {error}")
    if not tally.broken:
        shutil.rmtree(folder)
    return Result(
        drill=drill.name, seed=seed, rounds=rounds, counts=dict(tally.counts),
        broken=tuple(tally.broken), skipped=skipped,
        kept=str(folder) if tally.broken else "", seconds=time.perf_counter() - began,
    )  # fmt: skip


class State:
    """The blocks that are done, in a file when there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_bytes().splitlines() if path is not None and path.exists() else []
        self._done = {_key(result): result for result in (decode(line, Result) for line in lines)}

    def of(self, drill: Drill, seed: int, rounds: int) -> Result | None:
        """A block's result; None when it was not run."""
        return self._done.get((drill.name, seed, rounds))

    def add(self, result: Result) -> None:
        """Keeps a block's result."""
        self._done[_key(result)] = result
        if self._path is not None:
            write_whole(self._path, (encode(done) + b"\n" for done in self._done.values()))


def _key(result: Result) -> tuple[str, int, int]:
    return result.drill, result.seed, result.rounds


def table(results: Sequence[Result]) -> str:
    """What happened, as Markdown."""
    lines = ["| drill | rounds | seeds | counted | broken | seconds |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(result.drill for result in results):
        blocks = [result for result in results if result.drill == name]
        counts: Counter[str] = Counter()
        for block in blocks:
            counts.update(block.counts)
        said = ", ".join(f"{what.replace('_', ' ')} {count:,}" for what, count in counts.items())
        skipped = next((block.skipped for block in blocks if block.skipped), "")
        rounds, broken = sum(b.rounds for b in blocks), sum(len(b.broken) for b in blocks)
        lines.append(
            f"| {name} | {rounds:,} | {blocks[0].seed} to {blocks[-1].seed} |"
            f" {skipped and 'skipped: '}{skipped or said} | {broken} |"
            f" {sum(b.seconds for b in blocks):.0f} |"
        )
    broken = [
        f"- {r.drill}, seed {r.seed} ({r.kept}): {what}" for r in results for what in r.broken
    ]
    return "\n".join((*lines, *(("", "Broken promises:", *broken) if broken else ())))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the drills that are named; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help="kills, diskfull, flips, ...; all without one")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100, help="of backups")
    parser.add_argument("--examples", type=int, default=2000, help="of the state machine")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--state", type=Path, help="a file that remembers the blocks that are done")
    parser.add_argument("--folder", type=Path, help="where the stores are made")
    asked = parser.parse_args(arguments)
    chosen = [
        drill
        for drill in drills(asked.kills, asked.flips, asked.rounds, asked.examples)
        if not asked.parts
        or drill.name.partition(":")[0] in asked.parts
        or drill.name in asked.parts
    ]
    if not chosen:
        parser.error(f"there is no such part: {' '.join(asked.parts)}")
    state, results = State(asked.state), list[Result]()
    for drill in chosen:
        for seed, rounds in drill.blocks(asked.seed):
            result = state.of(drill, seed, rounds)
            if result is None:
                result = run_block(drill, seed, rounds, asked.folder)
                state.add(result)
                print(f"{drill.name} {seed}: {encode(result).decode()}", file=sys.stderr)
            results.append(result)
    print(table(results))
    return int(any(result.broken for result in results))


if __name__ == "__main__":
    sys.exit(main())
