"""The way to one provider's server, and its errors in our words; shared by all shelves that ask
servers for evidence.

No redirects, no proxies, a bound in time and in decoded size, a key that only the server sees.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx2
import msgspec

from mia.errors import ConfigError, SearchError
from mia.provider import ProviderError, Why
from mia.provider_text import tidy
from mia.retry import Policy, Retry, Transient, asked_wait
from mia.types import Noun

if TYPE_CHECKING:
    from httpx2._types import QueryParamTypes

W = TypeVar("W", bound=msgspec.Struct)

AGENT = f"mia/{version('mia')}"
"""Who asks; the name of a library would be taken for a robot's."""
SECONDS = 10.0
"""For one request, everything included."""
PATIENCE = Policy(deadline=45.0, attempts=3)
"""For those who have nobody else to ask."""
_MOST_BYTES = 2 * 2**20
"""Of a decoded answer; twenty results have 50 kB."""
_CONNECT_SECONDS = 5.0
_WORDS = 200
"""How much of a server's own words is passed on."""
_BY_STATUS: dict[int, Why] = {
    400: "query", 401: "key", 402: "quota", 403: "key", 407: "key", 408: "down", 413: "query",
    414: "query", 422: "query", 425: "down", 429: "rate",
}  # fmt: skip
_QUOTA = re.compile(r"credit|quota|billing|monthly|balance|out of searches|usage limit")
_KEY = re.compile(r"api.?key|unauthori[sz]ed|subscription.?token|credential|forbidden")
_RATE = re.compile(r"rate.?limit|too many requests")
_ADVICE: dict[Why, str] = {
    "key": "check its key",
    "quota": "its credit or its plan is used up",
    "rate": "ask it less often",
    "down": "",
    "query": "it does not take this query",
    "unreadable": "is its base_url right, or does it take us for a robot?",
}


class Refusal(Noun, frozen=True):
    """An answer that is no answer, as a provider's file looks at it to say why."""

    status: int
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """With names in small letters."""
    code: str = ""
    """The server's own name for what is wrong."""
    words: str = ""
    wait: float | None = None
    """Seconds that its body asks for."""


class _Told(msgspec.Struct, frozen=True):
    """What servers put under `error` or `detail`."""

    message: str | None = None
    error: str | None = None
    detail: str | None = None
    info: str | None = None
    code: str | int | None = None
    retry_after_seconds: float | None = None


