"""`mia serve`: questions are answered over HTTP, and what people say of the answers is taken down
for whoever learns from it.

Only translation happens here; `answering.py` answers, `learning.py` keeps the process that learns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from ulid import ULID

from mia.errors import InputError, MIAError, MissingError
from mia.judges.feedback import Feedback
from mia.servers.answering import Answering, Conflict, Ended, Parts, Running
from mia.servers.api_wire import (
    TOLD,
    Ask,
    Kept,
    Learner,
    Noted,
    Standing,
    Tell,
    answered,
    event,
    feedback,
    question,
    sse,
)
from mia.servers.guard import App, Guard, Receive, Scope, Send
from mia.servers.learning import Learning
from mia.servers.metrics import CONTENT_TYPE, Metrics
from mia.servers.search_wire import Failure
from mia.training.behind import Report
from mia.training.inbox import Inbox, Wish
from mia.types import Episode, Noun

T = TypeVar("T")

KEEP_ALIVE = 10.0
"""Seconds of silence after which a stream says that it is still there."""
_RETRY_MS = 5000
_GONE = 499
"""What is written down for a client that went away; nobody reads it."""
_STREAM = "text/event-stream"
Change = Literal["pause", "resume", "drain"]
_WISHES: dict[Change, Wish] = {"pause": "pause", "resume": "run", "drain": "drain"}


class Foreign(MIAError):
    """A web page asks, through somebody's browser."""


