"""All providers keep one contract, seen over real sockets against their stand-ins."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

import pytest

from mia.provider import Found, FoundImages, ProviderError, Why
from mia.providers.brave import Brave
from mia.providers.exa import Exa
from mia.providers.searxng import SearXNG
from mia.providers.serper import Serper
from mia.providers.tavily import Tavily
from mia.providers.wikipedia import Wikipedia
from mia.testing import ProviderStandIns
from mia.testing.providers_modes import MODES

NAMES = ("serper", "brave", "tavily", "exa", "searxng", "wikipedia")
WITH_IMAGES = ("serper", "brave", "searxng")
WITH_KEY = ("serper", "brave", "tavily", "exa")
SLOW = ("slow", "drip", "forever")
QUESTION = "Who wrote The Trial?"


class Closable(Protocol):
    """What all providers are."""

    async def search(self, query: str, limit: int) -> Found: ...

    async def aclose(self) -> None: ...


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as running:
        yield running


def made(web: ProviderStandIns, name: str, key: str, seconds: float) -> Closable:
    base = web.at(name)
    match name:
        case "serper":
            return Serper(key, base_url=base, seconds=seconds)
        case "brave":
            return Brave(key, base_url=base, seconds=seconds)
        case "tavily":
            return Tavily(key, base_url=base, seconds=seconds)
        case "exa":
            return Exa(key, base_url=base, seconds=seconds)
        case "searxng":
            return SearXNG(base, seconds=seconds)
        case _:
            return Wikipedia("me@example.org", base_url=base, seconds=seconds)


@asynccontextmanager
async def opened(
    web: ProviderStandIns, name: str, *, key: str = "", seconds: float = 5.0
) -> AsyncGenerator[Closable]:
    provider = made(web, name, key or web.key, seconds)
    try:
        yield provider
    finally:
        await provider.aclose()


async def refused(provider: Closable, mode: str, query: str = QUESTION) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.search(f"[[{mode}]] {query}", 3)
    return caught.value


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_asked_for_is_found_best_first(web: ProviderStandIns, name: str) -> None:
    async with opened(web, name) as provider:
        found = await provider.search(QUESTION, 3)
    assert found.passages[0].title == "The Trial"
    assert len(found.passages) == 3
    for passage in found.passages:
        assert passage.id == passage.url
        assert passage.url and passage.url.startswith(f"{web.url}/page/")
        assert passage.text and "<" not in passage.text
    assert "Kafka" in found.passages[0].text
    assert (found.cost > 0) == (name in WITH_KEY)


@pytest.mark.parametrize("name", NAMES)
async def test_no_more_than_asked_for_even_when_more_is_sent(
    web: ProviderStandIns, name: str
) -> None:
    async with opened(web, name) as provider:
        for limit in (1, 4):
            assert len((await provider.search(f"[[many]] {QUESTION}", limit)).passages) == limit
        assert len((await provider.search(QUESTION, 500)).passages) >= 10


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "query",
    [
        "弗兰兹·卡夫卡 生日",
        "カフカの誕生日",
        "카프카 생일",
        "Ærøskøbing ñ & ?#=% 😀",
        'a "b" -c +d',
    ],
)
async def test_any_script_arrives_as_it_was_typed(
    web: ProviderStandIns, name: str, query: str
) -> None:
    async with opened(web, name) as provider:
        await provider.search(query, 3)
    request = web.requests[-1]
    texts = [*request.query.values(), *map(str, request.json().values())]
    assert query in texts


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_found_is_an_answer(web: ProviderStandIns, name: str) -> None:
    async with opened(web, name) as provider:
        assert (await provider.search(f"[[empty]] {QUESTION}", 3)).passages == ()


EVERYWHERE: dict[str, Why] = {
    "wrong_key": "key", "quota": "quota", "rate": "rate", "rate_wait": "rate",
    "refused_query": "query", "down": "down", "bad_gateway": "down", "down_wait": "down",
    "html_500": "down", "truncated": "down", "short": "down", "reset": "down", "cut": "down",
    "teapot": "unreadable", "captcha": "unreadable", "not_json": "unreadable",
    "other_json": "unreadable", "no_body": "unreadable", "huge": "unreadable",
    "gzip_bomb": "unreadable", "bad_gzip": "unreadable", "redirect": "unreadable",
    "redirect_loop": "unreadable", "wrong_charset": "unreadable", "deep_json": "unreadable",
    "no_key": "key", "echo_key": "key",
}  # fmt: skip
ERROR_IN_200: dict[str, Why] = {
    "serper": "key", "brave": "key", "tavily": "rate", "exa": "quota", "searxng": "rate",
    "wikipedia": "down",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_each_failure_is_told_for_what_it_is(web: ProviderStandIns, name: str) -> None:
    async with opened(web, name) as provider:
        for mode, why in {**EVERYWHERE, "error_200": ERROR_IN_200[name]}.items():
            error = await refused(provider, mode)
            assert (error.provider, error.why) == (name, why), (mode, str(error))
            assert str(error).startswith(f"{name}: ") and "\n" not in str(error)
            if mode in ("huge", "gzip_bomb"):
                assert "more than 2,097,152 bytes" in str(error)
    assert web.contacts == 0, "a redirect was followed"


@pytest.mark.parametrize("name", NAMES)
async def test_how_long_to_wait_is_heard(web: ProviderStandIns, name: str) -> None:
    async with opened(web, name) as provider:
        assert (await refused(provider, "rate_wait")).wait == 2
        assert (await refused(provider, "down_wait")).wait == 1
        assert (await refused(provider, "rate")).wait is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", SLOW)
async def test_a_slow_answer_ends_at_the_deadline(
    web: ProviderStandIns, name: str, mode: str
) -> None:
    async with opened(web, name, seconds=0.08) as provider:
        began = time.monotonic()
        error = await refused(provider, mode)
    assert error.why == "down" and "0.08 s" in str(error)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("name", NAMES)
async def test_a_server_that_is_not_there_is_down(name: str) -> None:
    web = ProviderStandIns()
    web.app.home = "http://127.0.0.1:9"
    async with opened(web, name) as provider:
        assert (await refused(provider, "good")).why == "down"


@pytest.mark.parametrize("name", NAMES)
async def test_fields_that_are_null_leave_out_their_result(
    web: ProviderStandIns, name: str
) -> None:
    async with opened(web, name) as provider:
        assert (await provider.search(f"[[null_fields]] {QUESTION}", 3)).passages == ()


@pytest.mark.parametrize("name", NAMES)
async def test_planted_results_are_left_out_or_made_harmless(
    web: ProviderStandIns, name: str
) -> None:
    async with opened(web, name) as provider:
        found = (await provider.search(f"[[hostile]] {QUESTION}", 20)).passages
    addresses = [passage.id for passage in found]
    assert len(set(addresses)) == len(addresses)
    assert {address.partition(":")[0] for address in addresses} == {"http"} | (
        {"https"} if name != "wikipedia" else {"https", "http"}
    )
    for passage in found:
        assert len(passage.title) <= 300 and len(passage.id) <= 2000
        seen = passage.title + passage.text
        assert seen.isprintable() or all(c.isprintable() or c == " " for c in seen), seen


@pytest.mark.parametrize("name", WITH_KEY)
async def test_the_key_is_told_to_nobody_but_its_provider(
    web: ProviderStandIns, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = f"{web.key}-canary"
    told: list[str] = []
    async with opened(web, name, key=key) as provider:
        told += [repr(provider), str(vars(provider))]
        for mode in MODES:
            provider_of_mode = made(web, name, f"{web.key}-{mode}", 0.08)
            try:
                found = await provider_of_mode.search(QUESTION, 3)
                told.append(repr(found))
            except ProviderError as error:
                told += [str(error), repr(error), repr(error.args)]
                told += traceback.format_exception(error)
            finally:
                await provider_of_mode.aclose()
    assert web.requests[-1].mode == MODES[-1], "the key did not arrive"
    for request in web.requests:
        assert web.key not in f"{request.path} {request.query} {request.body!r}"
    for text in [*told, *(record.getMessage() for record in caplog.records)]:
        assert web.key not in text, text


@pytest.mark.parametrize("name", WITH_IMAGES)
async def test_pictures_are_found_by_words(web: ProviderStandIns, name: str) -> None:
    async with opened(web, name) as provider:
        assert isinstance(provider, Serper | Brave | SearXNG)
        found: FoundImages = await provider.images("The Trial", 3)
        assert found.images[0].title == "The Trial"
        assert len(found.images) == 3
        for image in found.images:
            assert image.url.startswith(f"{web.url}/picture/")
            assert image.thumbnail and image.page and "/page/" in image.page
        assert (await provider.images("[[empty]] x", 3)).images == ()
        with pytest.raises(ProviderError) as caught:
            await provider.images("[[quota]] x", 3)
        assert caught.value.why == "quota"
