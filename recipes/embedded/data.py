"""Builds the training examples of the two embedded adapters.

    python recipes/embedded/data.py --data ../shared/data --out build/embedded

Reader: (one passage, one question) -> a span of the passage, or `none`. From the evidence of train
questions and from facts mined in passages; no passage of reserved_ids.txt is used anywhere.
Planner: question (and perhaps a remembered example) -> a typed plan. From the plans of train
questions, from questions composed of the relations in relations.py about titles of unreserved
passages, and from train questions of no known kind, which get the fallback plan.
Every example goes through the same prompt and snippet code that the running system uses.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from made_questions import Titles
from mine import mine
from planner_examples import check_examples, planner_examples
from reader_examples import R, gold_hops, reader_example, reader_examples

from mia.search.bm25 import BM25, build
from mia.types import Passage


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plans", type=int, default=6000)
    parser.add_argument("--show", action="store_true", help="print a sample of both")
    options = parser.parse_args()
    reserved = set((options.data / "reserved_ids.txt").read_text().split())
    corpus = [
        Passage(id=row["id"], title=row["title"], text=row["text"])
        for row in read_jsonl(options.data / "corpus/corpus.jsonl")
    ]
    free = {passage.id: passage for passage in corpus if passage.id not in reserved}
    options.out.mkdir(parents=True, exist_ok=True)
    build(free.values(), options.out / "index")
    rows = [
        row
        for name in ("2wikimultihopqa", "musique", "hotpotqa")
        for row in read_jsonl(options.data / f"train/{name}.jsonl")
    ]
    held_back = {row["id"] for row in rows[::12]}
    facts = mine(list(free.values()))
    reader = reader_examples(
        [row for row in rows if row["id"] not in held_back],
        facts,
        free,
        BM25(options.out / "index"),
    )
    planner = planner_examples(
        [row for row in rows if row["id"] not in held_back],
        Titles(list(free.values())),
        options.plans,
    )
    kept_out = [row for row in rows if row["id"] in held_back]
    check_reader = [
        e for row in kept_out for hop in gold_hops(row, free) if (e := reader_example(*hop))
    ]
    check_planner = check_examples(kept_out)
    for name, examples in (("reader", reader), ("planner", planner),
                           ("reader_check", check_reader), ("planner_check", check_planner)):  # fmt: skip
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(examples, ensure_ascii=False))
        print(path, len(examples), Counter(e["kind"] for e in examples).most_common(60))
    if options.show:
        for example in R.sample(reader, 25) + R.sample(planner, 25):
            print("=" * 80, example["kind"], example["prompt"], example["answer"], sep="\n")


if __name__ == "__main__":
    main()
