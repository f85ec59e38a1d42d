"""Search in two stages: an engine names many passages, and a reranker reads them with the query."""

from __future__ import annotations

from typing import Protocol

from mia.tool import Search
from mia.types import Passage

POOL = 50
"""Passages that are read for a query. A reranker that sees no more than the engine's best can
only put those in another order."""


class Reranker(Protocol):
    """Reads passages with the query they were found for."""

    async def rerank(
        self, query: str, passages: tuple[Passage, ...], limit: int
    ) -> tuple[Passage, ...]:
        """The best of the passages, best first, with the reranker's scores. Raises SearchError when
        it does not answer."""
        ...


class Reranked:
    """An engine whose results are put in order by a reranker."""

    def __init__(self, engine: Search, reranker: Reranker, pool: int = POOL) -> None:
        self._engine = engine
        self._reranker = reranker
        self._pool = pool

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The best passages of the pool. Raises SearchError when either does not answer."""
        found = await self._engine.search(query, max(limit, self._pool))
        return await self._reranker.rerank(query, found, limit) if found else ()

    async def page(self, address: str) -> Passage | None:
        """The document behind an address."""
        return await self._engine.page(address)
