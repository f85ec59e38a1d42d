"""Image search by Google Lens, through Serper or SerpApi. Both take a public address and fetch it
themselves: for pictures that have one, and only where the user allowed it. Nothing is uploaded."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from mia.errors import ConfigError, SearchError
from mia.image_search.asking import Asker
from mia.image_search.found import Fetch, Found, Shown
from mia.pictures import Pictures
from mia.retry import Retry
from mia.tool import ImageHit
from mia.types import Picture

SERPER = "https://google.serper.dev"
SERPAPI = "https://serpapi.com"


class _Match(msgspec.Struct, frozen=True, rename="camel"):
    """Serper's."""

    title: str = ""
    link: str | None = None
    image_url: str | None = None
    thumbnail_url: str | None = None


class _SerperReply(msgspec.Struct, frozen=True, rename="camel"):
    organic: list[_Match] = []


class _Visual(msgspec.Struct, frozen=True):
    """SerpApi's."""

    title: str = ""
    link: str | None = None
    image: str | None = None
    thumbnail: str | None = None


class _SerpApiReply(msgspec.Struct, frozen=True):
    visual_matches: list[_Visual] = []
    error: str | None = None


class SerperLens:
    """Google Lens through Serper."""

    name = "Serper Lens"

    def __init__(
        self,
        key: str,
        pictures: Pictures,
        fetch: Fetch | None = None,
        *,
        consent: bool,
        base_url: str = SERPER,
        retry: Retry | None = None,
    ) -> None:
        """Raises ConfigError without consent."""
        _agreed(self.name, consent)
        self._asker = Asker(self.name, base_url, key, retry)
        self._key = key
        self._shown = Shown(pictures, fetch)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._asker.aclose()

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Raises SearchError for a picture without a public address, ProviderError."""
        reply = await self._asker.ask(
            "POST",
            "/lens",
            _SerperReply,
            headers={"X-API-KEY": self._key},
            body={"url": _public(self.name, picture)},
        )
        found = [
            Found(
                title=match.title,
                page=match.link,
                images=_given(match.thumbnail_url, match.image_url),
            )
            for match in reply.organic
        ]
        return await self._shown.hits(found, limit)


class SerpApiLens:
    """Google Lens through SerpApi."""

    name = "SerpApi Lens"

    def __init__(
        self,
        key: str,
        pictures: Pictures,
        fetch: Fetch | None = None,
        *,
        consent: bool,
        base_url: str = SERPAPI,
        retry: Retry | None = None,
    ) -> None:
        """Raises ConfigError without consent."""
        _agreed(self.name, consent)
        self._asker = Asker(self.name, base_url, key, retry)
        self._key = key
        self._shown = Shown(pictures, fetch)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._asker.aclose()

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Raises SearchError for a picture without a public address, ProviderError."""
        address = _public(self.name, picture)
        reply = await self._asker.ask(
            "GET",
            "/search.json",
            _SerpApiReply,
            # SerpApi takes its key in the query only; no message shows a query
            query={"engine": "google_lens", "url": address, "api_key": self._key},
        )
        if reply.error and "any results" not in reply.error:
            raise self._asker.failure(400, reply.error)
        found = [
            Found(title=match.title, page=match.link, images=_given(match.thumbnail, match.image))
            for match in reply.visual_matches
        ]
        return await self._shown.hits(found, limit)


def _agreed(name: str, consent: bool) -> None:
    if not consent:
        raise ConfigError(f"{name} sends the address of your picture to Google and its reseller")


def _public(name: str, picture: Picture) -> str:
    parts = urlsplit(picture.url or "")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise SearchError(f"{name} needs a picture with a public address; this one has none")
    return parts.geturl()


def _given(*urls: str | None) -> tuple[str, ...]:
    return tuple(url for url in urls if url)
