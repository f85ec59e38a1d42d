"""Laws of pages of the web: what a run gets to read, from a small web on this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mia.errors import SearchError
from mia.search.cache import Cache
from mia.search.fetch import Fetcher
from mia.search.fetch_errors import FetchError
from mia.search.pages_reader import Reader
from mia.search.web import WebPages
from mia.testing import ProviderStandIns


@pytest.fixture(scope="module")
def web() -> Iterator[ProviderStandIns]:
    with ProviderStandIns() as web:
        yield web


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@asynccontextmanager
async def pages(
    web: ProviderStandIns, reader: Reader, cache: Cache | None = None, seconds: float = 5.0
) -> AsyncGenerator[WebPages]:
    fetcher = Fetcher([web.url.removeprefix("http://")], seconds=seconds)
    yield WebPages(fetcher, cache, reader)
    await fetcher.aclose()


async def test_a_page_a_pdf_and_a_text_say_the_same(web: ProviderStandIns, reader: Reader) -> None:
    async with pages(web, reader) as reading:
        page = await reading.page(f"{web.url}/page/0")
        document = await reading.page(f"{web.url}/page/0.pdf")
        text = await reading.page(f"{web.url}/page/0.txt")
    assert page is not None and document is not None and text is not None
    assert page.id == page.url == f"{web.url}/page/0"
    assert page.published == "2026-01-02T00:00:00Z"
    assert document.title == page.title and text.title == f"{web.url}/page/0.txt"
    words = {word for word in page.text.split() if word.isalpha()}
    for other in (document, text):
        assert len(words & set(other.text.split())) > 0.8 * len(words) > 10
    assert "Cookies" not in page.text and "tracked" not in page.text


async def test_a_page_goes_by_the_address_where_it_lay(
    web: ProviderStandIns, reader: Reader
) -> None:
    async with pages(web, reader) as reading:
        page = await reading.page(f"{web.url}/redirect/3")
        assert page is not None and page.id == page.url == f"{web.url}/page/0"
        with pytest.raises(FetchError, match="more than 3 times"):
            await reading.page(f"{web.url}/redirect/loop")


@pytest.mark.parametrize("status", [404, 410])
async def test_a_page_that_is_not_there_is_none(
    web: ProviderStandIns, reader: Reader, status: int
) -> None:
    async with pages(web, reader) as reading:
        assert await reading.page(f"{web.url}/status/{status}") is None


@pytest.mark.parametrize(
    ("path", "why"),
    [("status/500", "status"), ("status/403", "status"), ("picture/1.png", "kind"),
     ("bomb/deep", "unreadable"), ("bomb/drip", "too_slow"), ("bomb/endless", "too_slow"),
     ("bomb/headers", "unreadable")],
)  # fmt: skip
async def test_a_page_that_cannot_be_had_is_a_typed_error(
    web: ProviderStandIns, reader: Reader, path: str, why: str
) -> None:
    seconds = 0.5 if why == "too_slow" else 5.0
    async with pages(web, reader, seconds=seconds) as reading:
        with pytest.raises(FetchError) as failed:
            await reading.page(f"{web.url}/{path}")
        assert failed.value.why == why


async def test_what_says_it_is_a_page_and_is_a_pdf_is_read_as_one(
    web: ProviderStandIns, reader: Reader
) -> None:
    async with pages(web, reader) as reading:
        page = await reading.page(f"{web.url}/disguised.pdf.html")
        assert page is not None and page.text.endswith("A PDF that says it is a page.")


@pytest.mark.parametrize("charset", ["shift_jis", "gb18030", "koi8-r", "iso-8859-1", "utf-16"])
async def test_a_page_is_read_in_its_charset(
    web: ProviderStandIns, reader: Reader, charset: str
) -> None:
    async with pages(web, reader) as reading:
        page = await reading.page(f"{web.url}/charset/{charset}")
        assert page is not None and page.text == f"{page.title}: {page.title}."


async def test_orders_that_a_page_hides_are_not_read_and_those_it_shows_are_data(
    web: ProviderStandIns, reader: Reader
) -> None:
    async with pages(web, reader) as reading:
        for number in range(20):
            page = await reading.page(f"{web.url}/injected/{number}")
            assert page is not None and f"Honest text about {number}." in page.text
            shown = page.text.partition(f"about {number}.")[2].strip()
            assert bool(shown) == (number < 9), shown


@pytest.mark.parametrize("address", ["", "Adige", "p1", "http://127.0.0.1/", "http://[::1]/"])
async def test_what_is_no_address_of_the_web_is_refused(
    web: ProviderStandIns, reader: Reader, address: str
) -> None:
    async with pages(web, reader) as reading:
        with pytest.raises(FetchError) as failed:
            await reading.page(address)
        assert failed.value.why == "refused"


async def test_a_page_is_fetched_once_and_one_that_is_missing_again_soon(
    web: ProviderStandIns, reader: Reader, tmp_path: Path
) -> None:
    now = 1000.0
    cache = Cache(tmp_path / "cache.db", clock=lambda: now)
    async with pages(web, reader, cache) as reading:
        web.requests.clear()
        first = await reading.page(f"{web.url}/page/1")
        now += 3600
        assert await reading.page(f"{web.url}/page/1") == first
        assert len(web.requests) == 1
        for later, requests in ((0, 2), (5, 2), (60, 3)):
            now += later
            assert await reading.page(f"{web.url}/status/404") is None
            assert len(web.requests) == requests
        for _ in range(2):
            with pytest.raises(SearchError, match="answered 500"):
                await reading.page(f"{web.url}/status/500")
        assert len(web.requests) == 4
        now += 60
        with pytest.raises(SearchError, match="answered 500"):
            await reading.page(f"{web.url}/status/500")
        assert len(web.requests) == 5
    cache.close()


async def test_no_page_of_this_web_leads_inside(web: ProviderStandIns, reader: Reader) -> None:
    before = web.contacts
    fetcher = Fetcher()
    reading = WebPages(fetcher, None, reader)
    for path in ("page/0", "internal/secret", "redirect/internal"):
        with pytest.raises(FetchError):
            await reading.page(f"{web.url}/{path}")
    await fetcher.aclose()
    assert web.contacts == before
