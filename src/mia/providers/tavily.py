"""Tavily: search made for agents, for a key; its results are longer than others'."""

from __future__ import annotations

import msgspec

from mia.provider import Found, Why
from mia.provider_http import SECONDS, Api, Refusal
from mia.provider_text import listed, passage, shortened, tidy

PRICE = 0.008
"""US dollars a credit; a basic search takes one."""
_MOST = 20
_CHARACTERS, _WORDS = 400, 100
_PLAN_IS_USED_UP, _PAYMENT_IS_USED_UP = 432, 433


class _Result(msgspec.Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    content: str | None = None
    score: float | None = None
    published_date: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    credits: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """The part of an answer that is read."""

    results: list[_Result]
    usage: _Usage | None = None


class Tavily:
    """A Provider."""

    name = "tavily"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.tavily.com",
        price: float = PRICE,
        seconds: float = SECONDS,
    ) -> None:
        self._price = price
        headers = {"Authorization": f"Bearer {key}"}
        self._api = Api(self.name, base_url, headers, key=key, why=why_of, seconds=seconds)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        asked = {
            "query": shortened(query, _CHARACTERS, _WORDS),
            "search_depth": "basic",
            "max_results": min(limit, _MOST),
        }
        answer = await self._api.post("/search", asked, Answer)
        results = (
            passage(
                found.url, tidy(found.title), tidy(found.content), found.published_date, found.score
            )
            for found in answer.results
        )
        used = answer.usage.credits if answer.usage else None
        cost = self._price * (1.0 if used is None else max(0.0, used))
        return Found(passages=listed(results, limit), cost=cost)


def why_of(refusal: Refusal) -> Why | None:
    """Tavily has statuses of its own for what is used up."""
    return "quota" if refusal.status in {_PLAN_IS_USED_UP, _PAYMENT_IS_USED_UP} else None
