"""How many writes a second a memory acknowledges from 8 writers, and what becomes of them.

    pip install chromadb==1.5.9 lancedb==0.40.0 mem0ai==2.2.1 qdrant-client==1.20.0
    python benchmarks/memory_writes.py
    python benchmarks/memory_writes.py --peers chromadb --json out.json

MIA does its whole `remember`: it compresses an episode, looks for a twin, stores the workflow and
its vectors, credits the three workflows that were recalled, notes the episode and logs all of it,
in one transaction. The others do the nearest thing that their interface offers:

  add     one record of the same size with its vector; nothing is credited
  full    that, then one more use for three known records: chromadb and mem0 read and write them
          back, lancedb has `uses + 1` as an expression. These are calls one after another

`mem0-lock` is mem0 with a lock of the caller's around every write.

8 threads of one process, then 8 processes of one thread, for 3 s each, on all cores, after a first
write of each process. Then another process opens the folder and counts: acknowledged records that
are not there, and uses that were never counted. `refused` are writes that raised an error. `syncs`
are the calls of fsync, fdatasync, msync and sync_file_range that one writer makes for a full write
(this column needs strace). `kill -9`: acknowledged writes of 8 threads that a SIGKILL lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which
from threading import Lock, local
from typing import Any, Protocol

import numpy as np
from memory_recall import (
    CATEGORIES,
    DIMENSIONS,
    SILENT,
    Chroma,
    Given,
    Lance,
    Mem0,
    Mia,
    Record,
    child,
    machine,
    say,
    unit,
)

from mia.planner import parse_plan
from mia.types import (
    Episode,
    Observation,
    Passage,
    Question,
    Recalled,
    Recollection,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)

SEED = 0
WRITERS = 8
SECONDS = 3.0
KNOWN = 100
"""Records that are there before and get credited."""
CREDITED = 3
SPAN = 1_000_000
"""Numbers a writer may use."""
TRACED = 20
"""Writes whose syncs are counted."""
SYNCS = ("fsync", "fdatasync", "msync", "sync_file_range")
OPENING = 60.0
"""Seconds in which all writers must have opened the store."""
SCRIPT = str(Path(__file__).resolve())


def record(number: int) -> Record:
    """The record of a number, the same in every process."""
    rng = np.random.default_rng([SEED, number])
    return Record(
        number=number,
        vector=unit(rng.standard_normal(DIMENSIONS, dtype=np.float32)),
        namespace="tenant-0",
        category=CATEGORIES[number % len(CATEGORIES)],
        outcome="success",
        uses=0,
        wins=0,
    )


def credited(number: int) -> list[int]:
    """Which known records a write credits."""
    return random.Random(number).sample(range(KNOWN), CREDITED)


class Writer(Protocol):
    """What the writers of one process share."""

    def prepare(self) -> None:
        """Puts the known records there."""
        ...

    def remember(self, number: int, full: bool) -> None:
        """Returns once the write is acknowledged."""
        ...

    def kept(self, numbers: Sequence[int]) -> tuple[int, int]:
        """How many of these records are there, and how many uses were counted."""
        ...


class ChromaWriter(Chroma):
    def prepare(self) -> None:
        self.add([record(number) for number in range(KNOWN)])

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            ids = [str(known) for known in credited(number)]
            found = self.collection.get(ids=ids, include=["metadatas"])
            uses = [{"uses": fields["uses"] + 1} for fields in found["metadatas"]]
            self.collection.update(ids=found["ids"], metadatas=uses)

    def kept(self, numbers: Sequence[int]) -> tuple[int, int]:
        there = set(self.collection.get(include=[])["ids"])
        known = self.collection.get(ids=[str(number) for number in range(KNOWN)])
        uses = sum(fields["uses"] for fields in known["metadatas"])
        return sum(str(number) in there for number in numbers), uses


class LanceWriter(Lance):
    def prepare(self) -> None:
        self.add([record(number) for number in range(KNOWN)])

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            where = f"number IN ({', '.join(map(str, credited(number)))})"
            self.table.update(where=where, values_sql={"uses": "uses + 1"})

    def kept(self, numbers: Sequence[int]) -> tuple[int, int]:
        rows = self.table.search().select(["number", "uses"]).limit(None).to_arrow().to_pydict()
        there = set(rows["number"])
        pairs = zip(rows["number"], rows["uses"], strict=True)
        return sum(n in there for n in numbers), sum(uses for n, uses in pairs if n < KNOWN)


class Mem0Writer(Mem0):
    def prepare(self) -> None:
        self.add([record(number) for number in range(KNOWN)])

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            for known in credited(number):
                id = str(uuid.UUID(int=known))
                self.store.update(id, payload={"uses": self.store.get(id).payload["uses"] + 1})

    def kept(self, numbers: Sequence[int]) -> tuple[int, int]:
        there = sum(self.store.get(str(uuid.UUID(int=number))) is not None for number in numbers)
        known = (self.store.get(str(uuid.UUID(int=number))) for number in range(KNOWN))
        return there, sum(point.payload["uses"] for point in known)


class LockedMem0Writer(Mem0Writer):
    """Its threads take turns, as a careful caller's would."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._turn = Lock()

    def remember(self, number: int, full: bool) -> None:
        with self._turn:
            super().remember(number, full)


