"""Pages of the web, as passages."""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from mia.errors import SearchError
from mia.search import pages
from mia.search.cache import LONGEST_FAILURE, NoCache, Through
from mia.search.fetch import PAGES, Fetched
from mia.search.fetch_errors import FetchError
from mia.search.pages import Page
from mia.search.pages_reader import AT_ONCE, Reader
from mia.types import Passage

_GONE = (404, 410)


class Fetches(Protocol):
    """The part of `mia.search.fetch.Fetcher` that is needed here."""

    def check(self, url: str) -> None: ...

    async def get(self, url: str, *, most: int = ..., kinds: tuple[str, ...] = ...) -> Fetched: ...


class WebPages:
    """Reads whatever lies at an address of the web."""

    def __init__(
        self, fetcher: Fetches, cache: Through | None = None, reader: Reader | None = None
    ) -> None:
        self._fetcher = fetcher
        self._cache: Through = cache or NoCache()
        self._reader = reader
        # Waiting here and not in a thread, of which there are few and others need them.
        self._reading = asyncio.Semaphore(AT_ONCE)

    def check(self, address: str) -> None:
        """Raises FetchError for an address that is none of the web, or not ours to ask."""
        self._fetcher.check(address)

    async def page(self, address: str) -> Passage | None:
        """The document at a URL, under the URL where it lay in the end; None when there is none.
        Raises SearchError when it cannot be had or read."""
        cached = await self._cache.through(
            "page", address, lambda: self._page(address), Passage | None, _lives
        )
        return cached.value

    async def _page(self, address: str) -> Passage | None:
        try:
            fetched = await self._fetcher.get(address, kinds=PAGES)
        except FetchError as error:
            if error.status in _GONE:
                return None
            raise
        try:
            async with self._reading:
                page = await asyncio.to_thread(self._read, fetched)
        except SearchError as error:
            raise FetchError("unreadable", fetched.url, str(error)) from error
        return Passage(
            id=fetched.url,
            title=page.title or fetched.url,
            text=page.text,
            url=fetched.url,
            published=page.published,
        )

    def _read(self, fetched: Fetched) -> Page:
        if fetched.media_type == "text/html":
            return pages.from_html(fetched.body, fetched.charset, self._reader)
        if fetched.media_type == "application/pdf":
            return pages.from_pdf(fetched.body, self._reader)
        return pages.from_text(fetched.body, fetched.charset)


def _lives(page: Passage | None) -> float:
    """For how many seconds an answer is good: a page that is not there may come."""
    return LONGEST_FAILURE if page is None else math.inf
