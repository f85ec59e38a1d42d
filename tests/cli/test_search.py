"""`mia search`: the same question to each engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home

from mia.testing import ProviderStandIns

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


def test_that_it_is_the_demos_corpus_is_said(mia: Mia, home: Home) -> None:
    with home.config.open("a") as settings:
        settings.write('[search.web]\norder = ["wikipedia"]\n')
    said = mia("search", "Kafka", "-k", "1")
    assert said.code == 0 and "Kafka" in said.out
    assert "the demo's corpus" in said.err and "--corpus" in said.err
    assert "--corpus" not in mia("search", "item 3", "--corpus", str(home.corpus)).err


def test_who_of_the_web_answered_is_said_and_why_not_who_came_before(mia: Mia, home: Home) -> None:
    settings = home.config.read_text()
    with ProviderStandIns() as web:
        home.config.write_text(
            f'{settings}[search.web]\norder = ["searxng", "wikipedia"]\n'
            'contact = "https://example.org/mia"\n'
            f'[search.web.searxng]\nbase_url = "{web.at("searxng")}"\n'
            f'[search.web.wikipedia]\nbase_url = "{web.at("wikipedia")}"\n'
        )
        first = mia("search", "Franz Kafka", "-k", "1")
        web.modes["searxng"] = "captcha"
        second = mia("search", "Frida Kahlo", "-k", "1")
    assert first.code == 0 and first.err == "answered by searxng\n"
    assert first.out.startswith("  1.000  http://")
    refused, answered = second.err.splitlines()
    assert refused.startswith("searxng: ") and answered == "answered by wikipedia"
    assert second.out.startswith("     1.  http://"), "no score of 0 where there is none"


def test_a_refusal_of_the_web_is_told_once(
    mia: Mia, home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = home.config.read_text()
    monkeypatch.setenv("TAVILY_API_KEY", "wrong")
    with ProviderStandIns() as web:
        home.config.write_text(
            f'{settings}[search.web]\norder = ["tavily", "searxng"]\n'
            f'[search.web.tavily]\nbase_url = "{web.at("tavily")}"\n'
            f'[search.web.searxng]\nbase_url = "{web.at("searxng")}"\n'
        )
        said = mia("search", "Franz Kafka", "-k", "1")
        assert mia("search", "Frida Kahlo", "--web").code == 0
    refused, answered = said.err.splitlines()
    assert refused.startswith("tavily: answered 401") and answered == "answered by searxng"
    assert caplog.records == [], "what is logged is printed too"


def test_an_index_and_a_corpus_are_one_too_many(mia: Mia, home: Home, index: str) -> None:
    said = mia("search", "item", "--index", index, "--corpus", str(home.corpus))
    assert said.code == 2 and "exclude each other" in said.err