class _Failure(msgspec.Struct, frozen=True):
    """The body of an error, in all the forms in which providers write it."""

    error: str | _Told | list[Any] | None = None
    detail: str | _Told | list[Any] | None = None
    message: str | None = None
    code: str | int | None = None


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that all clients share: reading them takes longer than a search."""
    return httpx2.create_ssl_context(trust_env=False)


def by_nothing(_: Refusal) -> Why | None:
    """For providers whose statuses mean what they mean elsewhere."""
    return None


class _Signing(httpx2.AsyncHTTPTransport):
    """Adds parameters to a request as it leaves: whoever logs the request has not seen them."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        super().__init__(verify=_trusted(), trust_env=False)
        self._parameters = dict(parameters)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        signed = httpx2.Request(
            request.method,
            request.url.copy_merge_params(self._parameters),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await super().handle_async_request(signed)


class Api:
    """One provider's server. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        *,
        key: str | None = None,
        key_in_query: str | None = None,
        why: Callable[[Refusal], Why | None] = by_nothing,
        advice: Mapping[Why, str] = {},
        seconds: float = SECONDS,
        patience: Policy | None = None,
    ) -> None:
        """`key` is what `headers` hold of secrets: it is cut out of whatever the server says.
        `key_in_query` names the parameter it is sent in by providers that take no header for it.
        `why` is asked first what a refusal means; None leaves it to the status. `advice` says what
        a person can do, where that is not what it is elsewhere. `seconds` is for one request; with
        `patience` a call may be several, without it is one. Raises ConfigError for an address or a
        key that cannot be used."""
        try:
            parts, url = urlsplit(base_url), httpx2.URL(base_url)
            _ = parts.port  # raises for one that is none
        except (ValueError, httpx2.InvalidURL) as error:
            raise ConfigError(f"{provider}: the base_url is not an address: {error}") from None
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigError(f"{provider}: a base_url begins with http:// or https:// and a host")
        if key is not None and not (key.strip() and key.isascii() and key.isprintable()):
            raise ConfigError(f"{provider}: the key is empty, or cannot be sent in a header")
        self.provider = provider
        self._base = base_url.rstrip("/")
        self._why = why
        self._advice = {**_ADVICE, **advice}
        self._seconds = seconds
        self._retry = Retry(patience, error=SearchError) if patience else None
        password = parts.password or ""
        self._secrets = sorted({key or "", password, unquote(password)} - {""}, key=len)
        transport = (
            _Signing({key_in_query: key})
            if key_in_query and key
            else httpx2.AsyncHTTPTransport(verify=_trusted(), trust_env=False)
        )
        self._client = httpx2.AsyncClient(
            headers={"User-Agent": AGENT, **headers, "Accept": "application/json"},
            timeout=httpx2.Timeout(None, connect=min(_CONNECT_SECONDS, seconds)),
            transport=transport,
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def get(self, path: str, params: QueryParamTypes, kind: type[W]) -> W:
        """The answer to a GET. Raises ProviderError."""
        return await self._ask(
            self._client.build_request("GET", self._at(path), params=params), kind
        )

    async def post(self, path: str, body: Mapping[str, object], kind: type[W]) -> W:
        """The answer to a POST of JSON. Raises ProviderError."""
        request = self._client.build_request(
            "POST",
            self._at(path),
            content=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
        )
        return await self._ask(request, kind)

    def fault(self, why: Why, told: str, wait: float | None = None) -> ProviderError:
        """An error of this provider, fit to be shown."""
        return ProviderError(self.provider, why, self._scrubbed(told), wait)

    def _at(self, path: str) -> str:
        return self._base + path

    async def _ask(self, request: httpx2.Request, kind: type[W]) -> W:
        if self._retry is None:
            return await self._once(request, kind)
        why: Why = "down"

        async def attempt() -> W:
            nonlocal why
            try:
                return await self._once(request, kind)
            except ProviderError as error:
                why = error.why
                if why not in {"down", "rate"}:
                    raise
                raise Transient(error.told, wait=error.wait, down=why == "down") from None

        try:
            return await self._retry.call(self.provider, attempt)
        except ProviderError:
            raise
        except SearchError as error:  # the retry gave up
            told = str(error).removeprefix(f"{self.provider}: ")
            raise ProviderError(self.provider, why, told) from None

    async def _once(self, request: httpx2.Request, kind: type[W]) -> W:
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._client.send(request, stream=True)
                try:
                    body = await self._body(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            raise self.fault("down", f"no complete answer within {self._seconds:g} s") from None
        except httpx2.DecodingError:
            raise self.fault("unreadable", "an answer that cannot be decompressed") from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            # not its text: that of some errors repeats the request
            raise self.fault("down", f"no connection, or one that broke ({_kind(error)})") from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return self.read(response.status_code, headers, body, kind)

    async def _body(self, response: httpx2.Response) -> bytes:
        """Decoded piece by piece, so that a bomb ends at the bound."""
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _MOST_BYTES:
                raise self.fault("unreadable", f"an answer of more than {_MOST_BYTES:,} bytes")
        return bytes(body)

    def read(self, status: int, headers: Mapping[str, str], body: bytes, kind: type[W]) -> W:
        """A body as what it should be. Raises ProviderError for all others."""
        if status != 200:
            raise self.refused(_refusal(status, headers, body))
        if _is_page(headers, body):
            raise self.fault(
                "unreadable", f"answered with a web page; {self._advice['unreadable']}"
            )
        try:
            return msgspec.json.decode(body.decode("utf-8-sig"), type=kind, strict=False)
        except msgspec.ValidationError as error:
            if _failure(body) is not None:
                raise self.refused(_refusal(status, headers, body)) from None
            raise self.fault("unreadable", f"answered with JSON of another kind: {error}") from None
        except UnicodeDecodeError:
            raise self.fault("unreadable", "answered with text that is not UTF-8") from None
        except RecursionError:
            raise self.fault("unreadable", "answered with JSON that is nested too deeply") from None
        except msgspec.DecodeError:
            if body.lstrip().startswith(b"{") and not body.rstrip().endswith(b"}"):
                raise self.fault("down", "the answer breaks off") from None
            raise self.fault("unreadable", "answered with something that is not JSON") from None

    def refused(self, refusal: Refusal) -> ProviderError:
        """What a refusal is, as an error."""
        status = refusal.status
        why = self._why(refusal) or _meaning(refusal)
        said = f"answered {status}" if status != 200 else "answered with an error"
        if 300 <= status < 400:
            said = f"{said}, a redirect, which is not followed"
        # what to do stands behind a server's own words, which may be cut
        words = f" ({self._scrubbed(refusal.words)[:_WORDS]})" if refusal.words else ""
        advice = f"; {self._advice[why]}" if self._advice[why] else ""
        asked = asked_wait(refusal.headers.get("retry-after"), time.time())
        wait = asked if asked is not None else refusal.wait
        return ProviderError(self.provider, why, f"{said}{words}{advice}", wait)

    def _scrubbed(self, text: str) -> str:
        for secret in reversed(self._secrets):  # the longest first: one may be part of another
            text = text.replace(secret, "***")
        return tidy(text)


def _kind(error: Exception) -> str:
    return type(error).__name__


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    said = headers.get("content-type", "").partition(";")[0].strip().lower()
    return said == "text/html" or body.lstrip()[:1] == b"<"


def _failure(body: bytes) -> _Failure | None:
    """The body of an error; None for a body that says nothing."""
    try:
        failure = msgspec.json.decode(body.decode("utf-8-sig"), type=_Failure)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return failure if failure != _Failure() else None


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    failure = _failure(body) or _Failure()
    nested = [part for part in (failure.error, failure.detail) if isinstance(part, _Told)]
    flat = [part for part in (failure.error, failure.detail) if isinstance(part, str)]
    words = [word for told in nested for word in (told.message, told.detail, told.info, told.error)]
    codes = [str(code) for code in (*(told.code for told in nested), failure.code) if code]
    waits = [told.retry_after_seconds for told in nested]
    return Refusal(
        status=status,
        code=next(iter(codes), ""),
        words=next(filter(None, [*words, failure.message, *flat, *codes]), ""),
        headers=dict(headers),
        wait=next((wait for wait in waits if wait is not None and 0 <= wait < 1e9), None),
    )


def _meaning(refusal: Refusal) -> Why:
    """By the status; and by the words where servers have one status for several things."""
    words, status = f"{refusal.code} {refusal.words}".lower(), refusal.status
    if status in {200, 400, 403, 422, 429} and _QUOTA.search(words):
        return "quota"
    if status in {200, 400, 422} and _KEY.search(words):
        return "key"
    if status in {200, 403} and _RATE.search(words):
        return "rate"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "down"
    return _BY_STATUS.get(status, "unreadable")
