"""Exa: search by meaning, for a key; results come with what their pages say about the query."""

from __future__ import annotations

import msgspec

from mia.provider import Found
from mia.provider_http import SECONDS, Api
from mia.provider_text import listed, passage, tidy

PRICE = 0.007
"""US dollars a search with the contents of up to ten pages; used where an answer tells no cost."""
_MOST = 25
_CHARACTERS = 1000
"""Of each page's text."""


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    url: str | None = None
    title: str | None = None
    published_date: str | None = None
    score: float | None = None
    text: str | None = None
    summary: str | None = None
    highlights: list[str | None] | None = None


class _Cost(msgspec.Struct, frozen=True):
    total: float | None = None


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The part of an answer that is read."""

    results: list[_Result]
    cost_dollars: _Cost | None = None


class Exa:
    """A Provider."""

    name = "exa"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.exa.ai",
        price: float = PRICE,
        seconds: float = SECONDS,
    ) -> None:
        self._price = price
        self._api = Api(self.name, base_url, {"x-api-key": key}, key=key, seconds=seconds)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        asked: dict[str, object] = {
            "query": query,
            "type": "auto",
            "numResults": min(limit, _MOST),
            "contents": {"highlights": True, "text": {"maxCharacters": _CHARACTERS}},
        }
        answer = await self._api.post("/search", asked, Answer)
        results = (
            passage(found.url, tidy(found.title), _text(found), found.published_date, found.score)
            for found in answer.results
        )
        told = answer.cost_dollars.total if answer.cost_dollars else None
        cost = self._price if told is None else max(0.0, told)
        return Found(passages=listed(results, limit), cost=cost)


def _text(found: _Result) -> str:
    """The sentences that bear on the query; without those, how the page begins."""
    highlights = tidy(" … ".join(filter(None, found.highlights or ())))
    return highlights or tidy(found.text) or tidy(found.summary)
