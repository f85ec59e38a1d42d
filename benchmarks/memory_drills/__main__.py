"""Runs the drills that are named and says what became of them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.memory_drills import __doc__ as about
from benchmarks.memory_drills.drill import SEED, Drill, drills, run_block
from benchmarks.memory_drills.tally import Result

from mia.memories.workflow.files import write_whole
from mia.types import decode, encode


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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.memory_drills", description=(about or "").partition("\n")[0]
    )
    parser.add_argument("parts", nargs="*", help="kills, diskfull, flips, ...; all without one")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100, help="of backups")
    parser.add_argument("--examples", type=int, default=2000, help="of the state machine")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--state", type=Path, help="a file that remembers the blocks that are done")
    parser.add_argument("--folder", type=Path, help="where the stores are made")
    asked = parser.parse_args(arguments)
    every = drills(asked.kills, asked.flips, asked.rounds, asked.examples)
    parts = set(asked.parts) or {drill.name for drill in every}
    if unknown := parts.difference(*(drill.names for drill in every)):
        parser.error(f"there is no such part: {', '.join(sorted(unknown))}")
    state, results = State(asked.state), list[Result]()
    for drill in every:
        if not drill.names & parts:
            continue
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
