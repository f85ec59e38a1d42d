"""SearXNG: one's own server that asks many engines. No key; JSON has to be switched on."""

from __future__ import annotations

from typing import Any

import msgspec

from mia.provider import Found, FoundImages, WebImage
from mia.provider_http import SECONDS, Api
from mia.provider_text import address, listed, locale, passage, plain

_LANGUAGES = {"zh-cn": "zh-CN"}
_REFUSED = (
    "add `json` to `search.formats` in its settings.yml, where it is off by default; where a proxy "
    "guards it, put user and password into its base_url"
)


class _Result(msgspec.Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    score: float | None = None
    published_date: str | None = msgspec.field(name="publishedDate", default=None)
    img_src: str | None = None
    thumbnail_src: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The part of an answer that is read."""

    results: list[_Result]
    unresponsive_engines: list[list[Any]] = []


class SearXNG:
    """A Provider and an ImageProvider."""

    name = "searxng"

    def __init__(self, base_url: str, *, seconds: float = SECONDS) -> None:
        self._api = Api(self.name, base_url, {}, advice={"key": _REFUSED}, seconds=seconds)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        results = (
            passage(
                found.url,
                plain(found.title),
                plain(found.content),
                found.published_date,
                found.score,
            )
            for found in await self._results(query, "general")
        )
        return Found(passages=listed(results, limit))

    async def images(self, query: str, limit: int) -> FoundImages:
        """Raises ProviderError."""
        images = tuple(
            WebImage(
                title=plain(found.title),
                url=url,
                thumbnail=address(_whole(found.thumbnail_src)),
                page=address(found.url),
            )
            for found in await self._results(query, "images")
            if (url := address(_whole(found.img_src))) is not None
        )
        return FoundImages(images=images[:limit])

    async def _results(self, query: str, category: str) -> list[_Result]:
        language = locale(query).language
        asked = {
            "q": query,
            "format": "json",
            "categories": category,
            "language": _LANGUAGES.get(language, language),
        }
        return self.results_of(await self._api.get("/search", asked, Answer))

    def results_of(self, answer: Answer) -> list[_Result]:
        """Raises ProviderError when there are none since its engines failed."""
        if not answer.results and answer.unresponsive_engines:
            engines = ", ".join(" ".join(map(str, one[:2])) for one in answer.unresponsive_engines)
            raise self._api.fault("down", f"none of its engines answered: {engines[:200]}")
        return answer.results


def _whole(address: str | None) -> str | None:
    """An address of some engines, which leave out the scheme."""
    return f"https:{address}" if address and address.startswith("//") else address
