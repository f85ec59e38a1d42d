"""A reranker behind a URL that speaks the /rerank of Cohere, Jina, Voyage, vLLM and llama.cpp."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import httpx2
import msgspec
from msgspec.structs import replace

from mia.errors import ConfigError, SearchError
from mia.retry import Policy, Retry, Transient, asked_wait, transient_status
from mia.types import Passage

_CONNECT_SECONDS = 5.0
_MOST_BYTES = 1 << 20
"""Of an answer; one about 1,000 documents has 60 kB without their texts."""
_WORDS = 200
"""Letters of a server's own words that are passed on."""


class _Ask(msgspec.Struct, frozen=True):
    model: str
    query: str
    documents: list[str]
    top_n: int


class _Result(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float


class _Answer(msgspec.Struct, frozen=True):
    results: list[_Result]


class RerankEndpoint:
    """A Reranker behind a URL. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(
        self, base_url: str, model: str, *, api_key: str | None = None, retry: Retry | None = None
    ) -> None:
        """`base_url` is what stands before /rerank, which usually ends in /v1."""
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise ConfigError("a reranker's base URL begins with http:// or https:// and a host")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("the reranker's key holds characters that cannot be sent in a header")
        self._url = base_url.rstrip("/") + "/rerank"
        self._model = model
        self._key = api_key
        self._retry = retry or Retry(Policy(deadline=30.0), error=SearchError)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def rerank(
        self, query: str, passages: tuple[Passage, ...], limit: int
    ) -> tuple[Passage, ...]:
        """The best of the passages, with the server's scores. Raises SearchError when there is no
        answer that can be read within the deadline."""
        if not passages:
            return ()
        ask = _Ask(
            model=self._model,
            query=query,
            documents=[f"{passage.title}\n{passage.text}" for passage in passages],
            top_n=min(limit, len(passages)),
        )
        raw = await self._retry.call(self._url, lambda: self._send(msgspec.json.encode(ask)))
        results = self._read(raw, len(passages))
        best = sorted(results, key=lambda result: -result.relevance_score)[:limit]
        return tuple(
            replace(passages[result.index], score=result.relevance_score) for result in best
        )

    async def _send(self, body: bytes) -> bytes:
        """One request. Raises Transient or SearchError."""
        json = {"Content-Type": "application/json"}
        try:
            async with self._client.stream(
                "POST", self._url, content=body, headers=json
            ) as response:
                raw = b""
                async for chunk in response.aiter_bytes():
                    raw += chunk
                    if len(raw) > _MOST_BYTES:
                        raise SearchError(f"{self._url} answered more than {_MOST_BYTES} bytes")
        except httpx2.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Transient(f"no answer: {reason}", advice="is the server running?") from None
        if response.status_code == 200:
            return raw
        said = f"answered {response.status_code} ({self._words(raw)})"
        if transient_status(response.status_code):
            wait = asked_wait(response.headers.get("retry-after"), time.time())
            raise Transient(said, wait=wait, down=response.status_code >= 500)
        raise SearchError(f"{self._url} {said}; check the base URL, the model and the key")

    def _read(self, raw: bytes, documents: int) -> list[_Result]:
        try:
            results = msgspec.json.decode(raw, type=_Answer).results
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SearchError(f"{self._url} answered what is no ranking: {error}") from None
        places = [result.index for result in results]
        if len(set(places)) < len(places) or not all(0 <= n < documents for n in places):
            raise SearchError(f"{self._url} ranked other documents than it was given: {places}")
        return results

    def _words(self, raw: bytes) -> str:
        text = " ".join(raw.decode("utf-8", "replace").split())
        return (text.replace(self._key, "***") if self._key else text)[:_WORDS]
