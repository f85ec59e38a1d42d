"""`mia data`: from a file that somebody has to questions that can be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home
from tests.datasets.written import jsonl, table

Mia = Callable[..., Any]


@pytest.fixture
def bamboogle(home: Home) -> Path:
    rows = [{"Question": f"Who made item {n}?", "Answer": f"maker {n}"} for n in range(5)]
    return table(home.folder / "bamboogle.csv", rows)


@pytest.fixture
def popqa(home: Home) -> Path:
    """Its third row does not fit."""
    rows = [
        {"id": n, "question": f"Where is item {n}?", "prop": "place" if n % 2 else "country",
         "possible_answers": "oops" if n == 3 else '["here", "there"]'}
        for n in range(1, 6)
    ]  # fmt: skip
    return jsonl(home.folder / "popqa.jsonl", rows)


def test_a_set_is_listed_got_and_shown(mia: Mia, bamboogle: Path) -> None:
    before = mia("data", "list")
    assert before.code == 0 and "mia data get NAME" in before.err
    for part in ("hotpotqa", "validation 7,405", "CC BY-SA", "gaia", "mmsearch"):
        assert part in before.out
    made = mia("data", "get", "bamboogle", "--from", str(bamboogle))
    assert made.code == 0 and "bamboogle:test: 5 questions of 5 rows, MIT" in made.err
    assert Path(made.out.strip()).is_file()
    assert "test 5," in mia("data", "list").out
    shown = mia("data", "show", "bamboogle", "-n", "2")
    for part in ("bamboogle:test: 5 questions, 5 with gold", "bamboogle:0", "Who made item 1?",
                 "= maker 1"):  # fmt: skip
        assert part in shown.out
    assert "item 2" not in shown.out


def test_json_tells_the_same(mia: Mia, bamboogle: Path) -> None:
    made = msgspec.json.decode(mia("data", "get", "bamboogle", "--from", str(bamboogle),
                                   "--limit", "3", "--json").out)  # fmt: skip
    assert (made["name"], made["split"], made["about"]["questions"]) == ("bamboogle", "test", 3)
    assert made["about"]["source"] == str(bamboogle)
    lines = [msgspec.json.decode(line) for line in mia("data", "list", "--json").out.splitlines()]
    listed = {line["name"]: line for line in lines}
    (here,) = listed["bamboogle"]["here"]
    assert here == {"split": "test", "path": made["path"], "about": made["about"]}
    assert listed["gaia"]["needs_token"] and not listed["popqa"]["needs_token"]
    shown = msgspec.json.decode(mia("data", "show", "bamboogle:test", "--json").out)
    assert (shown["count"], shown["gold"], shown["pictures"], shown["families"]) == (3, 3, 0, {})
    assert [question["id"] for question in shown["first"]] == [f"bamboogle:{n}" for n in range(3)]


def test_a_row_that_does_not_fit_ends_it_or_is_left_out_by_name(mia: Mia, popqa: Path) -> None:
    strict = mia("data", "get", "popqa", "--from", str(popqa))
    assert strict.code == 2 and "popqa test row 3: 'oops' is neither" in strict.err
    assert mia("data", "show", "popqa").code == 3
    lenient = mia("data", "get", "popqa", "--from", str(popqa), "--skip-bad")
    assert lenient.code == 0 and "popqa:test: 4 questions of 5 rows" in lenient.err
    assert "left out 1 rows that do not fit: 3" in lenient.err and "row 3: 'oops'" in lenient.err
    shown = mia("data", "show", "popqa").out
    assert "2 families:" in shown and "= here | there" in shown


def test_questions_of_ones_own_are_kept_under_ones_own_name(
    mia: Mia, home: Home, popqa: Path
) -> None:
    own = jsonl(home.folder / "own.json", [{"question": "Who?", "answer": "x"}])
    assert mia("data", "get", "mine", "--from", str(own)).code == 0
    like = mia("data", "get", "more", "--from", str(popqa), "--like", "popqa", "--split", "dev",
               "--skip-bad")  # fmt: skip
    assert like.code == 0 and "more:dev: 4 questions of 5 rows" in like.err
    listed = mia("data", "list").out
    assert "mine" in listed and "more" in listed
    assert "popqa:1" in mia("data", "show", "more:dev").out


def test_a_folder_with_a_corpus_is_shown_as_one(mia: Mia, home: Home) -> None:
    jsonl(home.folder / "small" / "questions.jsonl", [{"question": "Who?", "image": "no.jpg"}])
    jsonl(home.folder / "small" / "corpus.jsonl", [{"id": "1", "title": "t", "text": "x"}])
    shown = mia("data", "show", str(home.folder / "small"))
    assert "small: 1 questions, 0 with gold answers, 1 with pictures" in shown.out
    assert "corpus.jsonl" in shown.out and "picture: no.jpg" in shown.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("get", "hotqa"), 2, "no data set is called 'hotqa'; there are: hotpotqa"),
        (("get", "hotpotqa", "--split", "dev"), 2, "no split 'dev'; it has: validation, train"),
        (("get", "hotpotqa", "--from", "gone.json"), 2, "nothing at gone.json"),
        (("get", "hotpotqa", "--from", "x", "--repo", "a/b"), 2, "--from goes without"),
        (("get", "hotpotqa", "--like", "popqa", "--from", "x"), 2, "--like is for names of your"),
        (("get", "mine", "--from", "x", "--like", "hotqa"), 2, "no data set is called 'hotqa'"),
        (("get", "a/b", "--from", "x"), 2, "is no name"),
        (("get", "mine", "--from", "x", "--split", "../up"), 2, "is no name"),
        (("get", "livevqa"), 3, "--repo OWNER/NAME"),
        (("show", "hotpotqa"), 3, "mia data get hotpotqa"),
        (("show", "nobody"), 2, "no file and no data set is called nobody"),
    ],
)
def test_what_cannot_be_done_says_why(
    mia: Mia, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = mia("data", *arguments)
    assert (said.code, said.out) == (code, "") and words in said.err
