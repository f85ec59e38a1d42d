"""Stand-ins of search providers, and of a small web for their results to lie in.

One ASGI app speaks each provider's real wire format below a path of its own, really searches a
small corpus, and misbehaves as it is told. `ProviderStandIns` runs it on a real socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from mia.errors import MissingError, adding
from mia.testing.faults import Fault
from mia.testing.providers_corpus import Corpus, Doc, addressed, hostile
from mia.testing.providers_modes import (
    CHANGES,
    CORPUS_MODES,
    ERROR_MODES,
    MODES,
    Played,
    echoed,
    error,
    split,
)
from mia.testing.providers_wire import BRAVE, EXA, SERPER, TAVILY, Refused, Request, Wire
from mia.testing.providers_wire_free import SEARXNG, SERPAPI, VISION, WIKIPEDIA, pick
from mia.testing.web import respond

if TYPE_CHECKING:
    import uvicorn

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEY = "stand-in-key"
WIRES: Mapping[str, Wire] = {
    "serper": SERPER, "brave": BRAVE, "tavily": TAVILY, "exa": EXA, "searxng": SEARXNG,
    "wikipedia": WIKIPEDIA, "vision": VISION, "serpapi": SERPAPI,
}  # fmt: skip
_BY_PICTURE = {"vision", "serpapi"}
_MANY = 40
_STEP = 0.005


class Gone(Exception):
    """The client has left."""


class StandIns:
    """The ASGI app. `home` is where it is reached, and is set by whoever runs it."""

    def __init__(self, corpus: Corpus, *, own_pages: bool = True) -> None:
        self.home = ""
        self.corpus = corpus
        self.requests: list[Request] = []
        self.modes: dict[str, str] = {}
        self.transports: dict[object, asyncio.Transport] = {}
        """Open connections, by the client's address: what resets are made of."""
        self.loop: asyncio.AbstractEventLoop | None = None
        """Where it runs."""
        self._own_pages = own_pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        played = self._provider(request) if request.route in WIRES else self._web(request)
        transport = self.transports.get(tuple(scope["client"]))
        with suppress(Gone):  # clients with a deadline go away
            await _play(played, receive, send, transport)

    def _web(self, request: Request) -> Played:
        self.requests.append(request)
        parts = [part for part in f"{request.route}{request.path}".split("/") if part]
        return respond(parts, request.query, self.home, self.corpus)

    def _provider(self, request: Request) -> Played:
        wire = WIRES[request.route]
        key = wire.key(request) or ""
        in_query, words = split(wire.asked(request), request.route)
        in_key = key.removeprefix(f"{KEY}-") if key.startswith(f"{KEY}-") else None
        in_header = request.headers.get("x-stand-in")
        mode = in_key or in_header or in_query or self.modes.get(request.route) or "good"
        self.requests.append(replace(request, mode=mode))
        if mode not in MODES:
            return Played(Fault(status=400, body=b'{"message": "the stand-in has no such mode"}'))
        if mode == "echo_key":
            return echoed(key)
        if mode in ERROR_MODES:
            return error(wire, mode)
        if not wire.free and not key:
            return error(wire, "no_key")
        if not wire.free and in_key is None and key != KEY:
            return error(wire, "wrong_key")
        return self._answer(wire, request, words, mode)

    def _answer(self, wire: Wire, request: Request, words: str, mode: str) -> Played:
        try:
            docs = self._docs(request, words, wire.count(request), mode)
            body = msgspec.json.encode(wire.answer(request, words, docs))
        except Refused as refused:
            return Played(refused.fault)
        good = Played(Fault(body=body, headers=wire.headers))
        return good if mode in CORPUS_MODES else CHANGES[mode](good, self.home)

    def _docs(self, request: Request, words: str, count: int, mode: str) -> list[Doc]:
        if mode == "empty":
            return []
        if request.route in _BY_PICTURE or request.path == "/lens":
            words = self.corpus.docs[self._shown(request)].passage.title
        found = self.corpus.search(words, _MANY if mode == "many" else count)
        docs = [addressed(doc, self.home, self._own_pages) for doc in found]
        return hostile(docs) if mode == "hostile" else docs

    def _shown(self, request: Request) -> int:
        """The page that a picture is taken to show: its own, or the same one every time."""
        asked = WIRES[request.route].asked(request)
        name = asked.rpartition("/picture/")[2].removesuffix(".png")
        if name.isdecimal() and int(name) < len(self.corpus.docs):
            return int(name)
        return pick(asked.encode() or request.body, len(self.corpus.docs))


