"""One store in a new folder, and the writers that are let loose on it."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from benchmarks.memory_peers.processes import Child, ChildError, run
from benchmarks.memory_peers.store import Kept
from benchmarks.memory_peers.writes_child import ADD, FULL, READY, TRACED, End
from benchmarks.memory_peers.written import CREDITED

CHILD = "writes_child"
OPENING = 60.0
"""Seconds in which all writers must have opened the store."""
SYNCS = ("fsync", "fdatasync", "msync", "sync_file_range")


@dataclass(frozen=True, slots=True)
class Way:
    """What is written, and by how many."""

    full: bool
    processes: int
    threads: int
    """Of each process."""

    @property
    def work(self) -> str:
        """What each writes."""
        return FULL if self.full else ADD

    @property
    def writers(self) -> str:
        """Who writes."""
        if self.processes == 1:
            return f"{self.threads} threads"
        return f"{self.processes} processes"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run, or why nothing did."""

    acked_s: float = 0.0
    acked: int = 0
    lost: int = 0
    uncounted: int = 0
    """Uses that were acknowledged and never counted."""
    refused: int = 0
    error: str | None = None
    """The first that a writer met."""
    failed: str | None = None


class Trial:
    """A store that holds the known records. Raises ChildError when it cannot be made."""

    def __init__(self, kind: str, place: Path) -> None:
        self._kind = kind
        self._place = Path(tempfile.mkdtemp(dir=place))
        self._folder = self._place / "store"
        self._folder.mkdir()
        run(bool, CHILD, *self._words("prepare"), seconds=60)

    def write(self, way: Way, seconds: float) -> Run:
        """Writers at once, and what is kept of their work. Raises ChildError."""
        with ExitStack() as ends:
            children = [
                ends.enter_context(self._writer(1 + number, way, seconds))
                for number in range(way.processes)
            ]
            _await(children)
            warm = sum(len(_acked(child)) for child in children)
            for child in children:
                child.go()
            told = [child.answer(End, seconds + OPENING) for child in children]
            acked = [number for child in children for number in _acked(child)]
        kept = self.count(acked)
        return Run(
            acked_s=(len(acked) - warm) / max(end.seconds for end in told),
            acked=len(acked),
            lost=len(acked) - kept.there,
            uncounted=max(0, CREDITED * len(acked) - kept.uses) if way.full else 0,
            refused=sum(end.refused for end in told),
            error=next((end.error for end in told if end.error), None),
        )

    def kill(self, way: Way, seconds: float) -> str:
        """What a SIGKILL after so many seconds costs a process. Raises ChildError."""
        with self._writer(1, way, 2 * seconds) as child:
            _await([child])
            child.go()
            time.sleep(seconds)
            child.kill()
            acked = _acked(child)
        return f"{len(acked) - self.count(acked).there} of {len(acked)} lost"

    def syncs(self) -> str:
        """Calls that wait for the disk, for a write of a lone writer. Raises ChildError."""
        log = self._place / "trace"
        calls = f"trace={','.join(SYNCS)},kill"
        strace = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", calls, "-e", "signal=none",
                  "-o", str(log))  # fmt: skip
        if which(strace[0]) is None:
            return "no strace"
        end = run(End, CHILD, *self._words("trace"), seconds=120, under=strace)
        if end.error:
            raise ChildError(end.error)
        between = re.split(r"^.* kill\(.*$", log.read_text(), flags=re.MULTILINE)[1]
        found = re.findall(rf"({'|'.join(SYNCS)})\(", between)
        return f"{len(found) / TRACED:.1f}"

    def count(self, acked: Sequence[int]) -> Kept:
        """What is there of these, in a process that knows nothing of the writers. Raises
        ChildError."""
        listed = self._place / "acked"
        listed.write_text("\n".join(map(str, acked)), encoding="ascii")
        try:
            return run(Kept, CHILD, *self._words("count", listed), seconds=90)
        except ChildError as why:
            raise ChildError(f"cannot be read back: {why}") from why

    def _writer(self, first: int, way: Way, seconds: float) -> Child:
        return Child(CHILD, *self._words("write", way.work, first, way.threads, seconds))

    def _words(self, work: str, *rest: object) -> tuple[object, ...]:
        return work, self._kind, self._folder, *rest


def _await(children: Sequence[Child]) -> None:
    """Waits until all can begin. Raises ChildError that says how many cannot."""
    failures: list[str] = []
    for child in children:
        try:
            child.await_line(READY, OPENING)
        except ChildError as why:
            failures.append(str(why))
    if failures:
        raise ChildError(f"{len(failures)} of {len(children)} cannot open: {failures[0]}")


def _acked(child: Child) -> list[int]:
    return [int(line) for line in child.lines() if line.isdigit()]
