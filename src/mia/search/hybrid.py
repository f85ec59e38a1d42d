"""Several engines as one, by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from mia.tool import Search
from mia.types import Passage

K = 5
"""How slowly a rank loses weight. The paper's 60 fuses engines that are equally good; beside BM25,
MiniLM ranks far worse at the top, and 5 measured better on all four sets
(docs/decisions/0009)."""
DEPTH = 100
"""Passages that are asked of each engine, however few are wanted: one that all of them rank low may
come out above one that a single engine ranks high."""


class Hybrid:
    """What several engines over one corpus find; a passage counts for more, the higher it stands
    and the more of them find it."""

    def __init__(self, *engines: Search, k: int = K, depth: int = DEPTH) -> None:
        self._engines = engines
        self._k = k
        self._depth = depth

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The best passages of all engines; the score is the sum of 1 / (k + rank). Raises what the
        first engine raises that fails."""
        depth = max(limit, self._depth)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.search(query, depth)) for each in self._engines]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return fused([task.result() for task in tasks], self._k)[:limit]

    async def page(self, address: str) -> Passage | None:
        """The document behind an address, from the first engine that has it."""
        for engine in self._engines:
            found = await engine.page(address)
            if found is not None:
                return found
        return None


def fused(rankings: Sequence[Sequence[Passage]], k: int = K) -> tuple[Passage, ...]:
    """Rankings as one. What scores the same keeps the order of the rankings."""
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, 1):
            passages.setdefault(passage.id, passage)
            scores[passage.id] = scores.get(passage.id, 0.0) + 1 / (k + rank)
    best = sorted(scores, key=lambda id: -scores[id])
    return tuple(replace(passages[id], score=scores[id]) for id in best)
