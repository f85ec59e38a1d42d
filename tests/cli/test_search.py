"""`mia search`: the same question to each engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home

Mia = Callable[..., Any]


@pytest.fixture
def index(mia: Mia, home: Home) -> str:
    out = str(home.folder / "index")
    assert mia("index", "build", str(home.corpus), "--out", out).code == 0
    return out


def test_the_best_passages_are_shown_with_their_ids(mia: Mia, index: str) -> None:
    said = mia("search", "item 3", "--index", index, "-k", "2")
    first, snippet, *_ = said.out.splitlines()
    assert said.code == 0 and first.split()[1] == "i3" and "The kind of item 3" in snippet
    assert len(said.out.splitlines()) == 4


def test_json_is_the_passages(mia: Mia, index: str) -> None:
    said = mia("search", "item 3", "--index", index, "-k", "1", "--json")
    (first,) = msgspec.json.decode(said.out)
    assert first["id"] == "i3" and first["score"] > 0


def test_an_index_of_the_home_is_called_by_its_name(mia: Mia, home: Home) -> None:
    name = Path(mia("index", "build", str(home.corpus)).out.strip()).name
    assert "i3" in mia("search", "item 3", "--index", name).out


@pytest.mark.parametrize("engine", ["dense", "hybrid"])
def test_meaning_needs_vectors_and_then_finds(mia: Mia, index: str, engine: str) -> None:
    asked = ("search", "Item 3", "--index", index, "--engine", engine)
    without = mia(*asked)
    assert without.code == 3 and f"run: mia index embed {index}" in without.err
    assert mia("index", "embed", index).code == 0
    found = mia(*asked, "--json")
    assert found.code == 0 and "i3" in [row["id"] for row in msgspec.json.decode(found.out)]


def test_passages_without_vectors_are_spoken_of(mia: Mia, home: Home, index: str) -> None:
    mia("index", "embed", index)
    more = home.folder / "more.jsonl"
    more.write_text('{"id": "m1", "title": "Shed", "text": "Item 6 is new."}\n')
    mia("index", "add", index, str(more))
    said = mia("search", "Shed", "--index", index, "--engine", "hybrid", "-k", "20")
    assert said.code == 0 and "some passages have no vector yet" in said.err
    assert "m1" in said.out, "by its words it is found"
    mia("index", "embed", index)
    assert "no vector" not in mia("search", "Shed", "--index", index, "--engine", "dense").err


def test_nothing_found_is_code_7(mia: Mia, index: str) -> None:
    said = mia("search", "xylophone", "--index", index)
    assert (said.code, said.out) == (7, "") and "nothing found" in said.err


def test_an_index_and_a_corpus_are_one_too_many(mia: Mia, home: Home, index: str) -> None:
    said = mia("search", "item", "--index", index, "--corpus", str(home.corpus))
    assert said.code == 2 and "exclude each other" in said.err
