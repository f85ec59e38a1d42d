"""How surely a policy learns in the tiny world, and what that costs: start, end and CPU-seconds.

    python -m benchmarks.learning --seeds 8

Each seed is a whole `mia train planner --preset tiny` in an empty home: the base is made, the
Planner learns to speak from runs in which everything was said at random, and GRPO teaches it what
to say. CPU-seconds are those of the whole command, loading included, on one thread. Rewards are
those of the four questions and the four beside them that are held out, by what the policy finds
likeliest. What a reward that pays for the opposite does is a test
(tests/training/test_tiny.py).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """One seed's."""

    begins: float
    """Mean reward."""
    ends: float
    steps: int
    seconds: float
    """CPU-seconds."""


def run(seed: int, home: Path) -> Run:
    """Raises CalledProcessError when the command fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            sys.executable, "-m", "mia", "train", "planner", "--preset", "tiny",
            "--name", f"seed{seed}", "--set", f"seed={seed}", "--json",
        ],
        env={**os.environ, "MIA_HOME": str(home), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line]
    checks = [line for line in lines if "reward" in line and "n" in line]
    return Run(
        begins=checks[0]["reward"],
        ends=checks[-1]["reward"],
        steps=checks[-1]["step"],
        seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def main() -> None:
    """Prints a row a seed, and the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    args = parser.parse_args()
    runs: list[Run] = []
    print("| seed | mean reward, start | end | steps | CPU-seconds |\n|---|---|---|---|---|")
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as home:
            one = run(seed, Path(home))
        runs.append(one)
        print(f"| {seed} | {one.begins:.3f} | {one.ends:.3f} | {one.steps} | {one.seconds:.1f} |")
    print(
        f"\nat worst {max(one.begins for one in runs):.3f} -> {min(one.ends for one in runs):.3f};"
        f" median {statistics.median(one.seconds for one in runs):.1f} CPU-seconds,"
        f" at most {max(one.seconds for one in runs):.1f}"
    )


if __name__ == "__main__":
    main()
