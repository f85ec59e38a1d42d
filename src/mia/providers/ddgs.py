"""ddgs: other people's result pages, scraped. No key, best effort: it breaks often, and whether one
may use it is for each to find out from the terms of the engines behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from mia.errors import MissingError, adding
from mia.provider import Found, FoundImages, ProviderError, WebImage, Why
from mia.provider_text import Locale, address, listed, locale, passage, tidy

_Row = TypeVar("_Row", bound=msgspec.Struct)

_SECONDS = 5.0
"""For one of its engines; it asks a few."""
_OVERALL = 15.0
_NOTHING = "No results found."
"""ddgs raises this where others return nothing."""
_REGIONS = {"zh-cn": "cn-zh", "ja": "jp-jp", "ko": "kr-kr"}
# By name, so that a double of the engine needs no ddgs.
_WHYS: dict[str, Why] = {"RatelimitException": "rate", "TimeoutException": "down"}


class Engine(Protocol):
    """The part of `ddgs.DDGS` that is used."""

    def text(self, query: str, *, region: str, max_results: int) -> Sequence[object]: ...

    def images(self, query: str, *, region: str, max_results: int) -> Sequence[object]: ...


class _Call(Protocol):
    def __call__(self, query: str, *, region: str, max_results: int) -> Sequence[object]: ...


class _Text(msgspec.Struct, frozen=True):
    href: str | None = None
    title: str | None = None
    body: str | None = None


class _Image(msgspec.Struct, frozen=True):
    image: str | None = None
    title: str | None = None
    thumbnail: str | None = None
    url: str | None = None


class DDGS:
    """A Provider and an ImageProvider. Its calls run in threads, which go on for some seconds
    after a deadline: the library cannot be interrupted."""

    name = "ddgs"

    def __init__(self, engine: Engine | None = None, *, seconds: float = _OVERALL) -> None:
        """Raises MissingError where ddgs is not installed; `engine` takes its place in tests."""
        self._engine = engine or _installed()
        self._seconds = seconds

    async def aclose(self) -> None:
        """There is nothing to close: it is here since other providers have it."""

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        rows = await self._rows(self._engine.text, query, limit)
        found = [self._read(row, _Text) for row in rows]
        results = (passage(one.href, tidy(one.title), tidy(one.body)) for one in found)
        return Found(passages=listed(results, limit))

    async def images(self, query: str, limit: int) -> FoundImages:
        """Raises ProviderError."""
        rows = await self._rows(self._engine.images, query, limit)
        images = tuple(
            WebImage(
                title=tidy(one.title),
                url=url,
                thumbnail=address(one.thumbnail),
                page=address(one.url),
            )
            for one in (self._read(row, _Image) for row in rows)
            if (url := address(one.image)) is not None
        )
        return FoundImages(images=images[:limit])

    async def _rows(self, call: _Call, query: str, limit: int) -> Sequence[object]:
        region = _region(locale(query))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.to_thread(call, query, region=region, max_results=limit)
        except TimeoutError:
            raise self._fault("down", f"no answer within {self._seconds:g} s") from None
        except Exception as error:  # noqa: BLE001  # scrapers fail in ways that nobody has listed
            if error.args and str(error.args[0]) == _NOTHING:
                return ()
            kind = type(error).__name__
            raise self._fault(_WHYS.get(kind, "down"), f"{kind}: {tidy(str(error), 200)}") from None

    def _read(self, row: object, kind: type[_Row]) -> _Row:
        try:
            return msgspec.convert(row, kind)
        except msgspec.ValidationError as error:
            raise self._fault("unreadable", f"a result of another kind: {error}") from None

    def _fault(self, why: Why, told: str) -> ProviderError:
        return ProviderError(self.name, why, f"{told} (best effort: it scrapes)")


def _region(where: Locale) -> str:
    return _REGIONS.get(where.language, "us-en")


def _installed() -> Engine:
    try:
        from ddgs import DDGS as Installed  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(f"ddgs is not installed; run: {adding('ddgs')}") from error
    return Installed(timeout=int(_SECONDS))  # type: ignore[no-any-return]
