"""The stand-ins of search providers speak as the real ones do, and misbehave as they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from mia.testing import ProviderStandIns
from mia.testing.providers_modes import MODES

QUESTION = "Who wrote The Trial?"


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as running:
        yield running


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False, timeout=5) as client:
        yield client


def keys(value: Any) -> set[str]:
    return set(value)


class Asking:
    """Asks each provider in its own way."""

    def __init__(self, web: ProviderStandIns, http: httpx2.Client) -> None:
        self.web, self.http = web, http

    def __call__(
        self, name: str, query: str = QUESTION, key: str | None = None, **headers: str
    ) -> httpx2.Response:
        base, key = self.web.at(name), self.web.key if key is None else key
        match name:
            case "serper":
                sent = {"X-API-KEY": key} if key else {}
                return self.http.post(
                    f"{base}/search", json={"q": query}, headers={**sent, **headers}
                )
            case "brave":
                sent = {"X-Subscription-Token": key} if key else {}
                return self.http.get(
                    f"{base}/res/v1/web/search", params={"q": query}, headers={**sent, **headers}
                )
            case "tavily":
                sent = {"Authorization": f"Bearer {key}"} if key else {}
                return self.http.post(
                    f"{base}/search", json={"query": query}, headers={**sent, **headers}
                )
            case "exa":
                sent = {"x-api-key": key} if key else {}
                return self.http.post(
                    f"{base}/search", json={"query": query}, headers={**sent, **headers}
                )
            case "searxng":
                return self.http.get(
                    f"{base}/search", params={"q": query, "format": "json"}, headers=headers
                )
            case _:
                asked = {
                    "action": "query", "list": "search", "srsearch": query, "format": "json",
                }  # fmt: skip
                headers = {"User-Agent": "test (a@b.test)", **headers}
                return self.http.get(f"{base}/w/api.php", params=asked, headers=headers)


@pytest.fixture
def ask(web: ProviderStandIns, http: httpx2.Client) -> Asking:
    return Asking(web, http)


def test_serper_speaks_as_serper(ask: Asking) -> None:
    answer = ask("serper").json()
    assert keys(answer) == {"searchParameters", "organic", "credits"}
    assert answer["searchParameters"] == {
        "q": QUESTION, "gl": "us", "hl": "en", "num": 10, "engine": "google", "type": "search",
    }  # fmt: skip
    assert keys(answer["organic"][0]) == {"title", "link", "snippet", "date", "position"}
    assert answer["organic"][0]["title"] == "The Trial" and len(answer["organic"]) == 10
    wrong = ask("serper", key="wrong")
    assert (wrong.status_code, wrong.json()) == (
        403,
        {"message": "Unauthorized.", "statusCode": 403},
    )
    assert ask("serper", key="").status_code == 403
    spent = ask("serper", "[[quota]] x")
    assert (spent.status_code, spent.json()["message"]) == (400, "Not enough credits")
    busy = ask("serper", "[[rate]] x")
    assert busy.status_code == 429 and "retry-after" not in busy.headers
    assert not [name for name in busy.headers if "ratelimit" in name]


def test_brave_speaks_as_brave(ask: Asking) -> None:
    response = ask("brave")
    answer = response.json()
    assert answer["type"] == "search" and answer["query"]["original"] == QUESTION
    assert "<strong>Trial</strong>" in answer["web"]["results"][0]["description"]
    assert response.headers["x-ratelimit-policy"] == "50;w=1, 15000;w=2592000"
    assert response.headers["x-ratelimit-remaining"] == "49, 14999"
    assert "web" not in ask("brave", "[[empty]] x").json()
    wrong = ask("brave", key="wrong").json()
    assert wrong["type"] == "ErrorResponse" and wrong["error"]["status"] == 401
    assert ask("brave", "[[rate]] x").headers["x-ratelimit-remaining"] == "0, 9"
    assert ask("brave", "x" * 401).status_code == 422


def test_tavily_and_exa_speak_as_they_do(ask: Asking) -> None:
    answer = ask("tavily").json()
    assert {"query", "answer", "images", "results", "response_time", "request_id"} <= keys(answer)
    assert keys(answer["results"][0]) == {"title", "url", "content", "score", "raw_content"}
    assert ask("tavily", key="wrong").json()["detail"]["error"].startswith("Unauthorized")
    assert ask("tavily", "[[quota]] x").status_code == 432
    answer = ask("exa").json()
    assert keys(answer) == {"requestId", "resolvedSearchType", "results", "costDollars"}
    assert {"id", "url", "title", "publishedDate", "highlights"} <= keys(answer["results"][0])
    assert ask("exa", key="").status_code == 401


def test_searxng_speaks_json_only_when_asked(ask: Asking, http: httpx2.Client) -> None:
    answer = ask("searxng").json()
    assert {"query", "number_of_results", "results", "unresponsive_engines"} <= keys(answer)
    assert {"url", "title", "content", "engine", "parsed_url"} <= keys(answer["results"][0])
    page = http.get(f"{ask.web.at('searxng')}/search", params={"q": "x"})
    assert page.headers["content-type"].startswith("text/html")


def test_wikipedia_speaks_as_wikipedia(ask: Asking, http: httpx2.Client) -> None:
    answer = ask("wikipedia").json()
    assert answer["batchcomplete"] == "" and answer["query"]["searchinfo"]["totalhits"] == 10
    assert keys(answer["query"]["search"][0]) == {
        "ns", "title", "pageid", "size", "wordcount", "snippet", "timestamp",
    }  # fmt: skip
    assert ask("wikipedia", "[[empty]] x").json()["query"]["search"] == []
    nobody = ask("wikipedia", **{"User-Agent": "python"})
    assert nobody.status_code == 403
    url, agent = f"{ask.web.at('wikipedia')}/w/api.php", {"User-Agent": "test (a@b.test)"}
    asked = {"action": "query", "generator": "search", "gsrsearch": QUESTION, "format": "json"}
    old = http.get(url, params=asked, headers=agent).json()["query"]["pages"]
    new = http.get(url, params={**asked, "formatversion": "2"}, headers=agent).json()
    assert isinstance(old, dict) and isinstance(new["query"]["pages"], list)
    assert [page["pageid"] for page in new["query"]["pages"]] == sorted(
        page["pageid"] for page in new["query"]["pages"]
    ), "not by rank"
    missing = http.get(url, params={**asked, "gsrsearch": ""}, headers=agent)
    assert (missing.status_code, missing.json()["error"]["code"]) == (200, "missingparam")


def test_searches_by_picture_speak_as_they_do(web: ProviderStandIns, http: httpx2.Client) -> None:
    image = {"image": {"content": "aGVsbG8="}, "features": [{"type": "WEB_DETECTION"}]}
    url, key = f"{web.at('vision')}/v1/images:annotate", {"X-Goog-Api-Key": web.key}
    asked = {"requests": [image, {"image": {"content": "!"}}]}
    first, second = http.post(url, json=asked, headers=key).json()["responses"]
    assert {"webEntities", "pagesWithMatchingImages", "bestGuessLabels"} <= keys(
        first["webDetection"]
    )
    assert second["error"]["code"] == 3
    assert http.post(url, json=asked).status_code == 403
    wrong = http.post(url, json=asked, headers={"X-Goog-Api-Key": "wrong"})
    assert wrong.status_code == 400 and "API key not valid" in wrong.json()["error"]["message"]
    number = next(d.number for d in web.app.corpus.docs if d.passage.title == "The Trial")
    shown = f"{web.url}/picture/{number}.png"
    lens = http.post(
        f"{web.at('serper')}/lens", json={"url": shown}, headers={"X-API-KEY": web.key}
    ).json()
    assert lens["organic"][0]["title"] == "The Trial"
    assert keys(lens["organic"][0]) == {"title", "source", "link", "imageUrl", "thumbnailUrl"}
    asked = {"engine": "google_lens", "url": shown, "api_key": web.key}
    for path in ("search", "search.json"):
        found = http.get(f"{web.at('serpapi')}/{path}", params=asked).json()
        assert found["visual_matches"][0]["title"] == "The Trial"
    assert http.get(f"{web.at('serpapi')}/search", params={"engine": "x"}).status_code == 401


def test_the_mode_is_that_of_key_header_query_or_route(web: ProviderStandIns, ask: Asking) -> None:
    assert ask("serper", "[[rate]] x").status_code == 429
    assert ask("serper", "[[brave=rate serper=teapot]] x").status_code == 418
    assert ask("serper", "[[brave=rate]] x").status_code == 200
    assert ask("serper", "[[rate]] x", **{"X-Stand-In": "teapot"}).status_code == 418
    assert ask("serper", key=f"{web.key}-down", **{"X-Stand-In": "teapot"}).status_code == 500
    web.modes["serper"] = "quota"
    try:
        assert ask("serper").status_code == 400
        assert ask("brave").status_code == 200
        assert ask("serper", "[[good]] x").status_code == 200
    finally:
        web.modes.clear()
    assert ask("serper", "[[sulks]] x").json() == {"message": "the stand-in has no such mode"}
    assert web.requests[-1].mode == "sulks"


def test_a_mode_at_the_head_of_a_query_is_not_searched_for(ask: Asking) -> None:
    with_mode = ask("exa", f"[[many]] {QUESTION}").json()["results"]
    assert [r["title"] for r in with_mode][:10] == [
        r["title"] for r in ask("exa").json()["results"]
    ]
    assert len(with_mode) == 40


@pytest.mark.parametrize("mode", ["reset", "cut", "short"])
def test_a_broken_connection_breaks_one_request_only(ask: Asking, mode: str) -> None:
    with pytest.raises(httpx2.TransportError):
        ask("serper", f"[[{mode}]] x")
    assert ask("serper").status_code == 200


def test_every_mode_is_played_by_every_provider(ask: Asking) -> None:
    slow = {"slow", "drip", "forever", "huge", "gzip_bomb"}
    for name in ("serper", "brave", "tavily", "exa", "searxng", "wikipedia"):
        for mode in set(MODES) - slow:
            try:
                response = ask(name, f"[[{mode}]] {QUESTION}")
            except (httpx2.TransportError, httpx2.DecodingError):
                assert mode in {"reset", "cut", "short", "bad_gzip"}, (name, mode)
                continue
            told_in_200 = name == "wikipedia" and mode in {"rate", "refused_query"}
            fine = told_in_200 or mode not in BAD_STATUS
            assert (response.status_code < 300) == fine, (name, mode, response.status_code)


BAD_STATUS = {
    "no_key", "wrong_key", "quota", "rate", "refused_query", "rate_wait", "down", "bad_gateway",
    "down_wait", "teapot", "html_500", "redirect", "redirect_loop", "echo_key",
}  # fmt: skip


def test_recorded_questions_have_their_results_in_order(
    tmp_path: Path, http: httpx2.Client
) -> None:
    rows = [
        {
            "id": f"w{n}",
            "title": f"Page {n}",
            "text": f"On tulips {n}",
            "url": f"https://t.test/{n}",
        }
        for n in range(6)
    ]
    asked = {"question": "How many tulips?", "answers": ["5"], "recorded_results": ["w4", "w1"]}
    (tmp_path / "corpus.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    (tmp_path / "dev.jsonl").write_bytes(msgspec.json.encode(asked) + b"\n")
    with ProviderStandIns(tmp_path, own_pages=False) as web:
        ask = Asking(web, http)
        exact = ask("exa", "how many  TULIPS?").json()["results"]
        assert [result["url"] for result in exact] == ["https://t.test/4", "https://t.test/1"]
        other = ask("exa", "tulips 3").json()["results"]
        assert other[0]["url"] == "https://t.test/3" and len(other) == 10
        assert ask("exa", "Kafka").json()["results"][0]["url"].startswith(web.url)
    with ProviderStandIns(tmp_path) as web:
        (first, _) = Asking(web, http)("exa", "How many tulips?").json()["results"]
        assert first["url"].startswith(web.url)
        assert "Page 4" in http.get(first["url"]).text


def test_stand_ins_are_gone_when_their_block_ends(http: httpx2.Client) -> None:
    with ProviderStandIns() as web:
        url = web.url
        assert http.get(f"{url}/page/0").status_code == 200
    with pytest.raises(httpx2.ConnectError):
        http.get(f"{url}/page/0")