async def _read(scope: Scope, receive: Receive) -> Request:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    _, route, path = (scope["path"] + "/").split("/", 2)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1")
               for name, value in scope["headers"]}  # fmt: skip
    return Request(
        route=route,
        method=scope["method"],
        path=f"/{path}".removesuffix("/"),
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers=headers,
        body=bytes(body),
    )


async def _play(
    played: Played, receive: Receive, send: Send, transport: asyncio.Transport | None
) -> None:
    """Sends a response. Raises Gone when the client leaves before its end."""
    fault, body = played.fault, played.fault.body or b""
    await _rest(fault.wait, receive)
    if played.abort:
        await _reset(transport)
        return
    headers = [("Content-Type", fault.media_type), *fault.headers]
    length = len(body) if played.length is None else played.length
    if length >= 0:
        headers.append(("Content-Length", str(length)))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": fault.status, "headers": raw})
    cut = fault.cut if fault.cut is not None else None
    pieces = [body[n : n + 1] for n in range(len(body))] if fault.pace else [body[:cut]]
    for _ in range(played.repeat):
        for piece in pieces:
            await _rest(fault.pace, receive)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if played.repeat > 1:
            await _rest(_STEP, receive)
    if cut is not None:
        await _rest(0.02, receive)  # so that the client has begun to read the body
        await _reset(transport)
    elif length > len(body):
        if transport is not None:
            transport.close()
        await asyncio.sleep(_STEP)
    else:
        await send({"type": "http.response.body", "body": b""})


async def _rest(seconds: float, receive: Receive) -> None:
    """Waits, but not for a client that is gone. Raises Gone for that one."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
    raise Gone


async def _reset(transport: asyncio.Transport | None) -> None:
    """Closes a connection with RST: lingering for no time drops what was not sent."""
    if transport is not None:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await asyncio.sleep(_STEP)  # so that the server hears of it before the app returns


class ProviderStandIns:
    """`with ProviderStandIns() as web:` serves the stand-ins under `web.url`, in a thread.

    A request's mode is the first that is there of: what follows `web.key` and a hyphen in its key,
    its header `X-Stand-In`, a query that begins with `[[MODE]]` or `[[serper=MODE brave=MODE]]`,
    and `web.modes[route]`. `recorded` is a folder of recorded searches. Results lead to pages of
    the stand-ins; with `own_pages=False` to where they were recorded.
    """

    def __init__(self, recorded: Path | None = None, *, own_pages: bool = True) -> None:
        corpus = Corpus.of(recorded) if recorded is not None else Corpus.demo()
        self.app = StandIns(corpus, own_pages=own_pages)
        self.key = KEY
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where they are reached, without a slash at the end."""
        return self.app.home

    def at(self, provider: str) -> str:
        """The base URL of one provider."""
        return f"{self.url}/{provider}"

    @property
    def requests(self) -> list[Request]:
        """What was asked, oldest first."""
        return self.app.requests

    @property
    def modes(self) -> dict[str, str]:
        """The mode of each route's requests from now on; good where there is none."""
        return self.app.modes

    @property
    def contacts(self) -> int:
        """How many requests came to /internal, where no redirect may lead."""
        return sum(request.route == "internal" for request in self.app.requests)

    def __enter__(self) -> ProviderStandIns:
        try:
            import uvicorn
            from uvicorn.protocols.http.h11_impl import H11Protocol
        except ImportError as failure:
            raise MissingError(f"stand-ins need uvicorn; run: {adding('server')}") from failure
        app = self.app

        class Protocol(H11Protocol):
            """Keeps its transport where resets find it."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                app.loop = self.loop
                app.transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                super().connection_lost(exc)
                app.transports.pop(self.client, None)

        # named as TCP, or asyncio leaves Nagle's algorithm on, and answers take 40 ms
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        self.app.home = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self.app, http=Protocol, ws="none", loop="asyncio", lifespan="off",
                log_config=None, log_level="critical", access_log=False,
                timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listening]}, name="stand-ins", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(_STEP)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        while self._thread.is_alive():
            for transport in list(self.app.transports.values()):
                if self.app.loop is not None and not self.app.loop.is_closed():
                    self.app.loop.call_soon_threadsafe(transport.abort)
            self._thread.join(0.02)