class MiaWriter(Mia):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._of_thread = local()

    def prepare(self) -> None:
        self.add([record(number) for number in range(KNOWN)])

    def remember(self, number: int, full: bool) -> None:
        if not hasattr(self._of_thread, "runner"):
            self._of_thread.runner = asyncio.Runner()
        self._of_thread.runner.run(self._remember(number))

    async def _remember(self, number: int) -> None:
        from mia.memories.workflow.memory import WorkflowMemory

        given = Given()
        given.vector = record(number).vector
        remembered = await WorkflowMemory(self.store, given, "tenant-0").remember(episode(number))
        assert remembered.decision == "stored", remembered

    def kept(self, numbers: Sequence[int]) -> tuple[int, int]:
        self.store.check()
        there = {workflow.source_episode for workflow in self.store.all("tenant-0")}
        decided = self.store.read(
            lambda rows: [rows.absorbed("tenant-0", f"episode-{number}") for number in numbers]
        )
        names = [f"episode-{number}" for number in numbers]
        kept = sum(n in there and d is not None for n, d in zip(names, decided, strict=True))
        known = (self.store.get(record(number).workflow.id) for number in range(KNOWN))
        return kept, sum(workflow.uses for workflow in known if workflow)


def episode(number: int) -> Episode:
    """A run of two lookups whose way no other run went, for which three workflows were recalled."""
    way = "".join(chr(97 + int(digit)) for digit in str(number))
    plan = parse_plan(f"#1 Who {way} [Thing {number}]?\n#2 When was #1 {way}ed?\nanswer #2")
    turns: list[Turn] = []
    for asked, found in (
        (f"Who {way} Thing {number}?", "Ann Lee"),
        (f"When was Ann Lee {way}ed?", "1946"),
    ):
        text = f"Thing {number} was made by Ann Lee, born in 1946. " * 5
        passage = Passage(id=f"p{number}", title=f"Thing {number}", text=text)
        turns.append(
            Turn(
                thought=asked,
                call=ToolCall(name="search", arguments={"query_list": [asked]}),
                observation=Observation(text=text, passages=(passage,)),
                found=found,
            )
        )
    known = (
        Recalled(workflow=record(at).workflow, score=0.9, similarity=0.9, value=0.5, frequency=1.0)
        for at in credited(number)
    )
    return Episode(
        id=f"episode-{number}",
        question=Question(
            text=f"When was who {way} Thing {number} {way}ed?", id=f"question-{number}"
        ),
        recollection=Recollection(successes=tuple(known)),
        plan=plan,
        trajectory=Trajectory(turns=(*turns, Turn(answer="1946")), outcome="answered"),
        verdict=Verdict(value=VerdictValue.CORRECT, judge="exact_match"),
        started="2026-01-01T00:00:00.000+00:00",
    )


KINDS: dict[str, Callable[[Path], Writer]] = {
    "mia": MiaWriter,
    "chromadb": ChromaWriter,
    "lancedb": LanceWriter,
    "mem0": Mem0Writer,
    "mem0-lock": LockedMem0Writer,
}
THREADS, PROCESSES = f"{WRITERS} threads", f"{WRITERS} processes"
ALL = (("full", THREADS), ("full", PROCESSES), ("add", THREADS), ("add", PROCESSES))
WAYS = {
    "mia": ALL[:2],
    "chromadb": ALL,
    "lancedb": ALL,
    "mem0": ALL[:3],  # its folder admits one process, whatever that writes
    "mem0-lock": (ALL[0], ALL[2]),
}


class Work:
    """The writes of one process. Says every acknowledged number at once, so that a kill loses none
    of them on the way."""

    def __init__(self, store: Writer, full: bool) -> None:
        self._store, self._full = store, full
        self.refused = 0
        self.error: str | None = None

    def write(self, number: int) -> None:
        try:
            self._store.remember(number, self._full)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
            self.refused += 1
            self.error = self.error or f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            os.write(1, f"{number}\n".encode())

    def write_until(self, number: int, end: float) -> None:
        while time.perf_counter() < end:
            self.write(number)
            number += 1