_STATUS: dict[type[MIAError], int] = {
    Conflict: 409, InputError: 422, MissingError: 404, Foreign: 403, Ended: 503,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a server works with."""

    name: str
    parts: Parts
    learning: Learning | None = None
    """Goes with an inbox."""
    keep_alive: float = KEEP_ALIVE


def app(served: Served, token: str | None = None, names: frozenset[str] = frozenset()) -> App:
    """The server as an ASGI app; what it works with is open while it is."""
    learning = served.learning
    minds = () if learning is None else (learning.give_way,)
    answering = Answering(served.parts, *minds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(answering.open())
            if learning is not None:
                await opened.enter_async_context(learning.kept())
            yield

    api = FastAPI(
        title="MIA", version=version("mia"), docs_url=None, redoc_url=None, lifespan=lifespan,
        dependencies=[Depends(_no_browser)],
    )  # fmt: skip
    routes = _Routes(served, answering, Metrics("mia"))
    for kind in (MIAError, OSError):
        api.add_exception_handler(kind, _failed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _refused)
    for path in ("/health", "/healthz", "/readyz"):
        api.get(path)(_well)
    api.get("/metrics")(routes.metrics)
    api.post("/v1/ask", **_tells("Answered", stream=True))(routes.ask)
    api.post("/v1/feedback", **_tells("Noted"))(routes.feedback)
    api.get("/v1/episodes/{id}", **_tells("Kept"))(routes.episode)
    api.get("/v1/learning", **_tells("Standing"))(routes.learning)
    api.post("/v1/learning/{change}", **_tells("Standing"))(routes.change)
    _, schemas = msgspec.json.schema_components(TOLD, ref_template="#/components/schemas/{name}")
    api.openapi()["components"]["schemas"].update(schemas)
    return Guard(api, token, names)


class _Routes:
    """What each route does."""

    def __init__(self, served: Served, answering: Answering, metrics: Metrics) -> None:
        self._served = served
        self._parts = served.parts
        self._answering = answering
        self._metrics = metrics

    async def metrics(self) -> Response:
        """Counts and times, for Prometheus."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def ask(
        self,
        request: Request,
        asked: Ask,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> Response:
        """Answers a question. With `Accept: text/event-stream` it tells on the way what happens:
        the events recollection, plan, turn, reflection, replan, and last answer, or error."""
        key = _key(asked, idempotency_key)
        if asked.answers and self._parts.inbox is not None:
            raise InputError(
                "this server learns from what people say afterwards: give right answers as"
                " feedback (POST /v1/feedback)"
            )
        wanted = question(asked, key or str(ULID()))
        opened = AsyncExitStack()
        running = await opened.enter_async_context(
            self._answering.episode(wanted, asked.user, again=key is not None)
        )
        if _STREAM in request.headers.get("accept", ""):
            return _Events(running, opened, self._metrics, self._served.keep_alive)
        async with opened:
            with self._metrics.measured("ask"):
                answer = await _unless_gone(request.receive, running.answered())
        if answer is None:
            return Response(status_code=_GONE)
        _count(answer, self._metrics)
        return _json(answered(answer))

    async def feedback(self, told: Tell) -> Response:
        """Takes down what somebody says of an answer. It is on the disk when this says 200."""
        with self._metrics.measured("feedback"):
            inbox = self._inbox()
            key, said = told.key or str(ULID()), feedback(told)
            new = await asyncio.to_thread(self._tell, inbox, key, told.episode, said)
        return _json(Noted(key=key, new=new))

    async def episode(self, id: str) -> Response:
        """An episode, and what was said of it."""
        with self._metrics.measured("episode"):
            kept = await asyncio.to_thread(self._kept, id)
        return _json(kept)

    async def learning(self) -> Response:
        """Who answers, and who learns."""
        with self._metrics.measured("learning"):
            standing = await asyncio.to_thread(self._standing)
        return _json(standing)

    async def change(self, change: Change) -> Response:
        """pause leaves the weights alone, resume lets them learn again, drain learns from all that
        waits and then rests."""
        with self._metrics.measured("learning"):
            await asyncio.to_thread(self._inbox().wish, _WISHES[change])
            standing = await asyncio.to_thread(self._standing)
        return _json(standing)

    def _inbox(self) -> Inbox:
        inbox = self._parts.inbox
        if inbox is None:
            raise MissingError("nobody learns here; start the server with --learn")
        return inbox

    def _tell(self, inbox: Inbox, key: str, episode: str, said: Feedback) -> bool:
        self._given(episode)
        inbox.ask(episode, "")  # for answers from before somebody learned here
        try:
            return inbox.tell(key, episode, said)
        except InputError as error:
            raise Conflict(str(error)) from error

    def _kept(self, id: str) -> Kept:
        inbox = self._parts.inbox
        return Kept(episode=self._given(id), feedback=() if inbox is None else inbox.of(id))

    def _given(self, id: str) -> Episode:
        try:
            return self._parts.journal.episode(id, self._parts.run)
        except InputError as error:
            raise MissingError(f"no answer with the episode {id!r} was given here") from error

    def _standing(self) -> Standing:
        in_use = self._parts.in_use
        return Standing(
            name=self._served.name,
            version=None if in_use is None else in_use.version,
            refused="" if in_use is None else in_use.refused,
            learner=self._learner(),
        )

    def _learner(self) -> Learner | None:
        inbox, learning = self._parts.inbox, self._served.learning
        if inbox is None or learning is None:
            return None
        return Learner(
            wish=inbox.wished,
            waiting=len(inbox.waiting()),
            process=learning.process,
            report=inbox.reported(Report),
        )


class _Events(Response):
    """An episode as it comes into being, as server-sent events."""

    def __init__(
        self, running: Running, opened: AsyncExitStack, metrics: Metrics, keep_alive: float
    ) -> None:
        super().__init__(media_type=_STREAM, headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self._running, self._opened = running, opened
        self._metrics, self._keep_alive = metrics, keep_alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends until the answer is there or the client is gone."""

        async def say(chunk: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

        async def tell() -> None:
            async for chunk in self._chunks():
                await say(chunk)

        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with self._opened:
            await send(start)
            try:
                with self._metrics.measured("ask"):
                    await _unless_gone(receive, tell())
            except MIAError as error:
                told = Failure(request_id=scope["state"]["request_id"], error=str(error))
                await say(sse("error", told))
            await say(b"", more=False)

    async def _chunks(self) -> AsyncGenerator[bytes]:
        running, shown, planned = self._running, 0, False
        while True:
            silence = asyncio.timeout(self._keep_alive)
            try:
                async with silence:
                    answer = await running.news(shown)
            except TimeoutError:
                if not silence.expired():
                    raise
                yield b": still at it\n\n"
                continue
            if answer is not None:
                _count(answer, self._metrics)
                yield sse("answer", answered(answer))
                return
            told = event(running.seen[shown], again=planned)
            shown += 1
            if told is not None:
                planned = planned or told[0] == "plan"
                yield sse(*told)


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """What comes of work; None where the client goes away before, and the work ends then. Raises
    Ended where the server has waited for it long enough."""
    working, going = asyncio.create_task(work), asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait((working, going), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    except asyncio.CancelledError as error:
        raise Ended("the server stops") from error
    finally:
        working.cancel()
        going.cancel()
        await asyncio.gather(working, going, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _key(asked: Ask, header: str | None) -> str | None:
    """What a request is known by when it comes again. Raises InputError."""
    if asked.id is not None and header is not None and asked.id != header:
        raise InputError("the id of the question and the Idempotency-Key are not the same")
    return header or asked.id


def _count(answer: Episode, metrics: Metrics) -> None:
    if answer.final.failed:
        metrics.failed("ask")


def _tells(name: str, stream: bool = False) -> dict[str, Any]:
    """What a route answers, for OpenAPI."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    if stream:
        content[_STREAM] = {"schema": {"type": "string"}}  # type: ignore[dict-item]
    failure = {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}}
    return {
        "responses": {
            200: {"content": content, "description": "Well"},
            "default": {"content": failure, "description": "Not well"},
        }
    }


async def _no_browser(request: Request) -> None:
    """Browsers say where a request comes from, and programs do not. A page of the web could else
    write to a server that needs no token."""
    if request.method != "GET" and "origin" in request.headers:
        raise Foreign("this server is not for web pages")


async def _well() -> Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


def _json(told: Noun) -> Response:
    return Response(msgspec.json.encode(told), media_type="application/json")


def _failure(
    request: Request, told: str, status: int, headers: dict[str, str] | None = None
) -> Response:
    retry = _RETRY_MS if status >= 500 else None
    failure = Failure(
        request_id=request.scope["state"]["request_id"], error=told, retry_after=retry
    )
    return Response(msgspec.json.encode(failure), status, headers, "application/json")


async def _failed(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return _failure(request, str(error), status)


async def _invalid(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong with a request, on one line."""
    assert isinstance(error, RequestValidationError)
    wrong = error.errors()
    told = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in wrong)
    return _failure(request, told, 422)


async def _refused(request: Request, error: Exception) -> Response:
    """A route that there is not."""
    assert isinstance(error, HTTPException)
    return _failure(request, error.detail, error.status_code, dict(error.headers or {}))
