"""The search server over real sockets: a corpus, and the web as the stand-ins speak it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.serving import Serving

from mia.pictures import Pictures
from mia.provider import WebImage
from mia.providers.brave import Brave
from mia.providers.serper import Serper
from mia.search.cache import Cache
from mia.search.fetch import Fetcher
from mia.search.online import Online
from mia.search.online_lane import Source
from mia.search.web import WebPages
from mia.servers.search import Parts, app
from mia.testing import ProviderStandIns, ToySearch
from mia.tool import ImageHit
from mia.types import Passage, Picture

TOWNS = (
    Passage(id="1", title="Rovigo", text="Rovigo is a town in the Veneto.", score=2.0),
    Passage(id="2", title="Padua", text="Padua is a city in the Veneto.", score=1.0),
)


def client() -> httpx2.Client:
    return httpx2.Client(trust_env=False, timeout=20)


@contextmanager
def serving(parts: Parts) -> Iterator[tuple[httpx2.Client, str]]:
    with Serving(app(parts)) as server, client() as asking:
        yield asking, server.url


@contextmanager
def on_the_web(folder: Path) -> Iterator[tuple[httpx2.Client, str, ProviderStandIns]]:
    """A server whose web is the stand-ins': Serper first, then Brave."""
    with ProviderStandIns(own_pages=True) as web:
        place = web.url.removeprefix("http://")
        serper = Serper(web.key, base_url=web.at("serper"))
        brave = Brave(web.key, base_url=web.at("brave"))
        pages = WebPages(Fetcher(allow=(place,)))
        online = Online(
            [Source(serper, images=serper), Source(brave)],
            cache=Cache(folder / "web.db"),
            pages=pages.page,
        )

        async def thumbnail(image: WebImage) -> bytes | None:
            return b"jpeg of " + image.title.encode()

        parts = Parts(corpus=ToySearch(TOWNS), web=online, pages=pages, thumbnail=thumbnail)
        with serving(parts) as (asking, url):
            yield asking, url, web


