"""One request to an image search of the web: its bounds, its retries, its errors in our words."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import TypeVar

import httpx2
import msgspec

from mia.errors import ConfigError, SearchError
from mia.provider import ProviderError, Why
from mia.retry import Policy, Retry, Transient, asked_wait

W = TypeVar("W", bound=msgspec.Struct)

_SECONDS = 20.0
"""For one attempt."""
_MOST_BYTES = 2 << 20
_WORDS = 200
_ABOUT_KEY = re.compile(r"api[ _-]?key|unauthori[sz]ed|credential", re.IGNORECASE)
_ABOUT_CREDIT = re.compile(r"credit|quota|run out|billing|exceeded your", re.IGNORECASE)
PATIENCE = Policy(deadline=45.0, attempts=3, concurrency=4)


class _Failure(msgspec.Struct, frozen=True):
    """The bodies of errors: Google nests a message, Serper writes `message`, SerpApi `error`."""

    error: str | _Nested | None = None
    message: str = ""


class _Nested(msgspec.Struct, frozen=True):
    message: str = ""


class _Signing(httpx2.AsyncHTTPTransport):
    """Adds parameters to a request as it leaves: whoever logs the request has not seen them."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__(trust_env=False)
        self._parameters = dict(parameters)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url.copy_merge_params(self._parameters) if self._parameters else request.url
        signed = httpx2.Request(
            request.method,
            url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await super().handle_async_request(signed)


class Asker:
    """The way to one provider. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(
        self,
        name: str,
        base_url: str,
        key: str,
        retry: Retry | None = None,
        *,
        key_in_query: str | None = None,
    ) -> None:
        """`key_in_query` names the parameter that the key is sent in by providers that take no
        header for it. Raises ConfigError for a key that cannot be sent."""
        if not key or not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the key of {name} is empty or cannot be sent in a header")
        self.name = name
        self._key = key
        self._retry = retry or Retry(PATIENCE, error=SearchError)
        self._client = httpx2.AsyncClient(
            base_url=base_url,
            timeout=_SECONDS,
            follow_redirects=False,
            trust_env=False,
            transport=_Signing({key_in_query: key} if key_in_query else {}),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[W],
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> W:
        """The reply, read. Raises ProviderError."""
        request = self._client.build_request(
            method,
            path,
            params=dict(query) if query else None,
            content=None if body is None else msgspec.json.encode(body),
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        failed: list[ProviderError] = []

        async def attempt() -> W:
            try:
                return self._read(await self._send(request), kind)
            except ProviderError as error:
                if error.why not in {"down", "rate"}:
                    raise
                failed.append(error)
                raise Transient(str(error), wait=error.wait, down=error.why == "down") from None

        try:
            return await self._retry.call(self.name, attempt)
        except ProviderError:
            raise
        except SearchError as error:  # the retry gave up
            why: Why = failed[-1].why if failed else "down"
            told = str(error).removeprefix(f"{self.name}: ")
            raise ProviderError(self.name, why, told.replace(f"{self.name}: ", "")) from None

    def failure(self, status: int, words: str, wait: float | None = None) -> ProviderError:
        """What an error says, by its status and its words."""
        clean = " ".join(words.replace(self._key, "***").split())[:_WORDS]
        told = f"answered {status}" + (f" ({clean})" if clean else "")
        return ProviderError(self.name, _why(status, clean), told, wait)

    def unreadable(self, told: str) -> ProviderError:
        """An answer that its documentation does not know."""
        return ProviderError(self.name, "unreadable", told)

    async def _send(self, request: httpx2.Request) -> bytes:
        try:
            async with asyncio.timeout(_SECONDS):
                response = await self._client.send(request, stream=True)
                try:
                    body = await self._body(response)
                finally:
                    await response.aclose()
        except httpx2.DecodingError:
            raise self.unreadable("an answer that is compressed in no way it can be") from None
        except (httpx2.HTTPError, TimeoutError) as error:
            told = f"no answer ({type(error).__name__})"
            raise ProviderError(self.name, "down", told) from None
        if 300 <= response.status_code < 400:
            raise self.unreadable(f"answered {response.status_code}, which leads elsewhere")
        if response.status_code != 200:
            wait = asked_wait(response.headers.get("retry-after"), time.time())
            raise self.failure(response.status_code, _words(body), wait)
        return body

    async def _body(self, response: httpx2.Response) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > _MOST_BYTES:
                raise self.unreadable(f"an answer of more than {_MOST_BYTES:,} bytes")
            parts.append(part)
        return b"".join(parts)

    def _read(self, raw: bytes, kind: type[W]) -> W:
        if raw.lstrip()[:1] == b"<":
            raise self.unreadable("answered with a web page")
        try:
            return msgspec.json.decode(raw.decode(), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            told = str(error).replace(self._key, "***")
            raise self.unreadable(f"an answer that cannot be read: {told[:_WORDS]}") from None


def _why(status: int, words: str) -> Why:
    if status == 402 or (status in {400, 403, 429} and _ABOUT_CREDIT.search(words)):
        return "quota"
    if status in {401, 403} or (status == 400 and _ABOUT_KEY.search(words)):
        return "key"
    if status == 429:
        return "rate"
    return "down" if status >= 500 or status in {408, 425} else "query"


def _words(body: bytes) -> str:
    """The reason in an error's body; nothing for a page."""
    if body.lstrip()[:1] == b"<":
        return ""
    try:
        failure = msgspec.json.decode(body, type=_Failure)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")
    if isinstance(failure.error, _Nested):
        return failure.error.message
    return failure.error or failure.message
