"""One provider, and all that stands between it and those who ask: how often, for how much money,
how patiently, and when it is better left alone."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from mia.errors import ConfigError, SearchError, StoreError
from mia.provider import ImageProvider, Provider, ProviderError
from mia.retry import Policy, Retry, Transient
from mia.search.spending import OverBudget, Reserved, Spending
from mia.types import Noun

_log = logging.getLogger(__name__)

POLICY = Policy(
    deadline=8.0, attempts=2, first_pause=0.3, longest_pause=2.0, failures=5, rest=30.0,
    concurrency=8,
)  # fmt: skip
"""Less patient than with models: there is another provider, and a model waits for the answer."""
_QUOTA_REST = 3600.0
"""Seconds until a provider whose credit is spent is asked again: somebody may have paid."""
_PATIENCE = 1.0
"""Seconds that another attempt waits for its turn."""
_LONGEST_REST = 60.0
"""Seconds that a provider may ask to be left alone for; beyond it the request is not believed."""
_UNCHARGED = {"key", "quota", "rate", "query"}
"""Refusals, which cost nothing. What broke on its way may have been charged."""


class Terms(Noun, frozen=True):
    """How a provider may be used."""

    per_second: float = 5.0
    burst: int = 5
    """Requests that may come at once after a pause."""
    dollars: float = 0.0
    """What a request is taken to cost until its answer tells."""
    dollars_a_day: float | None = None
    policy: Policy = POLICY


@dataclass(frozen=True, slots=True)
class Source:
    """A provider, what else it can do, and on which terms."""

    provider: Provider
    terms: Terms = field(default_factory=Terms)
    images: ImageProvider | None = None
    """The same provider, where it finds pictures too."""


class Priced(Protocol):
    """What all answers of providers have."""

    @property
    def cost(self) -> float: ...


A = TypeVar("A", bound=Priced)


class _NotAsked(Exception):
    """Nothing was sent. Says nothing of the server, so its breaker must not hear of it."""


class Lane:
    """The way to one provider, for texts and for pictures alike."""

    def __init__(
        self,
        source: Source,
        spending: Spending | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises ConfigError for a budget that nobody would count."""
        self.name = source.provider.name
        if source.terms.dollars_a_day is not None and spending is None:
            raise ConfigError(f"{self.name} has a budget for a day, but there is no Spending")
        self.source = source
        self._terms = source.terms
        self._spending = spending
        self._clock = clock
        self._bucket = Bucket(source.terms.per_second, source.terms.burst, clock, sleep)
        self._retry = Retry(source.terms.policy, error=SearchError, clock=clock, sleep=sleep)
        self._rest_until = 0.0
        self._rest_why = ""

    def resting(self) -> str | None:
        """Why it is left alone at this moment; None when it is not."""
        left = self._rest_until - self._clock()
        if left <= 0:
            return None
        until = "until MIA is started again" if math.isinf(left) else f"for {_span(left)}"
        return f"left alone {until}: {self._rest_why}"

    async def ask(self, call: Callable[[], Awaitable[A]], patience: float) -> A:
        """What the provider answers to one request, in a few attempts. Waits for `patience` seconds
        at most when it was asked too often. Raises SearchError."""
        resting = self.resting()
        if resting is not None:
            raise SearchError(f"{self.name}: {resting}")
        try:
            # before the deadline of the attempts begins: nobody is slow but we
            await self._turn(patience)
            return await self._retry.call(self.name, self._attempts(call))
        except _NotAsked as reason:
            raise SearchError(f"{self.name}: not asked, since {reason}") from None

    def _attempts(self, call: Callable[[], Awaitable[A]]) -> Callable[[], Awaitable[A]]:
        again = False

        async def attempt() -> A:
            nonlocal again
            if again:
                await self._turn(_PATIENCE)
            again = True
            return await self._once(call)

        return attempt

    async def _turn(self, patience: float) -> None:
        wait = await self._bucket.take(patience)
        if wait is not None:
            limit = f"{self._terms.per_second:g} requests a second"
            raise _NotAsked(f"it may have {limit}, and the next one is free in {wait:.1f} s")

    async def _once(self, call: Callable[[], Awaitable[A]]) -> A:
        reserved = await self._reserve()
        try:
            found = await call()
        except ProviderError as error:
            if error.why in _UNCHARGED:
                await self._settle(reserved, 0.0)
            raise self._judged(error) from None
        await self._settle(reserved, found.cost)
        return found

    def _judged(self, error: ProviderError) -> Exception:
        """Notes how long the provider is to be left alone, and says whether to try again."""
        told = str(error).removeprefix(f"{error.provider}: ")
        if error.why == "key":
            _log.warning("%s is not asked again until MIA is started again: %s", self.name, told)
            self._rest(math.inf, told)
        elif error.why == "quota":
            _log.warning("%s is not asked for an hour: %s", self.name, told)
            self._rest(_QUOTA_REST, told)
        elif error.why == "rate" and error.wait:
            self._rest(min(error.wait, _LONGEST_REST), told)
        if error.why in ("down", "rate"):
            return Transient(told, wait=error.wait, down=error.why == "down")
        return error

    def _rest(self, seconds: float, why: str) -> None:
        self._rest_until = max(self._rest_until, self._clock() + seconds)
        self._rest_why = why

    async def _reserve(self) -> Reserved | None:
        """Puts money by; None where there is nothing to pay."""
        terms, spending = self._terms, self._spending
        if not terms.dollars or spending is None:
            return None
        try:
            return await asyncio.to_thread(
                spending.reserve, self.name, terms.dollars, terms.dollars_a_day
            )
        except (OverBudget, StoreError) as error:
            raise _NotAsked(str(error)) from None

    async def _settle(self, reserved: Reserved | None, dollars: float) -> None:
        """An answer is not lost because it could not be counted: it stays counted as estimated."""
        if reserved is not None and self._spending is not None:
            with suppress(StoreError):
                await asyncio.to_thread(self._spending.settle, reserved, dollars)


class Bucket:
    """Lets so many through in a second, and some more after a pause."""

    def __init__(
        self,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._at = clock()

    async def take(self, patience: float) -> float | None:
        """Waits for a turn; where that takes more than `patience` seconds it returns at once how
        many."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        wait = max(0.0, (1.0 - self._tokens) / self._per_second)
        if wait > patience:
            return wait
        self._tokens -= 1.0
        if wait > 0:
            try:
                await self._sleep(wait)
            except asyncio.CancelledError:
                self._tokens += 1.0  # the turn was not used
                raise
        return None


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
