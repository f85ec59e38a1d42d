"""The version of the Planner that is in use, served: whoever leases it keeps it, whatever is
promoted meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from mia.errors import MIAError, ModelError
from mia.model import Model
from mia.training.hosts.host import Host
from mia.training.versions import Shelf, Version

_log = logging.getLogger(__name__)

_EVERY = 0.5
"""Seconds between two looks at what is in use."""
_AGAIN = 30.0
"""Seconds until a version that could not be served is tried again: a busy server may take it
then."""


@dataclass(frozen=True)
class _Refused:
    """What could not be served."""

    number: int | None
    """None where nobody could say what is in use."""
    why: str
    at: float


class InUse:
    """Follows the pointer of a shelf on a host, which it owns."""

    def __init__(self, host: Host, shelf: Shelf, base_sha256: str, every: float = _EVERY) -> None:
        """`base_sha256` is of the weights that the host serves: versions of others say nothing over
        them. `every` is how many seconds pass between two looks."""
        self._host, self._shelf, self._base_sha256 = host, shelf, base_sha256
        self._every = every
        self._refused: _Refused | None = None

    @property
    def version(self) -> int:
        """The number of the version that answers; 0 for what came with MIA or the base. Raises
        ModelError before the first look."""
        return self._host.version

    @property
    def refused(self) -> str:
        """Why what is in use does not answer; empty where it does."""
        return "" if self._refused is None else self._refused.why

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """A model and its version's number, for a whole episode."""
        return self._host.lease()

    async def look(self) -> None:
        """Serves what is in use. Where that cannot be served, what was served before goes on, and
        at first what came with MIA or the base. Raises ModelError where not even that can be."""
        number: int | None = None
        try:
            version = await asyncio.to_thread(self._shelf.current)
            number = 0 if version is None else version.number
            if self._is_refused(number):
                return
            await self._activate(version)
            self._refused = None
        except (MIAError, OSError) as error:
            self._refuse(number, str(error))
            with suppress(ModelError):
                _ = self._host.version
                return
            await self._host.activate(None, None)

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """In the block, what is promoted is served soon after. At its end everything ends that is
        served."""
        try:
            await self.look()
            following = asyncio.create_task(self._follow())
            try:
                yield
            finally:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
        finally:
            await self._host.aclose()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except ModelError as error:
                _log.warning("%s", error)

    async def _activate(self, version: Version | None) -> None:
        """Also of the version that answers already: a server that died is started again so."""
        if version is None:
            await self._host.activate(None, None)
            return
        if version.base_sha256 != self._base_sha256:
            raise ModelError(
                f"version {version.number} of {version.role} is an adapter for {version.base}, and"
                " another base is served"
            )
        await self._host.activate(version, self._shelf.folder(version.number))

    def _is_refused(self, number: int) -> bool:
        refused = self._refused
        fresh = refused is not None and time.monotonic() - refused.at < _AGAIN
        return fresh and refused is not None and refused.number == number

    def _refuse(self, number: int | None, why: str) -> None:
        if why != self.refused:
            _log.warning("what is in use is not served: %s", why)
        self._refused = _Refused(number, why, time.monotonic())
