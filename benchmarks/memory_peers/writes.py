"""How many writes a second a memory acknowledges from 8 writers, and what becomes of them.

    python -m benchmarks.memory_peers.writes
    python -m benchmarks.memory_peers.writes --peers chromadb --json out.json

MIA does its whole `remember`: it compresses an episode, looks for a twin, stores the workflow and
its vectors, credits the three workflows that were recalled, notes the episode and logs all of it,
in one transaction. The others do the nearest thing that their interface offers:

  add     one record of the same size with its vector; nothing is credited
  full    that, then one more use for three known records: chromadb and mem0 read and write them
          back, lancedb has `uses + 1` as an expression. These are calls one after another

`mem0-lock` is mem0 with a lock of the caller's around every write.

8 threads of one process, then 8 processes of one thread, for 3 s each, on all cores, after a first
write of each process. Then another process opens the folder and counts: acknowledged records that
are not there, and uses that were never counted. `refused` are writes that raised an error. 3 runs
on new folders, which take turns between the stores: `acked/s` is their median, and `×` that of
acked/s by MIA's of the same run and as many writers; counts are sums of them. `syncs` are the calls
of fsync, fdatasync, msync and sync_file_range that one writer makes for a full write (this column
needs strace). `kill -9`: acknowledged writes of 8 threads that a SIGKILL lost, once.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.memory_peers.command import machine, parser_of, say, tell
from benchmarks.memory_peers.processes import ChildError
from benchmarks.memory_peers.trial import Run, Trial, Way

RUNS = 3
SECONDS = 3.0
KINDS = {
    "mia": "mia:Mia",
    "chromadb": "chroma:Chroma",
    "lancedb": "lance:Lance",
    "mem0": "mem0:Mem0",
    "mem0-lock": "mem0:LockedMem0",
}
THREADS = Way(full=True, processes=1, threads=8)
PROCESSES = Way(full=True, processes=8, threads=1)
ADD_THREADS, ADD_PROCESSES = replace(THREADS, full=False), replace(PROCESSES, full=False)
ALL = (THREADS, PROCESSES, ADD_THREADS, ADD_PROCESSES)
WAYS = {
    "mia": ALL[:2],
    "chromadb": ALL,
    "lancedb": ALL,
    "mem0": ALL[:3],  # its folder admits one process, whatever that writes
    "mem0-lock": (THREADS, ADD_THREADS),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one store and one way of writing."""

    name: str
    way: Way
    runs: tuple[Run, ...] = ()

    @property
    def failed(self) -> str | None:
        """Why there are no figures."""
        return next((run.failed for run in self.runs if run.failed), None)

    def middle(self) -> float:
        """The median of the writes a second."""
        return statistics.median(run.acked_s for run in self.runs)

    def times(self, other: Row) -> float:
        """The median of how many times the other's writes a second its own are, run by run."""
        pairs = zip(self.runs, other.runs, strict=True)
        return statistics.median(own.acked_s / theirs.acked_s for own, theirs in pairs)

    def sum(self, field: str) -> int:
        """A count over all runs."""
        return sum(getattr(run, field) for run in self.runs)


def measure(names: Sequence[str], place: Path) -> list[Row]:
    """One way after another, each by one store after another, taking turns."""
    rows = {(name, way): Row(name, way) for name in names for way in WAYS[name]}
    for turn in range(1, RUNS + 1):
        for name, way in sorted(rows, key=lambda at: ALL.index(at[1])):
            row = rows[name, way]
            if not row.failed:
                say(f"{name}: {way.work}, {way.writers}, run {turn} of {RUNS}")
                rows[name, way] = replace(row, runs=(*row.runs, one_run(name, way, place)))
    return list(rows.values())


def one_run(name: str, way: Way, place: Path) -> Run:
    """Writers on a new folder."""
    try:
        return Trial(KINDS[name], place).write(way, SECONDS)
    except ChildError as why:
        return Run(failed=str(why))


def durability(name: str, place: Path) -> tuple[str, str]:
    """The syncs of a write, and what a kill costs."""

    def told(ask: Callable[[Trial], str]) -> str:
        try:
            return ask(Trial(KINDS[name], place))
        except ChildError as why:
            return str(why)

    say(f"{name}: syncs, kill -9")
    return told(Trial.syncs), told(lambda trial: trial.kill(THREADS, 0.9 * SECONDS))


def table(rows: Sequence[Row], durable: Mapping[str, tuple[str, str]]) -> str:
    """Markdown: the speeds, then what an acknowledgement is worth."""
    lines = [
        "| store | work | writers | acked/s | × MIA | acked | lost | uses not counted | refused "
        "| note |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    mia = {row.way.writers: row for row in rows if row.name == "mia" and not row.failed}
    for row in rows:
        head = f"| {row.name} | {row.way.work} | {row.way.writers} |"
        if row.failed:
            lines.append(f"{head}" + " |" * 6 + f" {_noted(row.failed)} |")
            continue
        base = mia.get(row.way.writers)
        error = next((run.error for run in row.runs if run.error), "")
        lines.append(
            f"{head} {row.middle():.0f} | {'' if base is None else f'{row.times(base):.2f}'} "
            f"| {row.sum('acked')} | {row.sum('lost')} "
            f"| {row.sum('uncounted') if row.way.full else ''} | {row.sum('refused')} "
            f"| {_noted(error)} |"
        )
    lines += ["", "| store | syncs a full write | kill -9 |", "|---|---|---|"]
    lines += [f"| {name} | {synced} | {killed} |" for name, (synced, killed) in durable.items()]
    return "\n".join(lines)


def _noted(text: str) -> str:
    return text[:160].replace("|", "/")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is asked for and prints the tables."""
    asked = parser_of("writes", __doc__, KINDS).parse_args(arguments)
    about = machine()
    with tempfile.TemporaryDirectory(dir=asked.place) as folder:
        place = Path(folder).resolve()
        rows = measure(asked.peers, place)
        durable = {name: durability(name, place) for name in asked.peers}
    tell(about, table(rows, durable), {"rows": rows, "durable": durable}, asked.json)


if __name__ == "__main__":
    main()
