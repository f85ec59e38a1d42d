"""A reranker behind a URL that speaks the /rerank of Cohere, Jina, Voyage, vLLM and llama.cpp."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from mia.provider_http import Api
from mia.retry import Policy
from mia.types import Passage


class _Result(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Result]


class RerankEndpoint:
    """A Reranker behind a URL. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        patience: Policy,
    ) -> None:
        """`base_url` is what stands before /rerank, which usually ends in /v1. Raises ConfigError
        for an address or a key that cannot be used."""
        self._model = model
        self._api = Api(
            "the reranker",
            base_url,
            {"Authorization": f"Bearer {api_key}"} if api_key else {},
            key=api_key,
            advice={
                "key": "check the base URL, the model and the key",
                "unreadable": "check the base URL and the model",
            },
            seconds=patience.deadline,
            patience=patience,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def rerank(
        self, query: str, passages: tuple[Passage, ...], limit: int
    ) -> tuple[Passage, ...]:
        """The best of the passages, with the server's scores. Raises SearchError when there is no
        answer that can be read within the deadline."""
        if not passages:
            return ()
        asked = {
            "model": self._model,
            "query": query,
            "documents": [f"{passage.title}\n{passage.text}" for passage in passages],
            "top_n": min(limit, len(passages)),
        }
        results = (await self._api.post("/rerank", asked, _Answer)).results
        places = [result.index for result in results]
        if len(set(places)) < len(places) or not all(0 <= n < len(passages) for n in places):
            raise self._api.fault("unreadable", "ranked other documents than it was given")
        best = sorted(results, key=lambda result: -result.relevance_score)[:limit]
        return tuple(
            replace(passages[result.index], score=result.relevance_score) for result in best
        )