def test_retrieve_answers_as_search_r1_does_with_and_without_scores() -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        body: dict[str, Any] = {"queries": ["Rovigo", "Padua city"], "topk": 1}
        scored = asking.post(f"{url}/retrieve", json={**body, "return_scores": True}).json()
        plain = asking.post(f"{url}/retrieve", json=body).json()
    first = {"id": "1", "contents": '"Rovigo"\nRovigo is a town in the Veneto.'}
    assert [len(rows) for rows in scored["result"]] == [1, 1]
    assert scored["result"][0][0]["document"] == first
    assert isinstance(scored["result"][0][0]["score"], float)
    assert plain["result"][0] == [first]
    assert plain["result"][1][0]["id"] == "2"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_retrieve_without_scores_answers_each_of_any_number_of_queries(count: int) -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        told = asking.post(f"{url}/retrieve", json={"queries": ["town"] * count}).json()
    assert len(told["result"]) == count


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"queries": []}', b'{"queries": "town"}', b'{"queries": [1]}',
     b'{"queries": ["a"], "topk": 1000}', b'{"queries": ["a"], "topk": -1}', b"\xff"],
)  # fmt: skip
def test_what_is_no_retrieval_is_told_so(body: bytes) -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        answer = asking.post(f"{url}/retrieve", content=body)
    assert answer.status_code == 422
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/search", "/server/search"])
def test_a_search_of_the_web_comes_in_the_published_envelope(path: str, tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        query = web.app.corpus.docs[0].passage.title
        answer = asking.get(f"{url}{path}", params={"q": query, "max_results": 2})
        again = asking.get(f"{url}{path}", params={"q": query, "max_results": 2})
    told = answer.json()
    assert answer.status_code == 200
    assert set(told) == {"request_id", "tool", "result", "stat"}
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["stat"] == {"cache": "MISS"} and again.json()["stat"] == {"cache": "HIT"}
    result = told["result"]
    assert result["success"] is True and result["engine"] == "serper"
    assert "## Web Results\n1. [" in result["results"] and "\n2. [" in result["results"]
    assert again.json()["result"]["results"] == result["results"]


def test_several_queries_are_joined_and_a_bad_one_does_not_hide_the_rest(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        good = web.app.corpus.docs[0].passage.title
        bad = f"[[serper=captcha brave=quota]] {good}"
        told = asking.get(f"{url}/search", params=[("q", good), ("q", bad)]).json()["result"]
    first, second = told["results"].split("\n=======\n")
    assert "## Web Results" in first
    assert "failed" in second and "serper" in second and "brave" in second


def test_the_next_provider_answers_for_one_that_does_not(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        query = f"[[serper=quota]] {web.app.corpus.docs[0].passage.title}"
        told = asking.post(f"{url}/v1/search", json={"queries": [query], "source": "web"}).json()
    (result,) = told["results"]
    assert result["status"] == "ok" and result["engine"] == "brave"
    assert result["passages"] and any("serper" in line for line in result["failed"])


def test_when_nobody_answers_the_gateway_says_why_and_when_to_come_back(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        web.modes.update(serper="quota", brave="wrong_key")
        answer = asking.get(f"{url}/search", params={"q": "a town"})
        each = asking.post(f"{url}/v1/search", json={"queries": ["a town"], "source": "web"})
    assert answer.status_code == 502
    assert set(answer.json()) == {"request_id", "error", "retry_after"}
    assert answer.json()["retry_after"] == 5000
    assert each.status_code == 200 and each.json()["results"][0]["status"] == "failed"
    assert web.key not in answer.text + each.text


def test_a_deterministic_search_asks_nobody(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        asked = {"q": web.app.corpus.docs[1].passage.title, "deterministic": "true"}
        unknown = asking.get(f"{url}/search", params=asked)
        assert unknown.status_code == 404 and web.requests == []
        asking.get(f"{url}/search", params={"q": asked["q"]})
        made = len(web.requests)
        assert asking.get(f"{url}/search", params=asked).status_code == 200
        assert len(web.requests) == made


def test_an_engine_that_is_named_is_asked_first(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        query = web.app.corpus.docs[2].passage.title
        told = asking.get(f"{url}/search", params={"q": query, "engine": "brave"}).json()
        other = asking.get(f"{url}/search", params={"q": query, "engine": "ddgs"}).json()
    assert told["result"]["engine"] == "brave" and other["result"]["engine"] == "serper"


def test_pictures_for_words_come_as_titles_and_small_jpegs(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        query = web.app.corpus.docs[0].passage.title
        result = asking.get(f"{url}/image_search", params={"q": query}).json()["result"]
    assert set(result) == {"text", "images", "stat"}
    assert result["text"].startswith("1. ")
    assert base64.b64decode(result["images"][0]).startswith(b"jpeg of ")


def test_a_page_is_scraped_with_and_without_a_goal(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        page = f"{web.url}/page/0"
        plain = asking.get(f"{url}/web_scrape", params={"url": page}).json()["result"]
        goal = asking.get(f"{url}/web_scrape", params={"url": page, "goal": "where"}).json()
        gone = asking.get(f"{url}/web_scrape", params={"url": f"{web.url}/status/404"}).json()
        inside = asking.get(f"{url}/web_scrape", params={"url": "http://127.0.0.1:1/secret"})
    assert plain["success"] is True and plain["extracted_info"] is None
    assert web.app.corpus.docs[0].passage.text[:40] in plain["markdown_content"]
    assert goal["result"]["extracted_info"]
    assert gone["result"]["success"] is False
    assert inside.status_code == 422 and web.contacts == 0


@pytest.mark.parametrize(
    "address", ["ftp://example.org/x", "http://example.org:port/", "https://", "nonsense"]
)
def test_an_address_that_is_none_is_not_tried_again_and_again(address: str, tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        for _ in range(2):
            scraped = asking.get(f"{url}/web_scrape", params={"url": address})
            assert scraped.status_code == 422 and "retry_after" not in scraped.json()
            opened = asking.post(f"{url}/v1/open", json={"address": address})
            assert opened.status_code == (422 if address.startswith("http") else 404)
            assert "retry_after" not in opened.json()
        dead = asking.get(f"{url}/web_scrape", params={"url": f"{web.url}/status/500"})
    assert dead.status_code == 502 and dead.json()["retry_after"] == 5000


def test_a_query_without_words_finds_nothing_on_every_route(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        good = web.app.corpus.docs[0].passage.title
        rows = asking.post(f"{url}/retrieve", json={"queries": ["Rovigo", ""]}).json()["result"]
        text = asking.get(f"{url}/search", params=[("q", good), ("q", " ")]).json()["result"]
        each = [
            asking.post(f"{url}/v1/search", json={"queries": ["Rovigo", ""], "source": source})
            for source in ("corpus", "web")
        ]
        alone = asking.get(f"{url}/search", params={"q": ""})
        pictures = asking.get(f"{url}/image_search", params={"q": ""}).json()["result"]
    assert rows[0] and rows[1] == []
    first, second = text["results"].split("\n=======\n")
    assert text["success"] and "## Web Results" in first and second.startswith("No results")
    for answer in each:
        _, empty = answer.json()["results"]
        assert (empty["status"], empty["passages"]) == ("ok", [])
    assert alone.status_code == 200 and pictures["images"] == []


def test_what_topk_may_be_is_said() -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        told = asking.post(f"{url}/retrieve", json={"queries": ["a"], "topk": -1}).json()
    assert "from 0 to 100" in told["error"]


def test_a_document_is_opened_from_the_corpus_and_from_the_web(tmp_path: Path) -> None:
    with on_the_web(tmp_path) as (asking, url, web):
        town = asking.post(f"{url}/v1/open", json={"address": "1"}).json()
        page = asking.post(f"{url}/v1/open", json={"address": f"{web.url}/page/0"}).json()
        none = asking.post(f"{url}/v1/open", json={"address": f"{web.url}/status/410"})
    assert town["title"] == "Rovigo" and page["url"] == f"{web.url}/page/0"
    assert none.status_code == 404


class Mirror:
    """Finds the picture itself."""

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        return (ImageHit(title="the same", score=1.0, picture=picture),)[:limit]


def test_a_picture_is_looked_up(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    raw = BytesIO()
    image.new("RGB", (32, 32), "red").save(raw, "PNG")
    parts = Parts(pictures=Pictures(tmp_path), similar=Mirror())
    with serving(parts) as (asking, url):
        (hit,) = asking.post(f"{url}/v1/similar", content=raw.getvalue()).json()
        bad = asking.post(f"{url}/v1/similar", content=b"no picture")
    assert hit["title"] == "the same" and base64.b64decode(hit["image"])[:2] == b"\xff\xd8"
    assert bad.status_code == 422


def test_health_and_metrics_are_there_and_count() -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        asking.post(f"{url}/retrieve", json={"queries": ["town"]})
        asking.post(f"{url}/retrieve", content=b"bad")
        assert asking.get(f"{url}/health").json() == {"status": "ok"}
        text = asking.get(f"{url}/metrics").text
    assert 'search_requests_total{status="success",tool="retrieve"} 1.0' in text
    assert 'search_requests_total{status="error",tool="retrieve"} 1.0' in text
    assert "search_latency_seconds_count" in text


def test_a_server_without_a_source_says_so() -> None:
    with serving(Parts()) as (asking, url):
        assert asking.post(f"{url}/retrieve", json={"queries": ["a"]}).status_code == 404
        told = asking.post(f"{url}/v1/search", json={"queries": ["a"], "source": "corpus"})
        assert told.status_code == 404 and "no such source" in told.json()["error"]


def test_the_routes_describe_themselves() -> None:
    with serving(Parts(corpus=ToySearch(TOWNS))) as (asking, url):
        paths = asking.get(f"{url}/openapi.json").json()["paths"]
    assert {"/retrieve", "/search", "/v1/search", "/v1/open"} <= set(paths)
