"""The contract of hosts, who serve one policy version at a time, and the leases that let episodes
finish on the version that they began with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mia.errors import MIAError, ModelError
from mia.model import Model
from mia.training.versions import Version

_log = logging.getLogger(__name__)


class Host(Protocol):
    """Serves a policy, and changes versions while it is asked."""

    @property
    def version(self) -> int:
        """The number of the version that new leases get; 0 for what came with MIA or the base."""
        ...

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """A model and the number of its version, the same for as long as the block goes on: take
        one for a whole episode. Raises ModelError where no version was activated yet."""
        ...

    async def activate(self, version: Version | None, folder: Path | None) -> None:
        """New leases get this version, None for what came with MIA or the base; `folder` has its
        files. Those that go on keep theirs, which is let go of after its last lease. Raises
        ModelError when the version cannot be served; the one before serves on then."""
        ...

    async def aclose(self) -> None:
        """Ends everything, whether it is still leased or not."""
        ...


@dataclass(eq=False)
class Serving:
    """A version that is served."""

    number: int
    model: Model
    end: Callable[[], Awaitable[None]]
    """Lets go of it. May raise MIAError or OSError, which is written to the log."""
    well: Callable[[], bool] = lambda: True
    """Whether it still serves."""
    leases: int = 0


class Leases:
    """Who is served by what. Nothing is ended while it is leased or in use, and a version that is
    gone back to while it is leased is the same one as before."""

    def __init__(self, first: Serving | None = None) -> None:
        self._now = first
        self._kept: dict[int, Serving] = {} if first is None else {first.number: first}
        self._ending: dict[Serving, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()

    @property
    def number(self) -> int:
        """Of the version that new leases get. Raises ModelError where there is none yet."""
        return self._serving().number

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[tuple[Model, int]]:
        """A model and its version's number, which stay as long as the block goes on."""
        serving = self._serving()
        serving.leases += 1
        try:
            yield serving.model, serving.number
        finally:
            serving.leases -= 1
            self._let_go(serving)

    async def switch(self, number: int, start: Callable[[], Awaitable[Serving]]) -> None:
        """Gives new leases a version, which `start` serves where it is not served yet. What `start`
        raises flies, and nothing has changed then."""
        async with self._turn:
            # who lets go of a version must be done before it is served again
            ending = [task for one, task in self._ending.items() if one.number == number]
            await asyncio.gather(*ending)
            serving = self._kept.get(number)
            if serving is None or not serving.well():
                serving = await start()
            before, self._now = self._now, serving
            self._kept[number] = serving
            if before is not None:
                self._let_go(before)

    async def aclose(self) -> None:
        """Ends every version, leased or not."""
        async with self._turn:
            self._now = None
            for serving in tuple(self._kept.values()):
                self._end(serving)
            await asyncio.gather(*self._ending.values())

    def _serving(self) -> Serving:
        if self._now is None:
            raise ModelError("no version is served; activate one first")
        return self._now

    def _let_go(self, serving: Serving) -> None:
        if serving is not self._now and not serving.leases and serving not in self._ending:
            self._end(serving)

    def _end(self, serving: Serving) -> None:
        """In a task of its own: no episode waits for it, and none fails by it."""
        if self._kept.get(serving.number) is serving:
            del self._kept[serving.number]
        task = asyncio.get_running_loop().create_task(_ended(serving))
        self._ending[serving] = task
        task.add_done_callback(lambda _: self._ending.pop(serving, None))


async def _ended(serving: Serving) -> None:
    try:
        await serving.end()
    except (MIAError, OSError) as error:
        _log.warning("version %d was not let go of: %s", serving.number, error)
