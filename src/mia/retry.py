"""The one retry layer: everything that asks a server again does it here.

A call has one deadline over all its attempts, its pauses and its wait for a free slot. Only what
the caller marks as `Transient` is tried again; every other error flies at once. A server that
failed several times in a row is left alone for a while, by all calls that share this `Retry`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NoReturn, TypeVar

from mia.errors import MIAError, ModelError
from mia.types import Noun

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Policy(Noun, frozen=True):
    """How patient a caller is with one server. Times are in seconds."""

    deadline: float = 120.0
    """For one call, everything included."""
    attempts: int = 4
    first_pause: float = 0.5
    """Upper end of the first random pause; it doubles with every attempt."""
    longest_pause: float = 8.0
    longest_asked: float = 60.0
    """A Retry-After beyond this is not believed: the server is asked again this soon."""
    failures: int = 5
    """So many failures in a row, and the server counts as down."""
    rest: float = 30.0
    """How long a server that is down is left alone."""
    concurrency: int = 4
    """Calls at the same time; a server with fewer slots would queue them and eat the deadline."""


class Transient(Exception):
    """An attempt that failed, though the next one may not."""

    def __init__(
        self, reason: str, *, advice: str = "", wait: float | None = None, down: bool = True
    ) -> None:
        super().__init__(reason)
        self.advice = advice
        """What a person can do if it stays like this."""
        self.wait = wait
        """Seconds the server asked to be left alone for."""
        self.down = down
        """Whether this speaks for a server that is down; one that answers 429 is up."""


def transient_status(status: int) -> bool:
    """Whether an HTTP status may be another one next time. 501 says that it never will be."""
    return status in {408, 409, 425, 429} or (500 <= status <= 599 and status != 501)


def asked_wait(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for, given the Unix time; None where it is absent or
    unreadable."""
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:  # a header that is neither is no reason to give up: own pauses apply
        return None
    # A date without an offset is GMT, as HTTP dates are.
    stamp = date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    return max(0.0, stamp - now)


class _Breaker:
    """Closed while a server answers, open while it rests, half-open for one probe after that."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._failures = 0
        self._opened = 0.0
        self._probing = False

    @property
    def _down(self) -> bool:
        return self._failures >= self._policy.failures

    def refusal(self) -> str | None:
        """Why nothing may be sent at this moment; None where something may."""
        if not self._down:
            return None
        failed = f"it failed {self._failures} times in a row"
        left = self._opened + self._policy.rest - self._clock()
        if left > 0:
            return f"not asked, since {failed}; it will be tried again in {left:.0f} s"
        return f"not asked, since {failed} and is just being tried again" if self._probing else None

    def enter(self) -> bool:
        """Notes that an attempt begins; True if it is the probe of a server that was down."""
        self._probing = self._down
        return self._probing

    def leave(self, *, probe: bool, down: bool | None) -> None:
        """Notes how an attempt ended; None where it says nothing of the server."""
        if probe:
            self._probing = False
        if down:
            self._failures += 1
            self._opened = self._clock()
        elif down is False:
            self._failures = 0


class Retry:
    """Carries out calls to one server. Calls that share it share its slots and its breaker."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        error: type[MIAError] = ModelError,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`error` is what a call that stays without success raises; `chance` is uniform in [0, 1)
        and spreads the pauses of callers that failed at the same moment."""
        self.policy = policy or Policy()
        self._error = error
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._breaker = _Breaker(self.policy, clock)
        self._slots = asyncio.Semaphore(self.policy.concurrency)

    async def call(self, where: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, in as many attempts as the policy has. `where` names the server
        in messages, so it carries no credentials."""
        ends = self._clock() + self.policy.deadline
        try:
            async with asyncio.timeout(self.policy.deadline):
                await self._slots.acquire()
        except TimeoutError:
            raise self._error(
                f"{where}: no free slot of {self.policy.concurrency} for "
                f"{self.policy.deadline:g} s; allow more concurrency, or run fewer workers"
            ) from None
        try:
            return await self._attempts(where, attempt, ends)
        finally:
            self._slots.release()

    async def _attempts(self, where: str, attempt: Callable[[], Awaitable[T]], ends: float) -> T:
        for count in itertools.count(1):
            refusal = self._breaker.refusal()
            if refusal is not None:
                raise self._error(f"{where}: {refusal}")
            try:
                return await self._once(attempt, ends - self._clock())
            except Transient as fault:
                pause = self._pause(where, fault, count, ends - self._clock())
                _log.info("%s: %s; trying again in %.1f s", where, fault, pause)
            await self._sleep(pause)
        raise AssertionError("unreachable: count has no end")

    async def _once(self, attempt: Callable[[], Awaitable[T]], left: float) -> T:
        """One attempt within the time left, and what it tells the breaker."""
        probe, down = self._breaker.enter(), None
        limit = asyncio.timeout(left)
        try:
            async with limit:
                value = await attempt()
            down = False
            return value
        except Transient as fault:
            down = fault.down
            raise
        except MIAError:  # it answered, though not what we hoped for
            down = False
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            down = True
            raise Transient(
                "no complete reply", advice="is the server overloaded? a longer deadline may help"
            ) from None
        finally:
            self._breaker.leave(probe=probe, down=down)

    def _pause(self, where: str, fault: Transient, count: int, left: float) -> float:
        """Seconds until the next attempt. Raises when there is none."""
        policy = self.policy
        if left <= 0:
            self._give_up(where, fault, f"within {policy.deadline:g} s")
        if count >= policy.attempts:
            self._give_up(where, fault, f"in {count} attempts")
        pause = self._chance() * min(policy.longest_pause, policy.first_pause * 2 ** (count - 1))
        if fault.wait is not None:
            asked = min(fault.wait, policy.longest_asked)
            pause = max(asked, pause)
            if asked >= left:
                waiting = f"it asks to wait {asked:.0f} s, but only {left:.0f} s"
                self._give_up(where, fault, f"{waiting} of {policy.deadline:g} s are left")
        if pause >= left:
            self._give_up(where, fault, f"{left:.1f} s are too short for another attempt")
        return pause

    def _give_up(self, where: str, fault: Transient, why: str) -> NoReturn:
        advice = f"; {fault.advice}" if fault.advice else ""
        raise self._error(f"{where}: {fault} ({why}){advice}") from fault
