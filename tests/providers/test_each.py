"""What is particular to one provider: what it is sent, and what it means by its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import msgspec
import pytest

from mia.errors import ConfigError, MissingError
from mia.provider import ProviderError
from mia.provider_http import Api
from mia.providers.brave import Brave
from mia.providers.ddgs import DDGS
from mia.providers.exa import Exa
from mia.providers.searxng import SearXNG
from mia.providers.serper import Serper
from mia.providers.tavily import Tavily
from mia.providers.wikipedia import Wikipedia
from mia.testing import ProviderStandIns

LONG = "word " * 120


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as running:
        yield running


@pytest.mark.parametrize(
    ("query", "gl", "hl"),
    [
        ("Kafka", "us", "en"),
        ("卡夫卡", "cn", "zh-cn"),
        ("カフカ 誕生", "jp", "ja"),
        ("카프카", "kr", "ko"),
    ],
)
async def test_serper_asks_from_where_the_language_is_spoken(
    web: ProviderStandIns, query: str, gl: str, hl: str
) -> None:
    serper = Serper(web.key, base_url=web.at("serper"))
    await serper.search(query, 4)
    await serper.aclose()
    assert web.requests[-1].json() == {"q": query, "gl": gl, "hl": hl, "num": 4}


async def test_serper_costs_what_its_answer_says(web: ProviderStandIns) -> None:
    serper = Serper(web.key, base_url=web.at("serper"), price=0.5)
    assert (await serper.search("Kafka", 10)).cost == 0.5
    assert (await serper.search("Kafka", 11)).cost == 1.0, "two credits beyond ten results"
    await serper.aclose()


async def test_brave_gets_no_more_than_it_takes(web: ProviderStandIns) -> None:
    brave = Brave(web.key, base_url=web.at("brave"))
    assert (await brave.search("Kafka " + LONG, 50)).passages
    sent = web.requests[-1].query
    assert len(sent["q"]) <= 400 and len(sent["q"].split()) == 50 and sent["count"] == "20"
    await brave.search("卡夫卡", 3)
    assert (web.requests[-1].query["country"], web.requests[-1].query["search_lang"]) == (
        "cn",
        "zh-hans",
    )
    await brave.aclose()


@pytest.mark.parametrize(
    ("status", "code", "headers", "why"),
    [
        (422, "SUBSCRIPTION_TOKEN_INVALID", {}, "key"),
        (422, "VALIDATION", {}, "query"),
        (422, "", {}, "quota"),
        (422, "", {"x-ratelimit-limit": "50, 0"}, "query"),
        (429, "RATE_LIMITED", {}, "rate"),
        (429, "QUOTA_LIMITED", {}, "quota"),
        (
            429,
            "RATE_LIMITED",
            {
                "x-ratelimit-limit": "1, 2000",
                "x-ratelimit-remaining": "1, 0",
                "x-ratelimit-reset": "1, 1419704",
            },
            "quota",
        ),
        (
            429,
            "RATE_LIMITED",
            {
                "x-ratelimit-limit": "50, 0",
                "x-ratelimit-remaining": "0, 0",
                "x-ratelimit-reset": "1, 1419704",
            },
            "rate",
        ),
    ],
)
def test_brave_says_by_code_and_headers_what_is_used_up(
    status: int, code: str, headers: dict[str, str], why: str
) -> None:
    from mia.providers import brave

    class Nothing(msgspec.Struct):
        pass

    api = Api("brave", "https://brave.test", {}, why=brave.why_of)
    body = msgspec.json.encode({"type": "ErrorResponse", "error": {"code": code, "detail": "no"}})
    with pytest.raises(ProviderError) as caught:
        api.read(status, headers, body, Nothing)
    assert caught.value.why == why


async def test_tavily_and_exa_are_asked_for_what_is_read(web: ProviderStandIns) -> None:
    tavily = Tavily(web.key, base_url=web.at("tavily"))
    exa = Exa(web.key, base_url=web.at("exa"))
    assert (await tavily.search("Kafka " + LONG, 30)).cost == 0.008
    sent = web.requests[-1].json()
    assert (sent["search_depth"], sent["max_results"]) == ("basic", 20)
    found = await exa.search("The Trial", 30)
    sent = web.requests[-1].json()
    assert sent["numResults"] == 25 and sent["contents"]["highlights"] is True
    assert found.cost == 0.007 and found.passages[0].score > 0
    for provider in (tavily, exa):
        await provider.aclose()


async def test_tavily_tells_in_its_body_how_long_to_wait(web: ProviderStandIns) -> None:
    tavily = Tavily(web.key, base_url=web.at("tavily"))
    with pytest.raises(ProviderError) as caught:
        await tavily.search("[[error_200]] Kafka", 3)
    assert (caught.value.why, caught.value.wait) == ("rate", 3)
    await tavily.aclose()


async def test_searxng_without_json_says_what_to_switch_on(web: ProviderStandIns) -> None:
    searxng = SearXNG(web.at("searxng"))
    with pytest.raises(ProviderError, match=r"add `json` to `search.formats` in its settings.yml"):
        await searxng.search("[[no_key]] Kafka", 3)
    await searxng.aclose()


def test_searxng_whose_engines_all_failed_did_not_answer() -> None:
    from mia.providers import searxng

    body = b'{"results": [], "unresponsive_engines": [["google", "CAPTCHA"], ["bing", "timeout"]]}'
    answer = msgspec.json.decode(body, type=searxng.Answer)
    with pytest.raises(ProviderError, match="google CAPTCHA, bing timeout") as caught:
        SearXNG("https://searxng.test").results_of(answer)
    assert caught.value.why == "down"


async def test_a_password_in_an_address_is_used_and_not_told(web: ProviderStandIns) -> None:
    base = web.at("searxng").replace("http://", "http://ann:s%40crow@")
    searxng = SearXNG(base)
    assert (await searxng.search("Kafka", 3)).passages
    assert web.requests[-1].headers["authorization"].startswith("Basic ")
    with pytest.raises(ProviderError) as caught:
        await searxng.search("[[down]] s@crow", 3)
    assert "s@crow" not in str(caught.value) and "s%40crow" not in str(caught.value)
    await searxng.aclose()


async def test_wikipedia_is_told_who_asks_and_gives_more_than_snippets(
    web: ProviderStandIns,
) -> None:
    wikipedia = Wikipedia("https://me.test/about", base_url=web.at("wikipedia"))
    found = await wikipedia.search("The Trial", 3)
    sent = web.requests[-1]
    assert sent.headers["user-agent"].startswith("mia/")
    assert "(https://me.test/about)" in sent.headers["user-agent"]
    assert sent.query["generator"] == "search" and sent.query["prop"] == "extracts|info"
    assert found.passages[0].title == "The Trial"
    assert len(found.passages[0].text) > 150
    await wikipedia.aclose()


async def test_wikipedia_is_asked_in_the_edition_of_the_language(web: ProviderStandIns) -> None:
    for query, edition in (("Kafka", "en"), ("卡夫卡", "zh"), ("カフカ", "ja")):
        wikipedia = Wikipedia("a@b.test", base_url=web.url + "/{language}")
        with pytest.raises(ProviderError):
            await wikipedia.search(query, 1)
        assert web.requests[-1].route == edition
        await wikipedia.aclose()


def test_wikipedia_reads_the_old_forms_and_snippets_alone() -> None:
    from mia.providers import wikipedia

    old = b"""{"batchcomplete":"","query":{"pages":{"7":{"pageid":7,"title":"Second","index":2,
        "extract":"Two."},"3":{"pageid":3,"title":"A & B","index":1,"extract":"One.",
        "fullurl":"https://en.wikipedia.org/wiki/A_%26_B"}}}}"""
    plain = b"""{"query":{"search":[{"title":"A B","pageid":3,
        "snippet":"<span class=\\"searchmatch\\">x</span> &amp; y"}]}}"""
    site = "https://en.wikipedia.org"
    first, second = wikipedia.read(msgspec.json.decode(old, type=wikipedia.Answer), site)
    assert first is not None and second is not None
    assert (first.title, first.url) == ("A & B", f"{site}/wiki/A_%26_B")
    assert (second.text, second.url) == ("Two.", f"{site}/wiki/Second")
    (only,) = wikipedia.read(msgspec.json.decode(plain, type=wikipedia.Answer), site)
    assert only is not None and (only.text, only.url) == ("x & y", f"{site}/wiki/A_B")


@pytest.mark.parametrize(
    ("code", "why"),
    [("ratelimited", "rate"), ("maxlag", "rate"), ("srsearch-x", "query"), ("badvalue", "query"),
     ("internal_api_error_X", "down"), ("readonly", "down")],
)  # fmt: skip
async def test_wikipedia_errors_come_as_answers(code: str, why: str) -> None:
    from mia.providers import wikipedia

    api = Api("wikipedia", "https://wikipedia.test", {}, why=wikipedia.why_of)
    body = msgspec.json.encode({"error": {"code": code, "info": "told"}, "servedby": "x"})
    with pytest.raises(ProviderError) as caught:
        api.read(200, {}, body, wikipedia.Answer)
    assert caught.value.why == why and "told" in str(caught.value)


def test_what_cannot_work_is_refused_before_a_request() -> None:
    for wrong in ("ftp://x.test", "x.test", "", "http://", "http://[::1", "http://x.test:99999999"):
        with pytest.raises(ConfigError, match="base_url"):
            SearXNG(wrong)
        with pytest.raises(ConfigError, match="base_url"):
            Wikipedia("a@b.test", base_url=wrong)
    for wrong in ("", "  ", "two\nlines", "Schlüssel"):
        with pytest.raises(ConfigError) as caught:
            Serper(wrong)
        assert wrong.strip() == "" or wrong not in str(caught.value)
        with pytest.raises(ConfigError, match="contact"):
            Wikipedia(wrong)


class RatelimitException(Exception):
    """Named as ddgs names its own."""


class ToyDDGS:
    """The engine of ddgs, as far as it is used."""

    def __init__(self, rows: Sequence[object] | Exception) -> None:
        self._rows = rows
        self.asked: list[tuple[str, str, int]] = []

    def text(self, query: str, *, region: str, max_results: int) -> Sequence[object]:
        self.asked.append((query, region, max_results))
        if isinstance(self._rows, Exception):
            raise self._rows
        return self._rows

    images = text


async def test_ddgs_results_are_read_and_its_region_follows_the_language() -> None:
    toy = ToyDDGS([{"title": "T", "href": "https://e.test/", "body": "b"}, {"href": "mailto:x"}])
    found = await DDGS(toy).search("卡夫卡", 3)
    assert [(p.id, p.title, p.text) for p in found.passages] == [("https://e.test/", "T", "b")]
    assert toy.asked == [("卡夫卡", "cn-zh", 3)] and found.cost == 0
    pictures = ToyDDGS([{"title": "T", "image": "https://e.test/a.jpg", "url": "https://e.test/"}])
    (image,) = (await DDGS(pictures).images("x", 3)).images
    assert (image.url, image.page, image.thumbnail) == (
        "https://e.test/a.jpg",
        "https://e.test/",
        None,
    )


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (RatelimitException("202 Ratelimit"), "rate"),
        (ValueError("no such table"), "down"),
        ([{"title": 3}], "unreadable"),
        (["text"], "unreadable"),
    ],
)
async def test_ddgs_failures_are_typed_and_called_best_effort(
    rows: Sequence[object] | Exception, why: str
) -> None:
    with pytest.raises(ProviderError, match="best effort") as caught:
        await DDGS(ToyDDGS(rows)).search("x", 3)
    assert caught.value.why == why


async def test_ddgs_that_finds_nothing_raises_and_we_do_not() -> None:
    assert (await DDGS(ToyDDGS(Exception("No results found."))).search("x", 3)).passages == ()


def test_ddgs_that_is_not_installed_says_how_to_get_it() -> None:
    if find_spec("ddgs") is not None:
        assert DDGS().name == "ddgs"
    else:
        with pytest.raises(MissingError, match=r"pip install 'mia\[ddgs\]=="):
            DDGS()
