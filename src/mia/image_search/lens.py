"""Image search by Google Lens, through Serper or SerpApi. Both take a public address and fetch it
themselves: for pictures that have one, and only where the user allowed it. Nothing is uploaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import urlsplit

import msgspec

from mia.errors import ConfigError, SearchError
from mia.image_search.found import Fetch, Found, Shown
from mia.pictures import Pictures
from mia.provider_http import PATIENCE, Api, Refusal
from mia.retry import Policy
from mia.tool import ImageHit
from mia.types import Picture

SERPER = "https://google.serper.dev"
SERPAPI = "https://serpapi.com"
_SECONDS = 20.0
"""For one request: Google fetches the picture and looks at it meanwhile."""
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
    search_parameters: Any = None

    def __post_init__(self) -> None:
        if self.organic is None and self.search_parameters is None:
            raise ValueError("neither results nor what was asked")


class _Visual(msgspec.Struct, frozen=True):
    """SerpApi's."""

    title: str | None = None
    link: str | None = None
    image: str | None = None
    thumbnail: str | None = None


class _SerpApiReply(msgspec.Struct, frozen=True):
    visual_matches: list[_Visual] | None = None
    error: str | None = None


class _Lens(ABC):
    """What both ways share."""

    def __init__(self, api: Api, shown: Shown, consent: bool) -> None:
        if not consent:
            raise ConfigError(
                f"{api.provider} sends the address of your picture to Google and its reseller;"
                " where that is wanted, set lens_consent = true in [search.images]"
            )
        self._api = api
        self._shown = shown

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Raises SearchError for a picture without a public address, ProviderError."""
        parts = urlsplit(picture.url or "")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise SearchError(
                f"{self._api.provider} needs a picture with a public address; this one has none"
            )
        return await self._shown.hits(await self._found(parts.geturl()), limit)

    @abstractmethod
    async def _found(self, address: str) -> list[Found]: ...


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
        patience: Policy = PATIENCE,
    ) -> None:
        """Raises ConfigError without consent, and for a key that cannot be sent."""
        api = Api("Serper Lens", base_url, {"X-API-KEY": key}, key=key, seconds=_SECONDS,
                  patience=patience)  # fmt: skip
        super().__init__(api, Shown(pictures, fetch), consent)

    async def _found(self, address: str) -> list[Found]:
        reply = await self._api.post("/lens", {"url": address}, _SerperReply)
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
        patience: Policy = PATIENCE,
    ) -> None:
        """Raises ConfigError without consent, and for a key that cannot be sent."""
        api = Api("SerpApi Lens", base_url, {}, key=key, key_in_query="api_key", seconds=_SECONDS,
                  patience=patience)  # fmt: skip
        super().__init__(api, Shown(pictures, fetch), consent)

    async def _found(self, address: str) -> list[Found]:
        asked = {"engine": "google_lens", "url": address}
        reply = await self._api.get("/search.json", asked, _SerpApiReply)
        if reply.error and _NOTHING not in reply.error:
            raise self._api.refused(Refusal(status=400, words=reply.error))
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