def writer(name: str, folder: str, first: int, threads: int, full: bool) -> None:
    """Opens, writes once, waits for a line, then writes. Runs in a process of its own."""
    work = Work(KINDS[name](Path(folder)), full)
    work.write(SPAN * (first + 1) - 1)
    os.write(1, b"ready\n")
    sys.stdin.readline()
    began = time.perf_counter()
    numbers = [SPAN * (first + thread) for thread in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work.write_until, numbers, [began + SECONDS] * threads))
    end = End(time.perf_counter() - began, work.refused, work.error)
    os.write(1, f"{json.dumps(asdict(end))}\n".encode())
    os._exit(0)


def traced(name: str, folder: str) -> None:
    """Writes between two signals to itself that strace can see. Runs in a process of its own."""
    work = Work(KINDS[name](Path(folder)), full=True)
    work.write(SPAN)
    for number in range(SPAN + 1, SPAN + 1 + TRACED):
        if number == SPAN + 1:
            os.kill(os.getpid(), 0)
        work.write(number)
    os.kill(os.getpid(), 0)
    os._exit(1 if work.refused else 0)


def count(name: str, folder: str, acked: str) -> None:
    """Says what is there. Runs in a process of its own."""
    numbers = [int(line) for line in Path(acked).read_text(encoding="ascii").split()]
    kept, uses = KINDS[name](Path(folder)).kept(numbers)
    print(json.dumps({"kept": kept, "uses": uses}), flush=True)
    os._exit(0)


@dataclass(frozen=True, slots=True)
class End:
    """What a process of writers says last."""

    seconds: float
    refused: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one way of writing."""

    name: str
    work: str
    writers: str
    acked_s: float = 0.0
    acked: int = 0
    lost: int = 0
    uncounted: int = 0
    """Uses that were acknowledged and never counted."""
    refused: int = 0
    note: str = ""


class Drill:
    """One store in a new folder, and the writers that are let loose on it."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(dir=place)) / "store"
        self.folder.mkdir()
        self._acked: list[int] = []

    def prepare(self) -> str | None:
        """What went wrong; None when the known records are there."""
        return child((SCRIPT, "--child", "prepare", self.name, str(self.folder)), None, 60).get(
            "failed"
        )

    def start(self, first: int, threads: int, work: str) -> Process:
        return Process(self.name, self.folder, first, threads, work)

    def count(self, acked: Sequence[int]) -> dict[str, Any]:
        """What is there of the acknowledged, in a process that knows nothing of the writers."""
        listed = self.folder.with_name("acked")
        listed.write_text("\n".join(map(str, acked)), encoding="ascii")
        return child(
            (SCRIPT, "--child", "count", self.name, str(self.folder), str(listed)), None, 90
        )


class Process:
    """One process of writers, whose words go to a file that outlives it."""

    def __init__(self, name: str, folder: Path, first: int, threads: int, work: str) -> None:
        self._said = folder.with_name(f"said-{first}")
        self._erred = folder.with_name(f"erred-{first}")
        command = [sys.executable, "-W", "ignore", SCRIPT, "--child", "write", name, str(folder)]
        with self._said.open("wb") as said, self._erred.open("wb") as erred:
            self.process = subprocess.Popen(
                [*command, str(first), str(threads), work],
                stdin=subprocess.PIPE, stdout=said, stderr=erred,
                env=os.environ | SILENT,
            )  # fmt: skip

    def ready(self) -> str | None:
        """Waits until it can begin; what went wrong, or None."""
        end = time.perf_counter() + OPENING
        while "ready" not in self._lines():
            if self.process.poll() is not None or time.perf_counter() > end:
                self.process.kill()
                lines = self._erred.read_text(errors="replace").strip().splitlines()
                return lines[-1] if lines else "no answer"
            time.sleep(0.05)
        return None

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def acked(self) -> list[int]:
        """What it acknowledged; libraries say things too."""
        return [int(line) for line in self._lines() if line.isdigit()]

    def end(self) -> End:
        """Waits for its end."""
        self.process.communicate(timeout=SECONDS + OPENING)
        return next(End(**json.loads(line)) for line in self._lines() if line.startswith("{"))

    def _lines(self) -> list[str]:
        whole = self._said.read_text(errors="replace").splitlines(keepends=True)
        return [line.strip() for line in whole if line.endswith("\n")]


