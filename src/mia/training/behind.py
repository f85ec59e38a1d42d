"""Learning behind a server that answers: what people say goes to memory; questions that can be
judged are tried out; and the policy learns from that, while nobody waits for it.

The server and this loop have one file between them (`inbox.py`). Each turn does one thing and notes
it, so that whoever is killed anywhere goes on to the same: what was said is counted once, each
question is tried out once, and each update comes to one version.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from msgspec.structs import replace

from mia.errors import InputError
from mia.training.buffer import Buffer, Kept, Learned, Outcome
from mia.training.heeding import Heeding
from mia.training.inbox import Asked, Inbox
from mia.training.keeping import Keeper
from mia.training.press import Press, Stand
from mia.training.study import Study
from mia.training.trying import Asking, Trying
from mia.types import Noun, VerdictValue

Phase = Literal[
    "starting", "waiting", "exploring", "updating", "held", "paused", "drained", "spent", "stopped"
]
_POLL = 0.5
"""Seconds between two looks at the inbox when there is nothing to do."""
_HEARTBEAT = 30.0
"""Seconds after which a report is given again that says the same."""
_ALARMS = 5
"""The last alarms that are told."""


class Report(Noun, frozen=True, omit_defaults=False):
    """Where whoever learns behind a server stands."""

    phase: Phase
    learns: str
    """`weights and memory`, or `memory`."""
    version: int = 0
    """The last that was put to use; 0 for what came with MIA."""
    updates: int = 0
    explored: int = 0
    """Questions."""
    taught: int = 0
    """Those of them that an update learned something from."""
    waiting: int = 0
    """Feedback and questions that nobody got to yet."""
    held: str = ""
    """Why the weights are held; empty where they are not."""
    alarms: tuple[str, ...] = ()
    """The last ones."""
    canary: tuple[tuple[int, int], ...] = ()
    """How many canary questions were answered of how many, at the first look and at the last."""
    today: int = 0
    """Questions explored today (UTC)."""
    pid: int = 0
    at: str = ""
    """ISO 8601, UTC."""


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Behind:
    """Whoever learns behind a server."""

    inbox: Inbox
    heeding: Heeding
    trying: Trying
    keeper: Keeper
    buffer: Buffer
    stand: Stand
    study: Study | None
    """None where the weights are not here."""
    press: Press | None
    """None where there is no study."""
    say: Callable[[str], None]
    """Is told each step in one line."""
    a_day: int = 0
    """The most questions to explore on a day (UTC); 0 for no bound."""
    clock: Callable[[], datetime] = _utc
    _open: dict[int, Asked] = field(default_factory=dict[int, Asked])
    """Questions that may be tried out, by place."""
    _seen: int = 0
    """The last place that was looked at."""
    _days: Counter[str] = field(default_factory=Counter[str])
    """Questions explored, by day."""
    _reported: tuple[Report, float] | None = None

    async def work(self, stop: asyncio.Event) -> None:
        """Learns until it is told to stop, which it does after the step at hand. Raises StoreError,
        ModelError, TrainingError, and what a reward of somebody's own raises."""
        await self.begin()
        while not stop.is_set():
            if await self.turn():
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _POLL)
        self._report("stopped")

    async def begin(self) -> None:
        """Goes on from where it was left."""
        self._report("starting")
        if self.study is not None:
            self.study.restore()
            await self.study.begin()
        if self.press is not None:
            await self.press.begin()
        for outcome, keep in self.buffer.unsettled():
            await self._remember(outcome, keep)
        self._days = Counter(one.at[:10] for one in self.buffer.outcomes())
        done, told = self.buffer.places(), self.inbox.told()
        for asked in self.inbox.asked():
            self._seen = asked.place
            if asked.place not in done and (self.trying.always or asked.episode in told):
                self._open[asked.place] = asked

    async def turn(self) -> bool:
        """Does the next thing; whether there was any."""
        if await self._heeded():
            return True
        wish, wishes = self.inbox.wished, self.inbox.wishes
        if wish == "pause":
            return self._rest("paused")
        if self.press is not None:
            if await self.press.held(wish, wishes):
                return self._rest("held")
            version = await self.press.put_to_use()
            if version is not None:
                self.say(f"version {version.number} is in use")
                return self._did("updating")
        if wish == "drain" and self.stand.footing.rested == wishes:
            return self._rest("drained")
        if await self._updated(partial=False):
            return True
        asking = self._next()
        if asking is not None and not self._spent:
            return await self._explored(asking)
        if wish == "drain":
            return await self._drained(wishes)
        return self._rest("waiting" if asking is None else "spent")

    async def _heeded(self) -> bool:
        told = next(iter(self.inbox.waiting()), None)
        if told is None:
            return False
        came_to = await self.heeding.heed(told)
        self.say(f"feedback {told.place}: {came_to}")
        asked = self.inbox.about(told.episode)
        if asked is not None and self.buffer.outcome(asked.place) is None:
            self._open[asked.place] = asked
        return self._did("waiting")

    async def _updated(self, *, partial: bool) -> bool:
        study, since = self.study, self.stand.footing.since
        if study is None or not study.ready(partial=partial, since=since):
            return False
        self._report("updating")
        return await study.update(self._watch, partial=partial, since=since)

    async def _drained(self, wishes: int) -> bool:
        if await self._updated(partial=True):
            return True
        if self.study is not None:
            await self.study.look_again(self._watch, self.stand.footing.since)
            if self.press is not None and await self.press.put_to_use() is not None:
                return self._did("updating")
        self.stand.set(replace(self.stand.footing, rested=wishes))
        return self._rest("drained")

    async def _explored(self, asking: Asking) -> bool:
        self._report("exploring")
        version = self.study.learner.version if self.study is not None else 0
        tried = await self.trying.attempt(asking, version)
        outcome = replace(tried.outcome, at=self.clock().isoformat(timespec="seconds"))
        self.buffer.add(outcome, tried.samples, tried.keep)
        await self._remember(outcome, tried.keep)
        self._open.pop(outcome.place, None)
        self._days[outcome.at[:10]] += 1
        right = sum(reward is not None for reward in outcome.rewards)
        self.say(f"question {outcome.place}: {right} of {len(outcome.rewards)} attempts judged")
        return self._did("exploring")

    async def _remember(self, outcome: Outcome, keep: Kept) -> None:
        if keep.answer is not None:
            right = keep.answer.verdict.value is VerdictValue.CORRECT
            self.inbox.rule(keep.answer.id, right)
        await self.keeper.keep(outcome, keep)

    def _next(self) -> Asking | None:
        """The first question that can be judged and was not tried out."""
        for asked in self.inbox.asked(self._seen):
            self._seen = asked.place
            if self.trying.always:
                self._open[asked.place] = asked
        while self._open:
            asking = self._asking(self._open[min(self._open)])
            if asking is not None:
                return asking
            del self._open[min(self._open)]
        return None

    def _asking(self, asked: Asked) -> Asking | None:
        try:
            episode = self.heeding.episode(asked.episode)
        except InputError:  # somebody removed it from the journal
            return None
        said = self.heeding.said(episode)
        if not self.trying.can(said):
            return None
        withdrawn = self.inbox.ruled(asked.episode) == "withdrawn"
        return Asking(asked, episode, said, withdrawn)

    @property
    def _spent(self) -> bool:
        return bool(self.a_day) and self._days[self.clock().isoformat()[:10]] >= self.a_day

    def _watch(self, noun: Noun) -> None:
        if isinstance(noun, Learned):
            taught = noun.questions - noun.dropped
            told = f"update {noun.update.version}: {taught} of {noun.questions} questions taught"
            if noun.canary:
                told += f"; canary {sum(noun.canary)} of {len(noun.canary)}"
            if noun.alarm is not None:
                told += f"; {noun.alarm.guard}: {noun.alarm.told} ({noun.alarm.action})"
            self.say(told)

    def _rest(self, phase: Phase) -> bool:
        """Nothing is to be done."""
        self._report(phase)
        return False

    def _did(self, phase: Phase) -> bool:
        self._report(phase)
        return True

    def _report(self, phase: Phase) -> None:
        """Tells the server where it stands, where that is news."""
        learned, footing = self.buffer.learned(), self.stand.footing
        updates = [each for each in learned if each.update.version]
        looks = [(sum(each.canary), len(each.canary)) for each in learned if each.canary]
        alarms = [each.alarm for each in learned if each.alarm is not None]
        report = Report(
            phase=phase,
            learns="memory" if self.study is None else "weights and memory",
            version=footing.version, updates=len(updates), explored=self._days.total(),
            taught=sum(each.questions - each.dropped for each in updates),
            waiting=len(self.inbox.waiting()) + len(self._open), held=footing.held,
            alarms=tuple(f"{each.guard}: {each.told}" for each in alarms[-_ALARMS:]),
            canary=(looks[0], looks[-1]) if looks else (),
            today=self._days[self.clock().isoformat()[:10]], pid=os.getpid(),
        )  # fmt: skip
        last, now = self._reported, time.monotonic()
        if last is None or last[0] != report or now - last[1] >= _HEARTBEAT:
            self._reported = report, now
            self.inbox.report(replace(report, at=self.clock().isoformat(timespec="seconds")))
