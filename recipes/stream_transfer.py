"""What a growing memory is worth on streams in which kinds of questions come back: the tables
"Streams" of benchmarks/RESULTS.md.

    python recipes/stream_transfer.py --data ../shared/data                       # hours
    python recipes/stream_transfer.py --data ../shared/data --limit 20 --seeds 0  # a look

Two streams of 2WikiMultiHopQA: 200 questions of 20 families, interleaved; and 150 whose first 50
are of ten families, while the rest mixes those with ten new ones. Arms: no memory; MIA; MIA with
the memories of other families' questions (a placebo); and, on the second stream, MIA frozen after
the first 50. Seed 0 asks in the stream's own order, other seeds shuffle it; the first 50 of the
second stream stay first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

STREAMS = {"interleaved": [], "transfer": ["--warm", "50"]}
ARMS = {"interleaved": "none,mia,placebo", "transfer": "none,mia,placebo,frozen"}


def main() -> None:
    """Asks both streams, then writes both reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with streams/")
    parser.add_argument("--limit", type=int, help="only the first N questions")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--out", type=Path, default=Path("build/reports"))
    asked = parser.parse_args()
    limit = [] if asked.limit is None else ["--limit", str(asked.limit)]
    for stream in asked.streams.split(","):
        name = f"stream-{stream}" if asked.limit is None else f"stream-{stream}-{asked.limit}"
        mia(
            "eval", "--data", asked.data / "dev/2wikimultihopqa.jsonl",
            "--order", asked.data / f"streams/2wiki_dev_{stream}.jsonl",
            "--corpus", asked.data / "corpus/corpus.jsonl",
            "--methods", ARMS[stream], "--seed", asked.seeds, "--name", name,
            "--concurrency", 1, *STREAMS[stream], *limit,
        )  # fmt: skip
        mia("report", name, "--baseline", "none", "--out", asked.out / name)


def mia(*words: object) -> None:
    """Runs the command line; ends with it where it fails."""
    ended = subprocess.run([sys.executable, "-m", "mia", *map(str, words)], check=False)
    if ended.returncode:
        sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
