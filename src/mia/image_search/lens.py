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
_NOTHING = "any results"
"""What SerpApi's error says when there is no error but nothing was found."""


class _Match(msgspec.Struct, frozen=True, rename="camel"):
    """Serper's."""

    title: str | None = None
    link: str | None = None
    image_url: str | None = None
    thumbnail_url: str | None = None


class _SerperReply(msgspec.Struct, frozen=True, rename="camel"):
    organic: list[_Match] | None = None


class _Visual(msgspec.Struct, frozen=True):
    """SerpApi's."""

    title: str | None = None
    link: str | None = None
    image: str | None = None
    thumbnail: str | None = None


class _SerpApiReply(msgspec.Struct, frozen=True):
    visual_matches: list[_Visual] | None = None
    error: str | None = None


class _Lens:
    """What both ways share."""

    def __init__(self, asker: Asker, shown: Shown, consent: bool) -> None:
        if not consent:
            raise ConfigError(
                f"{asker.name} sends the address of your picture to Google and its reseller; allow"
                " that, or use another image search"
            )
        self._asker = asker
        self._shown = shown

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._asker.aclose()

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Raises SearchError for a picture without a public address, ProviderError."""
        parts = urlsplit(picture.url or "")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise SearchError(
                f"{self._asker.name} needs a picture with a public address; this one has none"
            )
        return await self._shown.hits(await self._found(parts.geturl()), limit)

    async def _found(self, address: str) -> list[Found]:
        raise NotImplementedError


class SerperLens(_Lens):
    """Google Lens through Serper. Hits have pictures where `fetch` is given."""

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
        asker = Asker("Serper Lens", base_url, key, retry)
        super().__init__(asker, Shown(pictures, fetch), consent)
        self._key = key

    async def _found(self, address: str) -> list[Found]:
        headers = {"X-API-KEY": self._key}
        reply = await self._asker.ask(
            "POST", "/lens", _SerperReply, headers=headers, body={"url": address}
        )
        return [
            Found(
                title=match.title or "",
                page=match.link,
                images=_given(match.thumbnail_url, match.image_url),
            )
            for match in reply.organic or []
        ]


class SerpApiLens(_Lens):
    """Google Lens through SerpApi. Hits have pictures where `fetch` is given."""

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
        asker = Asker("SerpApi Lens", base_url, key, retry, key_in_query="api_key")
        super().__init__(asker, Shown(pictures, fetch), consent)

    async def _found(self, address: str) -> list[Found]:
        query = {"engine": "google_lens", "url": address}
        reply = await self._asker.ask("GET", "/search.json", _SerpApiReply, query=query)
        if reply.error and _NOTHING not in reply.error:
            raise self._asker.failure(400, reply.error)
        return [
            Found(
                title=match.title or "",
                page=match.link,
                images=_given(match.thumbnail, match.image),
            )
            for match in reply.visual_matches or []
        ]


def _given(*urls: str | None) -> tuple[str, ...]:
    """Thumbnails first: they are small, and always there."""
    return tuple(url for url in urls if url)
