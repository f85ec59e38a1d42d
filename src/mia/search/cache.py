"""What the web answered before, in one SQLite file that several processes share.

An answer lives as long as its kind says, a failure for some seconds at most. Requests that are the
same at the same time become one, within a process and, for as long as `_CLAIM`, across processes.
It is a cache: a file that is damaged is put aside and begun anew, and one that cannot be written
costs only speed. Keys are hashes of requests, which hold no credentials.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from mia.errors import SearchError
from mia.search.cache_file import CacheFile, Kept
from mia.types import Noun

T = TypeVar("T")

Kind = Literal["search", "images", "page"]
State = Literal["HIT", "MISS", "DISABLED"]

HOURS = 3600.0
LIVES: Mapping[Kind, float] = {"search": 24 * HOURS, "images": 24 * HOURS, "page": 7 * 24 * HOURS}
"""Seconds that answers are used again."""
LONGEST_FAILURE = 30.0
"""Seconds that a failure may be told again without asking; no setting goes beyond it."""
MOST_BYTES = 256 * 2**20
_CLAIM = 10.0
"""Seconds that other processes wait for the one that is asking; it may have been killed."""
_VERSION = 1
"""Of what requests and answers mean: another one finds nothing that was kept before."""
_LOOK = 0.05
"""Seconds between two looks at what another process is asking for."""


@dataclass(frozen=True, slots=True)
class Cached(Generic[T]):
    """An answer, and whether it was asked for just now."""

    value: T
    state: State


class Through(Protocol):
    """What remembers answers: a Cache, or NoCache."""

    async def through(
        self,
        kind: Kind,
        request: Noun | str,
        make: Callable[[], Awaitable[T]],
        read: Any,
        lives: Callable[[T], float] | None = None,
    ) -> Cached[T]: ...

    async def peek(self, kind: Kind, request: Noun | str, read: Any) -> Cached[Any] | None: ...


class NoCache:
    """Remembers nothing."""

    async def through(
        self,
        kind: Kind,
        request: Noun | str,
        make: Callable[[], Awaitable[T]],
        read: Any,
        lives: Callable[[T], float] | None = None,
    ) -> Cached[T]:
        """What `make` returns."""
        return Cached(await make(), "DISABLED")

    async def peek(self, kind: Kind, request: Noun | str, read: Any) -> Cached[Any] | None:
        """Nothing."""
        return None


@dataclass(eq=False)
class _Flight:
    """A request on its way, and how many wait for it."""

    task: asyncio.Task[Cached[Any]]
    waiting: int = 0


class Cache:
    """The file, and what is on its way. Safe for the tasks of one event loop and for processes."""

    def __init__(
        self,
        path: Path,
        *,
        most_bytes: int = MOST_BYTES,
        lives: Mapping[Kind, float] = LIVES,
        failures: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`failures` is for how many seconds one is told again, at most LONGEST_FAILURE. Raises
        StoreError when there is something else at the path."""
        self._file = CacheFile(path, most_bytes)
        self._lives = lives
        self._failures = min(failures, LONGEST_FAILURE)
        self._clock = clock
        self._flights: dict[str, _Flight] = {}

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    async def through(
        self,
        kind: Kind,
        request: Noun | str,
        make: Callable[[], Awaitable[T]],
        read: Any,
        lives: Callable[[T], float] | None = None,
    ) -> Cached[T]:
        """The answer to a request: what is kept, or else what `make` returns, which is kept then.

        `read` is the type of the answer; `lives` says for how many seconds a single answer is used,
        where that is less than its kind has. A SearchError of `make` is raised, and raised again
        for the same request in the next seconds. A caller that is cancelled ends the request only
        when nobody else waits for it.
        """
        key = _key(kind, request)
        flight = self._flights.get(key)
        if flight is None:
            task = asyncio.create_task(self._fly(key, kind, make, read, lives))
            flight = self._flights[key] = _Flight(task)
        return await self._join(key, flight)

    async def peek(self, kind: Kind, request: Noun | str, read: Any) -> Cached[Any] | None:
        """What is kept for a request, however old; None where nothing is."""
        row = await asyncio.to_thread(self._file.get, _key(kind, request), self._clock())
        return None if row is None or row.failed else _read(row, read)

    async def _kept(self, key: str, kind: Kind, read: Any) -> Cached[Any] | None:
        """An answer that is still alive. Raises SearchError for a failure that is."""
        now = self._clock()
        row = await asyncio.to_thread(self._file.get, key, now)
        if row is None:
            return None
        most = LONGEST_FAILURE if row.failed else self._lives[kind]
        if not 0 <= now - row.at < min(row.life, most):
            return None
        if row.failed:
            raise SearchError(row.value.decode("utf-8", "replace"))
        return _read(row, read)

    async def _join(self, key: str, flight: _Flight) -> Cached[Any]:
        """Waits for a request on its way; the last one who leaves before its end ends it."""
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                await _ended(flight.task)

    async def _fly(
        self,
        key: str,
        kind: Kind,
        make: Callable[[], Awaitable[T]],
        read: Any,
        lives: Callable[[T], float] | None,
    ) -> Cached[T]:
        """What is kept; else asks, unless another process is just doing so and gets an answer."""
        kept = await self._kept(key, kind, read)
        ends = time.monotonic() + _CLAIM
        while kept is None and time.monotonic() < ends:
            if await asyncio.to_thread(self._file.claim, key, self._clock(), _CLAIM):
                break
            await asyncio.sleep(_LOOK)
            kept = await self._kept(key, kind, read)
        if kept is not None:
            return kept
        try:
            # whoever had the claim before may have answered just now
            again = await self._kept(key, kind, read)
            if again is not None:
                return again
            return Cached(await self._ask(key, kind, make, lives), "MISS")
        finally:
            await asyncio.to_thread(self._file.release, key)

    async def _ask(
        self,
        key: str,
        kind: Kind,
        make: Callable[[], Awaitable[T]],
        lives: Callable[[T], float] | None,
    ) -> T:
        """Asks, and keeps what comes of it."""
        try:
            value = await make()
        except SearchError as error:
            words = str(error).encode("utf-8", "replace")
            await self._keep(key, Kept(words, self._clock(), self._failures, failed=True))
            raise
        life = self._lives[kind] if lives is None else min(self._lives[kind], lives(value))
        body = msgspec.msgpack.encode(value)
        await self._keep(key, Kept(body, self._clock(), life, failed=False))
        return value

    async def _keep(self, key: str, row: Kept) -> None:
        await asyncio.to_thread(self._file.put, key, row)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancels a task that is not done, and sees it through."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # somebody has to look at it


def _key(kind: Kind, request: Noun | str) -> str:
    """The same for equal requests, in all processes."""
    if isinstance(request, str):  # an address may hold half of a surrogate pair
        request = request.encode("utf-8", "backslashreplace").decode()
    asked = msgspec.json.encode((_VERSION, kind, request), order="deterministic")
    return hashlib.sha256(asked).hexdigest()


def _read(row: Kept, read: Any) -> Cached[Any] | None:
    """What a row holds; None when it was written by other code than this."""
    try:
        return Cached(msgspec.msgpack.decode(row.value, type=read), "HIT")
    except msgspec.DecodeError:
        return None
