"""One process of the writes benchmark: it prepares a store, writes to it, or counts."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory_peers.processes import answer
from benchmarks.memory_peers.store import Kept, Store, load
from benchmarks.memory_peers.written import KNOWN, record

FULL, ADD = "full", "add"
READY = b"ready"
"""What a process of writers says before it waits for the line to begin."""
TRACED = 20
"""Writes whose syncs are counted."""
_SPAN = 1_000_000
"""Numbers a writer may use."""


@dataclass(frozen=True, slots=True)
class End:
    """What a process of writers says last."""

    seconds: float
    refused: int
    error: str | None


class Work:
    """The writes of one process. Says every acknowledged number at once, so that a kill loses none
    of them on the way."""

    def __init__(self, store: Store, full: bool) -> None:
        self._store, self._full = store, full
        self._began = time.perf_counter()
        self._refused = 0
        self._error: str | None = None

    def write(self, number: int) -> None:
        """One write, acknowledged or refused."""
        try:
            self._store.remember(number, self._full)
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
            self._refused += 1
            self._error = self._error or f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            os.write(1, f"{number}\n".encode())

    def write_on(self, first: int, threads: int, seconds: float) -> None:
        """Threads write at once, until the time is over."""
        self._began = time.perf_counter()

        def one(number: int) -> None:
            while time.perf_counter() < self._began + seconds:
                self.write(number)
                number += 1

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, (_SPAN * (first + thread) for thread in range(threads))))

    def end(self) -> End:
        """How it went since the threads began."""
        return End(time.perf_counter() - self._began, self._refused, self._error)


def write(store: Store, full: bool, first: int, threads: int, seconds: float) -> End:
    """Writes once, waits for a line, then writes on."""
    work = Work(store, full)
    work.write(_SPAN * (first + 1) - 1)
    os.write(1, READY + b"\n")
    sys.stdin.readline()
    work.write_on(first, threads, seconds)
    return work.end()


def trace(store: Store) -> End:
    """Writes alone, between two signals to itself that strace can see."""
    work = Work(store, full=True)
    work.write(_SPAN)
    os.kill(os.getpid(), 0)
    for number in range(TRACED):
        work.write(_SPAN + 1 + number)
    os.kill(os.getpid(), 0)
    return work.end()


def prepare(store: Store) -> bool:
    """Puts the known records there."""
    store.add([record(number) for number in range(KNOWN)])
    return True


def count(store: Store, acked: Path) -> Kept:
    """What is there of the numbers in a file."""
    return store.kept([int(line) for line in acked.read_text(encoding="ascii").split()])


def main() -> None:
    """Does what the words say."""
    work, kind, folder, *rest = sys.argv[1:]
    store = load(kind)(Path(folder))
    match work, *rest:
        case ["prepare"]:
            answer(prepare(store))
        case ["write", what, first, threads, seconds]:
            answer(write(store, what == FULL, int(first), int(threads), float(seconds)))
        case ["trace"]:
            answer(trace(store))
        case ["count", acked]:
            answer(count(store, Path(acked)))
        case words:
            sys.exit(f"no such work: {words}")


if __name__ == "__main__":
    main()
