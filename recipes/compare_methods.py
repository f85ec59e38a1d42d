"""Every baseline and MIA on the same questions: the table "Methods beside each other" of
benchmarks/RESULTS.md.

    python recipes/compare_methods.py --data ../shared/data                 # 200 questions, hours
    python recipes/compare_methods.py --data ../shared/data --limit 20      # a look

Interrupted, it goes on where it stopped. `closed`, the bare model without search or memory, is
asked beside the methods: what it gets right, it may have known from its training.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from mia.methods import BASELINES

NAME = "compare-methods"


def main() -> None:
    """Asks, then writes the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with mini/")
    parser.add_argument("--limit", type=int, help="only the first N questions")
    parser.add_argument("--methods", default=",".join((*BASELINES, "closed")))
    parser.add_argument("--out", type=Path, default=Path("build/reports"))
    asked = parser.parse_args()
    limit = [] if asked.limit is None else ["--limit", str(asked.limit)]
    name = NAME if asked.limit is None else f"{NAME}-{asked.limit}"
    mia(
        "eval", "--data", asked.data / "mini", "--methods", asked.methods,
        "--name", name, "--concurrency", 1, *limit,
    )  # fmt: skip
    mia("report", name, "--baseline", "none", "--out", asked.out / name)


def mia(*words: object) -> None:
    """Runs the command line; ends with it where it fails."""
    ended = subprocess.run([sys.executable, "-m", "mia", *map(str, words)], check=False)
    if ended.returncode:
        sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
