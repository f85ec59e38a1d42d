"""A real HTTP server on this machine that speaks OpenAI's API, and misbehaves as it is told.

It is written on bare sockets, not on a web framework, since it must do what no framework lets one
do (reset a connection within a body) and be gone at once when its test ends. It reads what HTTP
clients send: requests with a Content-Length. No chunked requests, no TLS.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from mia.testing.faults import Fault, ok
from mia.testing.models import ScriptError, ToyEmbedder
from mia.types import Noun

_CHAT = "/v1/chat/completions"
_EMBEDDINGS = "/v1/embeddings"
_MODELS = "/v1/models"


class Received(Noun, frozen=True):
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """With names in small letters."""
    body: Any = None
    """The JSON."""


class _Input(msgspec.Struct, frozen=True):
    input: str | list[str]


class FaultServer:
    """`async with FaultServer([faults.status(503), faults.ok("yes")]) as server:` answers the first
    request at `server.url` with 503 and the second one well.

    Requests beyond the script get `then`, or what it makes of them when it is a function; without
    one they are a ScriptError when the server ends, and a 400 until then. `GET /v1/models` is
    always answered, and takes nothing from the script.
    """

    def __init__(
        self,
        script: Sequence[Fault] = (),
        then: Fault | Callable[[Received], Fault] | None = None,
    ) -> None:
        self.unused: list[Fault] = list(script)
        """The part of the script that no request came for."""
        self.requests: list[Received] = []
        """What was asked."""
        self._then = then
        self._beyond: list[Received] = []
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        if self._server is None:
            raise ScriptError("the server is not running: use `async with`")
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}/v1"

    async def __aenter__(self) -> FaultServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self._open.values():
                writer.transport.abort()
            await asyncio.gather(*self._open)
            await self._server.wait_closed()
            self._server = None
        if self._beyond and kind is None:
            paths = ", ".join(request.path for request in self._beyond)
            raise ScriptError(f"{len(self._beyond)} request(s) beyond the script: {paths}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                fault = self._fault(request)
                await _play(fault, await _body(fault, request), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, as clients with a deadline do
        finally:
            writer.transport.abort()
            del self._open[task]

    def _fault(self, request: Received) -> Fault:
        if request.path == _MODELS:
            return Fault()
        if self.unused:
            return self.unused.pop(0)
        if self._then is not None:
            return self._then(request) if callable(self._then) else self._then
        self._beyond.append(request)
        return Fault(status=400, body=b'{"error":{"message":"the script is at its end"}}')


async def _read(reader: asyncio.StreamReader) -> Received:
    """The next request of a connection. Raises IncompleteReadError when there is none."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *fields = head.strip().split("\r\n")
    method, path, _ = line.split(" ")
    pairs = (field.partition(":") for field in fields)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    decoded = msgspec.json.decode(body) if body else None
    return Received(method=method, path=path.partition("?")[0], headers=headers, body=decoded)


async def _body(fault: Fault, request: Received) -> bytes:
    """What the fault says, or else what a good server would say to this request."""
    if fault.body is not None:
        return fault.body
    if request.path == _MODELS:
        return msgspec.json.encode({"object": "list", "data": [{"id": "toy", "object": "model"}]})
    if request.path == _EMBEDDINGS:
        return await _vectors(request)
    return ok("a good answer").body or b""


async def _vectors(request: Received) -> bytes:
    given = msgspec.convert(request.body, _Input).input
    texts = [given] if isinstance(given, str) else given
    rows = (await ToyEmbedder().embed(texts)).tolist()
    data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return msgspec.json.encode({"object": "list", "data": data, "usage": usage})


async def _play(
    fault: Fault, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Sends a response. Ends early when the client does."""
    if fault.silent:
        await reader.read()
        raise ConnectionResetError("the client is gone")
    await _rest(fault.wait, reader)
    headers = (("Content-Type", fault.media_type), ("Content-Length", str(len(body))))
    reason = HTTPStatus(fault.status).phrase if fault.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {fault.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in (*headers, *fault.headers)]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    pieces = [body[n : n + 1] for n in range(len(body))] if fault.pace else [body[: fault.cut]]
    for piece in pieces:
        await _rest(fault.pace, reader)
        writer.write(piece)
        await writer.drain()
    if fault.cut is not None:
        await _rest(0.02, reader)  # so that the client has begun to read the body
        _reset(writer)


async def _rest(seconds: float, reader: asyncio.StreamReader) -> None:
    """Waits, but not for a client that is gone. Raises ConnectionResetError for that one."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await reader.read(1)
    except TimeoutError:
        return
    raise ConnectionResetError("the client is gone")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes a connection with RST: lingering for no time drops what was not sent."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
