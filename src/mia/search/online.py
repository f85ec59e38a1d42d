"""Online text search: the providers in the order given, each as far as its terms and its state
allow, behind one cache.

An answer without results is an answer, but the next provider is asked as well: engines differ in
what they hold (an encyclopedia answers few questions in full sentences), and where all are empty,
that is what is answered. A query that one provider does not take goes to the next one too, since
their limits differ.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Never, Protocol, TypeVar

from msgspec.structs import replace

from mia.errors import ConfigError, SearchError
from mia.provider import Found, FoundImages, WebImage
from mia.search.cache import NoCache, State, Through
from mia.search.online_lane import Lane, Source
from mia.search.spending import Spending
from mia.types import Noun, Passage

_log = logging.getLogger(__name__)
F = TypeVar("F", Found, FoundImages)

DEADLINE = 20.0
_PATIENCE = 1.0
"""Seconds to wait for a turn at a busy provider when there is another one."""
_STOPGAP = 600.0
"""Seconds that an answer lives which came from a provider behind the first, or which is empty: the
first one may be back sooner than a day from now."""
_CHARACTERS = 1000
_MOST_RESULTS = 100


class NotKept(SearchError):
    """Nothing is kept for a query that was to be answered from the cache alone."""

    code = "missing"
    exit_code = 3


class Pages(Protocol):
    """Reads a page of the web."""

    async def __call__(self, address: str) -> Passage | None:
        """None when there is none at this address. Raises SearchError."""
        ...


class Answer(Noun, frozen=True):
    """What was found for a query, and by whom."""

    passages: tuple[Passage, ...] = ()
    engine: str = ""
    """The provider that answered; empty where none had to be asked."""
    failed: tuple[str, ...] = ()
    """Why others did not answer before it, a line each."""
    cache: State = "DISABLED"


class Images(Noun, frozen=True):
    """Pictures that were found for a query, and by whom."""

    images: tuple[WebImage, ...] = ()
    engine: str = ""
    failed: tuple[str, ...] = ()
    cache: State = "DISABLED"


class _Asked(Noun, frozen=True):
    """All that an answer depends on. The language is that of the query."""

    providers: tuple[str, ...]
    query: str
    limit: int


@dataclass(frozen=True, slots=True)
class _First(Generic[F]):
    """The first answer with results, or the first of those without."""

    found: F
    engine: str
    failed: tuple[str, ...]


class Online:
    """A Search of the web. Safe for the tasks of one event loop."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        cache: Through | None = None,
        spending: Spending | None = None,
        pages: Pages | None = None,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`pages` reads what `page` is asked for; `deadline` is for one query, over all
        providers. Raises ConfigError."""
        names = [source.provider.name for source in sources]
        if not sources or len(set(names)) < len(names):
            raise ConfigError("an online search needs providers, each of them once")
        self._lanes = [Lane(source, spending, clock=clock, sleep=sleep) for source in sources]
        self._cache: Through = cache or NoCache()
        self._pages = pages
        self._deadline = deadline

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The passages that the first provider with any finds. Raises SearchError that says of
        each provider why it did not answer."""
        return (await self.answer(query, limit)).passages

    async def page(self, address: str) -> Passage | None:
        """The page at an address of the web; None for one that is none."""
        if self._pages is None or not address.startswith(("http://", "https://")):
            return None
        return await self._pages(address)

    async def answer(
        self, query: str, limit: int, *, engine: str | None = None, deterministic: bool = False
    ) -> Answer:
        """`search`, with who answered and whether that was kept from before.

        `engine` names the provider to ask first, where it is one of ours. `deterministic` asks
        nobody: it answers what is kept, however old, and raises NotKept where nothing is.
        """
        lanes = _from(engine, self._lanes)
        asked = _asked(lanes, query, limit)
        if asked is None:
            return Answer()
        if deterministic:
            kept = await self._cache.peek("search", asked, Answer)
        else:
            kept = await self._cache.through(
                "search", asked, lambda: self._texts(lanes, asked), Answer, _life
            )
        return replace(kept.value, cache=kept.state) if kept is not None else _not_kept(asked)

    async def images(
        self, query: str, limit: int, *, engine: str | None = None, deterministic: bool = False
    ) -> Images:
        """Pictures for words, from those providers that find some; otherwise like `answer`."""
        lanes = _from(engine, [lane for lane in self._lanes if lane.source.images is not None])
        if not lanes:
            names = ", ".join(lane.name for lane in self._lanes)
            raise SearchError(f"none of the search providers finds pictures: {names}")
        asked = _asked(lanes, query, limit)
        if asked is None:
            return Images()
        if deterministic:
            kept = await self._cache.peek("images", asked, Images)
        else:
            kept = await self._cache.through(
                "images", asked, lambda: self._pictures(lanes, asked), Images, _life
            )
        return replace(kept.value, cache=kept.state) if kept is not None else _not_kept(asked)

    def resting(self) -> dict[str, str | None]:
        """Of each provider why it is left alone at this moment; None when it is not."""
        return {lane.name: lane.resting() for lane in self._lanes}

    async def _texts(self, lanes: Sequence[Lane], asked: _Asked) -> Answer:
        async def ask(source: Source) -> Found:
            return await source.provider.search(asked.query, asked.limit)

        first = await self._first(lanes, ask, lambda found: bool(found.passages))
        return Answer(passages=first.found.passages, engine=first.engine, failed=first.failed)

    async def _pictures(self, lanes: Sequence[Lane], asked: _Asked) -> Images:
        async def ask(source: Source) -> FoundImages:
            assert source.images is not None
            return await source.images.images(asked.query, asked.limit)

        first = await self._first(lanes, ask, lambda found: bool(found.images))
        return Images(images=first.found.images, engine=first.engine, failed=first.failed)

    async def _first(
        self,
        lanes: Sequence[Lane],
        ask: Callable[[Source], Awaitable[F]],
        any_in: Callable[[F], bool],
    ) -> _First[F]:
        """Asks one after the other, within the deadline."""
        failed: list[str] = []
        empty: _First[F] | None = None
        asking = ""
        limit = asyncio.timeout(self._deadline)
        try:
            async with limit:
                for lane in lanes:
                    asking = lane.name
                    patience = self._deadline if lane is lanes[-1] else _PATIENCE
                    try:
                        found = await lane.ask(lambda lane=lane: ask(lane.source), patience)
                    except SearchError as error:
                        _log.info("%s", error)
                        failed.append(str(error))
                        continue
                    first = _First(found=found, engine=lane.name, failed=tuple(failed))
                    if any_in(found):
                        return first
                    empty = empty or first
        except TimeoutError:
            if not limit.expired():
                raise
            failed.append(f"{asking}: no answer within the {self._deadline:g} s of a search")
        if empty is not None:
            return empty
        raise SearchError(f"no search provider answered: {'; '.join(failed)}")


def _from(engine: str | None, lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes in their order, but the one of this name first."""
    return sorted(lanes, key=lambda lane: lane.name != engine)


def _asked(lanes: Sequence[Lane], query: str, limit: int) -> _Asked | None:
    """A request in the form in which equal ones are equal; None for one that needs no asking."""
    words = " ".join(query.encode("utf-8", "ignore").decode().split())[:_CHARACTERS]
    if limit < 1 or not any(map(str.isalnum, words)):
        return None
    names = tuple(lane.name for lane in lanes)
    return _Asked(providers=names, query=words, limit=min(limit, _MOST_RESULTS))


def _not_kept(asked: _Asked) -> Never:
    raise NotKept(f"nothing is kept for {asked.query[:80]!r}, and nobody was to be asked")


def _life(answer: Answer | Images) -> float:
    found = answer.passages if isinstance(answer, Answer) else answer.images
    return math.inf if found and not answer.failed else _STOPGAP
