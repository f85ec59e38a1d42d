"""The recipes that reproduce the tables of comparisons, over a small world."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cli.playing import Home

RECIPES = Path(__file__).parents[2] / "recipes"


def run(home: Home, recipe: str, *arguments: object) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MIA_")}
    ended = subprocess.run(
        [sys.executable, str(RECIPES / recipe), *map(str, arguments)],
        cwd=home.folder, env={**environment, "MIA_CONFIG": str(home.config)},
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def rows(report: Path) -> dict[str, int]:
    """How many answers each method of a report gave."""
    summary = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    return {row["method"]: row["done"] for row in summary["rows"]}


def test_methods_are_compared_by_one_command(home: Home) -> None:
    mini = home.folder / "data" / "mini"
    mini.mkdir(parents=True)
    (mini / "questions.jsonl").write_bytes(home.questions.read_bytes())
    (mini / "corpus.jsonl").write_bytes(home.corpus.read_bytes())
    arguments = ("--data", home.folder / "data", "--limit", 2, "--methods", "none,rag,mia")
    run(home, "compare_methods.py", *arguments)
    assert rows(home.folder / "build/reports/compare-methods-2") == {"none": 2, "rag": 2, "mia": 2}


def streams(home: Home) -> Path:
    """A folder with a stream of the small world's questions, of four families."""
    data = home.folder / "data"
    for name in ("dev", "streams", "corpus"):
        (data / name).mkdir(parents=True)
    questions = [json.loads(line) for line in home.questions.read_text().splitlines()]
    for number, question in enumerate(questions):
        question["family"] = f"kind {number % 4}"
    lines = [json.dumps(question) for question in questions]
    (data / "dev/2wikimultihopqa.jsonl").write_text("\n".join(lines))
    (data / "corpus/corpus.jsonl").write_bytes(home.corpus.read_bytes())
    order = [json.dumps({"id": question["id"]}) for question in reversed(questions)]
    for stream in ("interleaved", "transfer"):
        (data / f"streams/2wiki_dev_{stream}.jsonl").write_text("\n".join(order))
    return data


def test_streams_are_asked_by_one_command(home: Home) -> None:
    data = streams(home)
    run(home, "stream_transfer.py", "--data", data, "--limit", 4, "--seeds", "0,1")
    asked = dict.fromkeys(("none", "mia", "placebo"), 8)
    assert rows(home.folder / "build/reports/stream-interleaved-4") == asked
    assert rows(home.folder / "build/reports/stream-transfer-4") == {**asked, "frozen": 8}


def test_learning_on_a_stream_is_compared_by_one_command(home: Home) -> None:
    said = run(home, "learn_while_answering.py", "--data", streams(home), "--limit", 2,
               "--seeds", "0,1")  # fmt: skip
    arms = [line.split(" | ")[:3] for line in said.splitlines() if " | 4 | " in line]
    assert [(judge.strip("| "), arm) for judge, arm, _ in arms] == [
        ("", "frozen"), ("gold", "memory"), ("gold", "learning"), ("vote", "memory"),
        ("vote", "learning"),
    ]  # fmt: skip
