"""How fast a memory finds what may help, beside the stores that other agents' memories stand on.

    python -m benchmarks.memory_peers.recall
    python -m benchmarks.memory_peers.recall --sizes 10000 --peers chromadb,lancedb --json out.json

Every store holds the same N records: a vector of 384 dimensions, a namespace (4), a category (5),
an outcome, uses, wins, and a workflow as JSON. A question names a namespace and a category, which
keeps 5 % of the records, and wants the best 2 successes and the best failure by MIA's score (.7
similarity + .3 value + .3 frequency) among those that are near enough by MIA's rules. MIA ranks by
that itself: WorkflowMemory's whole recall, whose embedder hands out given vectors. The others rank
by similarity, so they are asked for the 50 nearest of each outcome, ranked again in Python.

  mia            SqliteStore; two vectors a record, because it also knows questions as asked
  chromadb       persistent client, HNSW by its defaults, one metadata filter a field
  chromadb-key   the same folder, asked by one combined metadata field
  lancedb        no index: every vector is compared
  lancedb-index  IVF_FLAT over the vectors, bitmaps over the fields
  mem0           its vector store as `Memory()` makes it: qdrant's local mode on disk

One process a store and run, held to one core. 3 runs, which take turns between the stores; medians
of them. `×` is a store's p50 by MIA's p50 of the same run. Recall is compared with numpy over all
records. What does not fit under the caps is reported as that.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Queue

import numpy as np
from benchmarks.memory_peers.command import machine, parser_of, say, tell
from benchmarks.memory_peers.processes import ChildError, run
from benchmarks.memory_peers.recall_child import MOST_SECONDS, Built, Run
from benchmarks.memory_peers.world import Vector, make_world

RUNS = 3
CHILD = "recall_child"
KINDS = {
    "mia": "mia:Mia",
    "chromadb": "chroma:Chroma",
    "chromadb-key": "chroma:ChromaKey",
    "lancedb": "lance:Lance",
    "lancedb-index": "lance:LanceIndex",
    "mem0": "mem0:Mem0",
}
"""The rows of the table."""
SHARED = {"chromadb-key": "chromadb"}
"""Rows that ask another one's folder."""


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one store at one size."""

    name: str
    size: int
    built: Built
    runs: tuple[Run, ...] = ()

    @property
    def failed(self) -> str | None:
        """Why there are no figures."""
        return self.built.failed or next((run.failed for run in self.runs if run.failed), None)

    def middle(self, field: str) -> float:
        """The median of a figure over the runs."""
        return statistics.median(getattr(run, field) for run in self.runs)

    def times(self, other: Row) -> float:
        """The median of how many times the other's p50 its own is, run by run."""
        pairs = zip(self.runs, other.runs, strict=True)
        return statistics.median(own.p50_ms / theirs.p50_ms for own, theirs in pairs)


class Size:
    """The stores at one size, in a folder."""

    def __init__(self, size: int, place: Path) -> None:
        self._size, self._place = size, place
        self._world = place / "world"
        self._cores = sorted(os.sched_getaffinity(0))

    def measure(self, names: Sequence[str], cap: float, given: Vector | None = None) -> list[Row]:
        """Builds the stores, then asks one after another, taking turns."""
        self._say("making them")
        make_world(self._world, self._size, given)
        built = self._build(list(dict.fromkeys(SHARED.get(name, name) for name in names)), cap)
        rows = {name: Row(name, self._size, built[SHARED.get(name, name)]) for name in names}
        for turn in range(1, RUNS + 1):
            for name, row in rows.items():
                if not row.failed:
                    self._say(f"asking {name}, run {turn} of {RUNS}")
                    rows[name] = replace(row, runs=(*row.runs, self._ask(name)))
        return list(rows.values())

    def _build(self, names: Sequence[str], cap: float) -> dict[str, Built]:
        """Two at a time, each on its core."""
        free = Queue[int]()
        for core in self._cores[-2:]:
            free.put(core)

        def fill(name: str) -> Built:
            core = free.get()
            try:
                return self._fill(name, core, cap)
            finally:
                free.put(core)

        with ThreadPoolExecutor(free.qsize()) as pool:
            return dict(zip(names, pool.map(fill, names), strict=True))

    def _fill(self, name: str, core: int, cap: float) -> Built:
        self._say(f"building {name}")
        folder = self._place / name
        words = ("build", KINDS[name], folder, self._world, cap)
        try:
            built = run(Built, CHILD, *words, seconds=2 * cap, core=core)
        except ChildError as why:
            built = Built(failed=str(why)[:200])
        mb = sum(path.stat().st_blocks for path in folder.rglob("*")) * 512 / 2**20
        self._say(f"{name} {built.failed or f'took {built.seconds:.1f} s'}")
        return replace(built, disk_mb=mb)

    def _ask(self, name: str) -> Run:
        words = ("ask", KINDS[name], self._place / SHARED.get(name, name), self._world)
        try:
            return run(Run, CHILD, *words, seconds=10 * MOST_SECONDS, core=self._cores[-1])
        except ChildError as why:
            return Run(failed=str(why)[:200])

    def _say(self, text: str) -> None:
        say(f"{self._size:,} records: {text}")


def table(rows: Sequence[Row]) -> str:
    """Markdown, one line a store and size."""
    lines = [
        "| store | records | build s | open s | p50 ms | p95 ms | × | CPU ms | recall@3 | disk MB "
        "| RSS MB | queries |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    mia = {row.size: row for row in rows if row.name == "mia" and not row.failed}
    for row in rows:
        if row.failed:
            lines.append(f"| {row.name} | {row.size:,} | {row.failed} |" + " |" * 9)
            continue
        ratio = f"{row.times(mia[row.size]):.1f}" if row.size in mia else ""
        lines.append(
            f"| {row.name} | {row.size:,} | {row.built.seconds:.1f} | {row.middle('open_s'):.2f} "
            f"| {row.middle('p50_ms'):.2f} | {row.middle('p95_ms'):.2f} | {ratio} "
            f"| {row.middle('cpu_ms'):.2f} | {row.middle('recall'):.3f} | {row.built.disk_mb:.0f} "
            f"| {row.middle('rss_mb'):.0f} | {sum(run.queries for run in row.runs)} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is asked for and prints the table."""
    parser = parser_of("recall", __doc__, KINDS)
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--cap", type=float, default=300.0, help="seconds that a build may take")
    parser.add_argument("--vectors", type=Path, help=".npy of unit rows to use, such as MiniLM's")
    asked = parser.parse_args(arguments)
    about = machine()
    rows: list[Row] = []
    given = None if asked.vectors is None else np.load(asked.vectors, mmap_mode="r")
    for size in map(int, asked.sizes.split(",")):
        with tempfile.TemporaryDirectory(dir=asked.place) as place:
            rows += Size(size, Path(place).resolve()).measure(asked.peers, asked.cap, given)
        say(table(rows))
    tell(about, table(rows), {"rows": rows}, asked.json)


if __name__ == "__main__":
    main()
