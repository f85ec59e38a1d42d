"""What the servers of the published services have in common: how a request is read and bounded, and
how an answer, or the lack of one, is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from mia.errors import InputError, JudgeError, MIAError, MissingError, ModelError
from mia.servers.guard import MIB
from mia.servers.metrics import CONTENT_TYPE, Metrics
from mia.servers.search_wire import Failure

T = TypeVar("T")
R = TypeVar("R")

BODY = 16 * MIB
"""Of one request: a run with its observations is long."""
MOST_ITEMS = 64
"""Of a list."""
SECONDS = 600.0
"""For one request: as long as the published clients wait."""
_RETRY_MS = 5000


class Foreign(MIAError):
    """A web page asks, through somebody's browser."""


class Late(MIAError):
    """A request that took longer than anybody waits."""


class Unserved(MIAError):
    """One item of a list that could not be served; so the list is not."""

    def __init__(self, index: int, error: MIAError) -> None:
        super().__init__(f"{error} - at `$[{index}]`")
        self.error = error


_STATUS: dict[type[MIAError], int] = {
    Foreign: 403, InputError: 400, MissingError: 404, ModelError: 502, JudgeError: 502, Late: 504,
}  # fmt: skip


def published(title: str, metrics: Metrics) -> FastAPI:
    """An app without its routes yet, but for those that every server of ours has."""
    api = FastAPI(
        title=title,
        version=version("mia"),
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_no_browser)],
    )
    api.add_exception_handler(MIAError, _failed)
    api.add_exception_handler(OSError, _failed)
    api.get("/healthz")(_well)
    api.get("/readyz")(_well)

    async def measures() -> Response:
        """Counts and times, for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    api.get("/metrics")(measures)
    return api


@asynccontextmanager
async def turn(metrics: Metrics, route: str, seconds: float = SECONDS) -> AsyncGenerator[None]:
    """Measures what is done in the block, and ends it when it takes too long. Raises Late."""
    with metrics.measured(route):
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                yield
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise Late(f"this took longer than {seconds:g} seconds; ask for less") from error


async def read(request: Request, kind: type[T]) -> T:
    """What a request asks. Raises InputError, which names the item and the field."""
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"this cannot be read: {error}") from error


async def read_items(request: Request, kind: type[T]) -> list[T]:
    """The items of a list. Raises InputError."""
    items = await read(request, list[kind])
    if len(items) > MOST_ITEMS:
        raise InputError(f"a list has at most {MOST_ITEMS} items")
    return items


async def each(items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """What becomes of all items, in their order. Raises Unserved for the first that fails, and
    stops the others."""

    async def one(index: int, item: T) -> R:
        try:
            return await work(item)
        except MIAError as error:
            raise Unserved(index, error) from error

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(n, item)) for n, item in enumerate(items)]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]


def answer(said: Any, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(said), status, media_type="application/json")


async def _no_browser(request: Request) -> None:
    """Browsers say where a request comes from, and programs do not. A page of the web could else
    write to a server that needs no token."""
    if "origin" in request.headers:
        raise Foreign("this service is not for web pages")


async def _well() -> Response:
    return answer({"status": "ok"})


async def _failed(request: Request, error: Exception) -> Response:
    """An error of ours or of the disk, told as the published gateway tells one."""
    cause = error.error if isinstance(error, Unserved) else error
    status = next((code for kind, code in _STATUS.items() if isinstance(cause, kind)), 500)
    told = Failure(
        request_id=request.scope["state"]["request_id"],
        error=str(error),
        retry_after=_RETRY_MS if status >= 500 else None,
    )
    return answer(told, status)
