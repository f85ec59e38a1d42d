"""Serper: Google's results for a key. No rate headers; charged for answers only."""

from __future__ import annotations

from typing import Any

import msgspec

from mia.provider import Found, FoundImages, WebImage
from mia.provider_http import SECONDS, Api
from mia.provider_text import address, listed, locale, passage, tidy

PRICE = 0.001
"""US dollars a credit, at the smallest package."""
_MOST = 100


class _Result(msgspec.Struct, frozen=True):
    link: str | None = None
    title: str | None = None
    snippet: str | None = None
    date: str | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an answer to words that is read."""

    organic: list[_Result] | None = None
    search_parameters: Any = None
    credits: float | None = None

    def __post_init__(self) -> None:
        if self.organic is None and self.search_parameters is None:
            raise ValueError("neither results nor what was asked")


class _Image(msgspec.Struct, frozen=True, rename="camel"):
    image_url: str | None = None
    title: str | None = None
    thumbnail_url: str | None = None
    link: str | None = None


class _Images(msgspec.Struct, frozen=True):
    images: list[_Image]
    credits: float | None = None


class Serper:
    """A Provider and an ImageProvider."""

    name = "serper"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://google.serper.dev",
        price: float = PRICE,
        seconds: float = SECONDS,
    ) -> None:
        self._price = price
        self._api = Api(self.name, base_url, {"X-API-KEY": key}, key=key, seconds=seconds)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Google's organic results. Raises ProviderError."""
        answer = await self._api.post("/search", _asked(query, limit), Answer)
        results = (
            passage(found.link, tidy(found.title), tidy(found.snippet), found.date)
            for found in answer.organic or ()
        )
        return Found(passages=listed(results, limit), cost=self._cost(answer.credits))

    async def images(self, query: str, limit: int) -> FoundImages:
        """Google's pictures. Raises ProviderError."""
        answer = await self._api.post("/images", _asked(query, limit), _Images)
        images = tuple(
            WebImage(
                title=tidy(found.title),
                url=url,
                thumbnail=address(found.thumbnail_url),
                page=address(found.link),
            )
            for found in answer.images
            if (url := address(found.image_url)) is not None
        )
        return FoundImages(images=images[:limit], cost=self._cost(answer.credits))

    def _cost(self, credits: float | None) -> float:
        return self._price * (1.0 if credits is None else max(0.0, credits))


def _asked(query: str, limit: int) -> dict[str, object]:
    where = locale(query)
    return {"q": query, "gl": where.country, "hl": where.language, "num": min(limit, _MOST)}