def measure(name: str, work: str, shape: str, place: Path) -> Row:
    """Eight writers on a new folder."""
    say(f"{name}: {work}, {shape}")
    processes = shape == PROCESSES
    drill = Drill(name, place)
    if failed := drill.prepare():
        return Row(name, work, shape, note=failed)
    firsts = range(1, WRITERS + 1) if processes else range(1, 2)
    started = [drill.start(n, 1 if processes else WRITERS, work) for n in firsts]
    failures = [failed for process in started if (failed := process.ready())]
    if failures:
        for process in started:
            process.process.kill()
            process.process.wait()
        return Row(
            name, work, shape, note=f"{len(failures)} of {len(started)} cannot open: {failures[0]}"
        )
    warm = sum(len(process.acked()) for process in started)
    for process in started:
        process.go()
    ends = [process.end() for process in started]
    acked = [number for process in started for number in process.acked()]
    there = drill.count(acked)
    if failed := there.get("failed"):
        return Row(name, work, shape, acked=len(acked), note=f"cannot be read back: {failed}")
    return Row(
        name, work, shape,
        acked_s=(len(acked) - warm) / max(end.seconds for end in ends),
        acked=len(acked),
        lost=len(acked) - there["kept"],
        uncounted=max(0, CREDITED * len(acked) - there["uses"]) if work == "full" else 0,
        refused=sum(end.refused for end in ends),
        note=next((end.error for end in ends if end.error), ""),
    )  # fmt: skip


def syncs(name: str, place: Path) -> str:
    """Calls that wait for the disk, for a write of a lone writer."""
    if which("strace") is None:
        return "no strace"
    say(f"{name}: syncs")
    drill = Drill(name, place)
    log = drill.folder.with_name("trace")
    if failed := drill.prepare():
        return failed
    subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-qq", "-e", f"trace={','.join(SYNCS)},kill",
         "-e", "signal=none", "-o", str(log), sys.executable, "-W", "ignore", SCRIPT,
         "--child", "traced", name, str(drill.folder)],
        check=True, capture_output=True, timeout=120,
        env=os.environ | SILENT,
    )  # fmt: skip
    between = re.split(r"^.* kill\(.*$", log.read_text(), flags=re.MULTILINE)[1]
    calls = re.findall(rf"({'|'.join(SYNCS)})\(", between)
    return f"{len(calls) / TRACED:.1f}"


def kill(name: str, place: Path) -> str:
    """What a SIGKILL in the middle costs."""
    say(f"{name}: kill -9")
    drill = Drill(name, place)
    failed = drill.prepare()
    process = drill.start(1, WRITERS, "full")
    if failed := failed or process.ready():
        return failed
    process.go()
    time.sleep(0.9 * SECONDS)
    process.process.send_signal(signal.SIGKILL)
    process.process.wait()
    acked = process.acked()
    there = drill.count(acked)
    return there.get("failed") or f"{len(acked) - there['kept']} of {len(acked)} lost"


def table(rows: Sequence[Row], durable: dict[str, tuple[str, str]]) -> str:
    """Markdown: the speeds, then what an acknowledgement is worth."""
    lines = [
        "| store | work | writers | acked/s | × MIA | acked | lost | uses not counted | refused "
        "| note |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    speeds = {row.writers: row.acked_s for row in rows if row.name == "mia"}
    for row in rows:
        base = speeds.get(row.writers)
        ratio = f"{row.acked_s / base:.2f}" if base and row.acked_s else ""
        uncounted = row.uncounted if row.work == "full" else ""
        note = row.note[:160].replace("|", "/")
        if not row.acked:
            lines.append(f"| {row.name} | {row.work} | {row.writers} |" + " |" * 6 + f" {note} |")
            continue
        lines.append(
            f"| {row.name} | {row.work} | {row.writers} | {row.acked_s:.0f} | {ratio} "
            f"| {row.acked} | {row.lost} | {uncounted} | {row.refused} | {note} |"
        )
    lines += ["", "| store | syncs a full write | kill -9 |", "|---|---|---|"]
    lines += [f"| {name} | {synced} | {killed} |" for name, (synced, killed) in durable.items()]
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        what, name, folder, *rest = sys.argv[2:]
        if what == "prepare":
            KINDS[name](Path(folder)).prepare()
            print("{}", flush=True)
            os._exit(0)
        if what == "write":
            writer(name, folder, int(rest[0]), int(rest[1]), rest[2] == "full")
        elif what == "traced":
            traced(name, folder)
        else:
            count(name, folder, rest[0])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default=",".join(KINDS))
    parser.add_argument("--place", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ["mia", *(n.strip() for n in options.peers.split(",") if n.strip() not in ("", "mia"))]
    if unknown := [name for name in names if name not in KINDS]:
        parser.error(f"no such store: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    about = machine()
    rows: list[Row] = []
    durable: dict[str, tuple[str, str]] = {}
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        place = Path(folder)
        for name in names:
            rows += [measure(name, work, shape, place) for work, shape in WAYS[name]]
            durable[name] = syncs(name, place), kill(name, place)
            say(table(rows, durable))
    print(f"{about} to {os.getloadavg()[0]:.1f}\n\n{table(rows, durable)}")
    if options.json:
        told = {"machine": about, "rows": [asdict(row) for row in rows], "durable": durable}
        options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
