"""Clients written only from the published wire formats (Search-R1's retrieval client and the Tool
Gateway's), with nothing but the standard library: they get right answers from our server."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers.serving import Serving

from mia.providers.serper import Serper
from mia.search.bm25 import BM25, build
from mia.search.online import Online
from mia.search.online_lane import Source
from mia.servers.search import Parts, app
from mia.testing import ProviderStandIns
from mia.types import Passage

PASSAGES = (
    Passage(id="7", title="Rovigo", text="Rovigo is a town in the Veneto region of Italy."),
    Passage(id="8", title="Padua", text="Padua is a city. Galileo taught there."),
    Passage(id="9", title="Adige", text="The Adige is a river that reaches the sea near Chioggia."),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, ProviderStandIns]]:
    build(PASSAGES, tmp_path / "index")
    with ProviderStandIns() as web:
        online = Online([Source(Serper(web.key, base_url=web.at("serper")))])
        parts = Parts(corpus=BM25(tmp_path / "index"), web=online)
        with Serving(app(parts)) as serving:
            yield serving.url, web


def retrieved(url: str, queries: list[str]) -> list[str]:
    """What a Search-R1 agent shows its model for each query."""
    payload = json.dumps({"queries": queries, "topk": 2, "return_scores": True}).encode()
    request = urllib.request.Request(
        f"{url}/retrieve", payload, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        results = json.load(answer)["result"]
    shown: list[str] = []
    for documents in results:
        lines: list[str] = []
        for number, item in enumerate(documents, 1):
            contents = item["document"]["contents"]
            title, text = contents.split("\n")[0], "\n".join(contents.split("\n")[1:])
            lines.append(f"Doc {number}(Title: {title}) {text}")
        shown.append("\n".join(lines))
    return shown


def searched(url: str, queries: list[str]) -> str:
    """What the published gateway's client shows its model."""
    asked = urllib.parse.urlencode([("q", q) for q in queries] + [("max_results", "3")])
    with urllib.request.urlopen(f"{url}/server/search?{asked}", timeout=10) as answer:
        return json.load(answer)["result"]["results"]


def test_a_search_r1_client_gets_the_passages_of_each_query(
    server: tuple[str, ProviderStandIns],
) -> None:
    url, _ = server
    rovigo, galileo, river = retrieved(url, ["Rovigo", "Where did Galileo teach?", "river sea"])
    assert rovigo.startswith('Doc 1(Title: "Rovigo") Rovigo is a town')
    assert galileo.startswith('Doc 1(Title: "Padua")') and "Galileo taught there" in galileo
    assert river.startswith('Doc 1(Title: "Adige")')


def test_a_gateway_client_gets_titles_addresses_and_snippets(
    server: tuple[str, ProviderStandIns],
) -> None:
    url, web = server
    first, second = web.app.corpus.docs[0].passage, web.app.corpus.docs[5].passage
    text = searched(url, [first.title, second.title])
    one, two = text.split("=======")
    assert first.title in one and web.url in one
    assert second.title in two
