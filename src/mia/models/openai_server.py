"""One OpenAI-compatible server: its client, its retry, and its errors in our words.

Shared by the chat model and the embedder. The SDK only carries bytes: its own retries are off, and
replies are read here, strictly, since the SDK takes whatever JSON it gets for a completion.

Not covered: a hostile server that sends gigabytes. The deadline bounds a reply in time, not in
size.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from mia.errors import ConfigError, MissingError, ModelError, installing
from mia.retry import Retry, Transient, asked_wait, transient_status

if TYPE_CHECKING:
    from openai._legacy_response import LegacyAPIResponse

W = TypeVar("W", bound=msgspec.Struct)

_CONNECT_SECONDS = 10.0
"""A host that drops packets would otherwise take the whole deadline in its first attempt."""
_WORDS = 300
"""How much of a server's own error message is passed on."""
_ADVICE = {
    400: "the server does not accept this request",
    401: "check the API key",
    402: "check the account's credit",
    403: "check what the API key may do",
    404: "check the base URL, which usually ends in /v1, and the model's name",
    413: "the prompt is too long for the server",
    429: "the rate limit is reached; lower the concurrency",
}


class Refused(ModelError):
    """An answer that says no, and would say so again."""

    def __init__(self, message: str, status: int, words: str) -> None:
        super().__init__(message)
        self.status = status
        self.words = words
        """What the server gave as its reason."""


class ErrorBody(msgspec.Struct, frozen=True):
    """What servers put under `error`."""

    message: str = ""
    code: int | str | None = None


class _Failure(msgspec.Struct, frozen=True):
    """The body of an error: OpenAI and most others nest a message, some write a string."""

    error: ErrorBody | str | None = None
    message: str = ""
    detail: str = ""


class OpenAIServer:
    """The way to one server. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(self, base_url: str, api_key: str | None, retry: Retry | None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError("a base URL must begin with http:// or https:// and name a host")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("the API key holds characters that cannot be sent in a header")
        self.retry = retry or Retry()
        self._address = _without_credentials(parts)
        self._secrets = _secrets(parts, api_key)
        try:
            from openai import AsyncOpenAI, Timeout
        except ImportError as error:
            raise MissingError(
                f"models behind a URL need the openai package; run: {installing('openai')}"
            ) from error
        self.client = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "EMPTY",
            max_retries=0,
            timeout=Timeout(None, connect=_CONNECT_SECONDS),
        )
        # The SDK took these from the environment; they are not for any server but OpenAI's.
        self.client.organization = None
        self.client.project = None

    async def aclose(self) -> None:
        """Closes the connections; the server is not usable after that."""
        await self.client.close()

    def where(self, path: str) -> str:
        """The address of a route, fit to be shown."""
        return self._address + path

    async def send(
        self, path: str, request: Callable[[], Awaitable[LegacyAPIResponse[object]]]
    ) -> bytes:
        """The body of the reply to one request. Raises Transient or Refused."""
        from openai import APIConnectionError, APIStatusError

        try:
            response = await request()
        except APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise self.failure(path, error.status_code, error.response.text, retry_after) from None
        except APIConnectionError as error:
            reason = self._scrubbed(str(error.__cause__ or error))
            raise Transient(
                f"no connection, or one that broke: {reason or type(error.__cause__).__name__}",
                advice="is the server running, and is the base URL right?",
            ) from None
        return response.http_response.content

    def read(self, path: str, raw: bytes, kind: type[W]) -> W:
        """A body as what it should be. Raises Transient when it is incomplete."""
        where = self.where(path)
        try:
            text = raw.decode()
            if text.lstrip().startswith("<"):
                raise ModelError(f"{where} answered with a web page; {_ADVICE[404]}")
            return msgspec.json.decode(text, type=kind)
        except msgspec.ValidationError as error:
            raise ModelError(f"{where} answered with JSON of another kind: {error}") from None
        except RecursionError:
            raise ModelError(f"{where} answered with JSON that is nested too deeply") from None
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            raise Transient(f"the reply is not complete JSON: {error}") from None

    def failure(
        self, path: str, status: int, body: str, retry_after: str | None = None
    ) -> Transient | Refused:
        """What an error status means for whoever asked."""
        words = self._scrubbed(_words(body))
        said = f"answered {status}" + (f" ({words})" if words else "")
        if transient_status(status):
            wait = asked_wait(retry_after, time.time())
            advice = _ADVICE.get(status, "look at the server's log")
            return Transient(said, advice=advice, wait=wait, down=status >= 500)
        advice = _ADVICE.get(status, "the server does not accept this request")
        return Refused(f"{self.where(path)} {said}; {advice}", status, words)

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_WORDS]


def _without_credentials(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _secrets(parts: SplitResult, api_key: str | None) -> tuple[str, ...]:
    """Everything that a server could echo and nobody may read; the longest first, so that a
    secret inside another one does not leave its rest behind."""
    values = [value for _, value in parse_qsl(parts.query)]
    password = parts.password or ""
    found = {api_key or "", password, unquote(password), *values} - {""}
    return tuple(sorted(found, key=len, reverse=True))


def _words(body: str) -> str:
    """The reason in an error body, or the body itself where it is not in a known form."""
    if body.lstrip().startswith("<"):  # a proxy's page says nothing that the status does not
        return ""
    try:
        failure = msgspec.json.decode(body, type=_Failure)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return body
    error = failure.error
    nested = error.message if isinstance(error, ErrorBody) else error
    return nested or failure.message or failure.detail or body
