"""One store of the recall benchmark in a process of its own: it is built, or asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.memory_peers.processes import answer
from benchmarks.memory_peers.store import load
from benchmarks.memory_peers.world import WANTED, Record, World

WARM_UP = 5
"""Questions before those that are counted."""
ENOUGH_QUESTIONS, ENOUGH_SECONDS, MOST_SECONDS = 34, 10.0, 15.0
"""A run stops early when it has both of the first two, or all of the last."""


@dataclass(frozen=True, slots=True)
class Built:
    """What filling a store took, or why there is none."""

    seconds: float = 0.0
    disk_mb: float = 0.0
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run's questions, or why there are none."""

    open_s: float = 0.0
    """Opening and the first answer, without the imports."""
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    cpu_ms: float = 0.0
    recall: float = 0.0
    rss_mb: float = 0.0
    queries: int = 0
    failed: str | None = None


class TooSlow(Exception):
    """A build would pass the cap."""


class Paced:
    """Records as a build takes them: the time to make them is not the store's, and a build that is
    sure to pass the cap is stopped."""

    def __init__(self, world: World, cap: float) -> None:
        self._world, self._cap = world, cap
        self._began = time.perf_counter()
        self._making = 0.0

    def seconds(self) -> float:
        """What the store took until now."""
        return time.perf_counter() - self._began - self._making

    def __iter__(self) -> Iterator[Record]:
        total, left = len(self._world), time.perf_counter()
        for done, record in enumerate(self._world.records()):
            self._making += time.perf_counter() - left
            expected = self.seconds() * total / max(1, done)
            if done % 1000 == 0 and expected > self._cap and done >= total / 5:
                raise TooSlow(f"build needs about {expected:.0f} s, the cap is {self._cap:.0f} s")
            yield record
            left = time.perf_counter()


def build(kind: str, folder: Path, world: Path, cap: float) -> Built:
    """Fills a store."""
    folder.mkdir(parents=True)
    store = load(kind)(folder)
    records = Paced(World(world), cap)
    try:
        store.fill(records)
    except TooSlow as error:
        return Built(failed=str(error))
    return Built(seconds=records.seconds())


def ask(kind: str, folder: Path, world: Path) -> Run:
    """Opens a store and asks it the questions."""
    questions = list(World(world).questions())
    opens = load(kind)
    began = time.perf_counter()
    store = opens(folder)
    store.ask(questions[0][0])
    opened = time.perf_counter() - began
    for asked, _ in questions[1:WARM_UP]:
        store.ask(asked)
        if time.perf_counter() - began - opened > MOST_SECONDS / 5:
            break
    times: list[float] = []
    right = 0
    cpu = time.process_time()
    for asked, wanted in questions[WARM_UP:]:
        began = time.perf_counter()
        found = store.ask(asked)
        times.append(time.perf_counter() - began)
        right += len(wanted & {number for number, _ in found})
        spent = sum(times)
        if spent > MOST_SECONDS or (spent > ENOUGH_SECONDS and len(times) >= ENOUGH_QUESTIONS):
            break
    cpu = time.process_time() - cpu
    p50, p95 = np.percentile(times, (50, 95)) * 1000
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return Run(
        open_s=opened,
        p50_ms=float(p50),
        p95_ms=float(p95),
        cpu_ms=1000 * cpu / len(times),
        recall=right / len(times) / WANTED,
        rss_mb=int(status.split("VmRSS:")[1].split()[0]) / 1024,
        queries=len(times),
    )


def main() -> None:
    """Does what the words say."""
    match sys.argv[1:]:
        case ["build", kind, folder, world, cap]:
            answer(build(kind, Path(folder), Path(world), float(cap)))
        case ["ask", kind, folder, world]:
            answer(ask(kind, Path(folder), Path(world)))
        case words:
            sys.exit(f"no such work: {words}")


if __name__ == "__main__":
    main()
