"""What stands before every server of MIA: who may ask, how much at once, and from where.

Plain ASGI, so that it costs little and holds for every route, whatever framework is behind it.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ulid import ULID

from mia.errors import ConfigError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MIB = 2**20
_OPEN = frozenset({"/health", "/healthz", "/readyz"})
"""Routes that need no token and no turn: a balancer asks them when the server is busiest."""
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def loopback(host: str) -> bool:
    """Whether only this machine can reach a server that binds to the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, token: str | None) -> None:
    """Raises ConfigError for a server that everybody could use."""
    if token is None and not loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines: set a token first"
            " (MIA_SERVER_TOKEN), or bind to 127.0.0.1"
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on."""

    body: int = MIB
    """Bytes of one request."""
    at_once: int = 64
    """Requests that are worked on; the next ones wait."""
    waiting: int = 256
    """Requests that wait; the next ones are refused at once."""
    longest_wait: float = 10.0
    """Seconds."""


class _TooMuch(Exception):
    """A body over its limit."""


@dataclass
class Guard:
    """Wraps an app. Answers by itself: 401 without the token, 421 for a name that is not ours, 413
    for a long body, 503 with Retry-After when there is too much to do."""

    app: App
    token: str | None = None
    names: frozenset[str] = frozenset()
    """Host names a request may come under beside those of loopback; empty for any once there is a
    token. A web page that points its own name at 127.0.0.1 gets nothing."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.limits.at_once)
        self._queue = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = str(ULID())
        scope.setdefault("state", {})["request_id"] = request_id
        headers = {name.decode("latin-1").lower(): value.decode("latin-1")
                   for name, value in scope["headers"]}  # fmt: skip
        answer = _Answer(send, request_id)
        refused = self._refusal(scope["path"], headers)
        if refused is not None:
            await answer.refuse(*refused)
            return
        if scope["path"] in _OPEN:
            await self.app(scope, receive, answer.send)
            return
        await self._in_turn(scope, receive, answer)

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """The status and the reason of a request that goes no further."""
        if not self._ours(headers.get("host", "")):
            return 421, "this server is not known by that name"
        length = headers.get("content-length", "0")
        if not length.isdigit():
            return 400, "the content-length is no number"
        if int(length) > self.limits.body:
            return 413, f"a request has at most {self.limits.body:,} bytes"
        if path not in _OPEN and not self._known(headers.get("authorization", "")):
            return 401, "a token is needed: Authorization: Bearer ..."
        return None

    def _ours(self, host: str) -> bool:
        if self.token is not None and not self.names:
            return True
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.strip("[]").lower() in _LOOPBACK_NAMES | self.names

    def _known(self, authorization: str) -> bool:
        if self.token is None:
            return True
        kind, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self.token.encode())
        return kind.lower() == "bearer" and same

    async def _in_turn(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if self._slots.locked() and self._queue >= self.limits.waiting:
            await answer.refuse(503, "too many requests wait already", retry_after=1)
            return
        self._queue += 1
        try:
            async with asyncio.timeout(self.limits.longest_wait):
                await self._slots.acquire()
        except TimeoutError:
            await answer.refuse(503, "no turn came in time", retry_after=2)
            return
        finally:
            self._queue -= 1
        try:
            await self.app(scope, self._counted(receive, answer), answer.send)
        except _TooMuch:
            pass  # the app had not begun to answer, or the client has been told
        finally:
            self._slots.release()
        if answer.late is not None and not answer.began:
            await answer.refuse(413, answer.late)

    def _counted(self, receive: Receive, answer: _Answer) -> Receive:
        """Bodies without a length, or with a wrong one, end at the limit too. A framework may
        make an answer of its own of what is raised here; the client is told ours."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limits.body:
                answer.late = f"a request has at most {self.limits.body:,} bytes"
                raise _TooMuch
            return message

        return counted


class _Answer:
    """Sends an answer, and knows whether it has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self.began = False
        self.late: str | None = None
        """Why the request is refused, where that came out while its body was read."""
        self._send = send
        self._id = request_id

    async def send(self, message: Message) -> None:
        if self.late is not None and not self.began:
            return  # what the app makes of a body that breaks off
        if message["type"] == "http.response.start":
            self.began = True
            headers = [*message.get("headers", ()), (b"x-request-id", self._id.encode())]
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, status: int, reason: str, retry_after: int | None = None) -> None:
        body = msgspec.json.encode({"request_id": self._id, "error": reason})
        headers = [(b"content-type", b"application/json"),
                   (b"content-length", str(len(body)).encode())]  # fmt: skip
        if retry_after is not None:
            headers.append((b"retry-after", str(retry_after).encode()))
        self.late = None
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
