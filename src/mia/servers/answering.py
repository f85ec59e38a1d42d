"""Answers questions for a server: each episode by one version of the Planner from its beginning to
its end, once for each question's id, and on the disk before its answer goes out.

Where somebody learns behind the server, an episode is neither judged nor remembered here, but noted
in the inbox of whoever does that.

Not covered: where nobody learns behind, memory does not catch up with an episode whose server was
killed between its answer and remembering it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace

from mia.errors import InputError, MIAError
from mia.journal import Journal
from mia.judge import unknown
from mia.memory import Memory
from mia.model import Model
from mia.planner import Planner
from mia.servers.in_use import InUse
from mia.solve import Team, solve
from mia.training.inbox import Inbox
from mia.types import Episode, Noun, Plan, Question, Recollection, Remembered, Trajectory, Verdict

_log = logging.getLogger(__name__)

_LAST_MEMORIES = 10.0
"""Seconds that answered episodes get to be remembered in when the server stops."""


class Conflict(InputError):
    """An id that came with something else before."""


class Ended(MIAError):
    """The server stops."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What questions are answered with."""

    team: Team
    """Its planner plays where there is no `in_use`; its record is not written to."""
    planners: Callable[[Model], Planner]
    in_use: InUse | None
    """None where the Planner's weights are not ours."""
    journal: Journal
    run: str
    """Of the journal, which knows it."""
    inbox: Inbox | None = None
    """Of whoever learns behind; None for nobody."""


class Running:
    """One episode, for all who asked for it."""

    def __init__(self, question: Question, answer: Episode | None = None) -> None:
        self.question = question
        self.answer = answer
        """There when the episode is on the disk."""
        self.seen: list[Noun] = []
        """What came into being before the answer."""
        self.followers = 0
        self.kept = False
        """Whether it has come so far that it is written down, whoever waits for it."""
        self.task: asyncio.Task[None] | None = None
        """Ends when the episode is remembered."""
        self._news = asyncio.Event()

    def watch(self, noun: Noun) -> None:
        """Takes what comes into being."""
        if self.answer is None:
            self.seen.append(noun)
            self.tell()

    def tell(self) -> None:
        """Lets all know that there is something new."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seen: int) -> Episode | None:
        """Waits for more than so many nouns; the answer when there are no more. Raises what keeps
        the episode from an answer."""
        while len(self.seen) <= seen:
            if self.answer is not None:
                return self.answer
            if self.task is not None and self.task.done():
                if self.task.cancelled():
                    raise Ended("the server stops")
                self.task.result()
            await self._news.wait()
        return None

    async def answered(self) -> Episode:
        """Raises what keeps the episode from an answer."""
        while (answer := await self.news(len(self.seen))) is None:
            pass
        return answer


def _nobody_minds(busy: bool) -> None:
    """For servers behind which nobody learns."""


class Answering:
    """Whom a server asks. Only while it is open."""

    def __init__(self, parts: Parts, busy: Callable[[bool], None] = _nobody_minds) -> None:
        """`busy` is told when a first episode is under way, and when none is any more."""
        self._parts, self._busy = parts, busy
        self._team = parts.team if parts.inbox is None else _only_answers(parts.team)
        self._running: dict[str, Running] = {}
        """By the id of the question, until the journal has the episode."""
        self._all: set[Running] = set()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """At the end of the block, episodes without an answer are given up, and those that have one
        are remembered first."""
        in_use = self._parts.in_use
        async with nullcontext() if in_use is None else in_use.following():
            try:
                yield
            finally:
                await self._end()

    @asynccontextmanager
    async def episode(
        self, question: Question, user: str, *, again: bool
    ) -> AsyncGenerator[Running]:
        """The episode of a question: the one that its id had before, where it had one; `again` says
        whether it may have. It is given up when nobody follows it any more and there is no answer
        yet. Raises Conflict where another question had the id, and StoreError."""
        running = await self._known(question, user) if again else None
        running = running or self._begun(question, user)
        if running.question.text != question.text:
            raise Conflict(f"the id {question.id!r} came with another question before")
        running.followers += 1
        try:
            yield running
        finally:
            running.followers -= 1
            if not running.followers:
                self._give_up(running)

    async def _known(self, question: Question, user: str) -> Running | None:
        parts = self._parts
        if question.id in self._running:  # it may be over before the journal has been looked at
            return self._running[question.id]
        before = await asyncio.to_thread(parts.journal.answered, parts.run, question.id)
        if before is None:
            return self._running.get(question.id)  # begun meanwhile
        if parts.inbox is not None:  # the server may have been killed before it noted this
            await asyncio.to_thread(parts.inbox.ask, before.id, user)
        return Running(before.question, before)

    def _begun(self, question: Question, user: str) -> Running:
        running = self._running[question.id] = Running(question)
        running.task = asyncio.create_task(self._solve(running, user))
        self._all.add(running)
        if len(self._all) == 1:
            self._busy(True)
        running.task.add_done_callback(lambda task: self._over(running, task))
        return running

    async def _solve(self, running: Running, user: str) -> None:
        async with self._planner() as (planner, version):
            record = _Record(self._parts, running, user, self._written)
            team = replace(self._team, planner=planner, version=version, record=record)
            await solve(running.question, team, running.watch)

    @asynccontextmanager
    async def _planner(self) -> AsyncGenerator[tuple[Planner, int | None]]:
        """Who plans an episode, and of which version it is."""
        in_use = self._parts.in_use
        if in_use is None:
            yield self._team.planner, None
            return
        async with in_use.lease() as (model, number):
            yield self._parts.planners(model), number

    def _give_up(self, running: Running) -> None:
        """Unless it is there. Who asks again from here on gets an episode of their own."""
        if running.task is not None and not running.kept:
            self._running.pop(running.question.id, None)
            running.task.cancel()

    def _written(self, running: Running, episode: Episode) -> None:
        """There is an answer, and the journal has it."""
        running.answer = episode
        running.tell()
        self._running.pop(running.question.id, None)

    def _over(self, running: Running, task: asyncio.Task[None]) -> None:
        self._all.discard(running)
        if not self._all:
            self._busy(False)
        if running.answer is None:
            if self._running.get(running.question.id) is running:
                del self._running[running.question.id]
        elif not task.cancelled() and task.exception() is not None:
            _log.warning("episode %s is not remembered: %s", running.answer.id, task.exception())
        running.tell()

    async def _end(self) -> None:
        for running in tuple(self._all):
            self._give_up(running)
        tasks = [running.task for running in self._all if running.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_MEMORIES)
            for task in late:
                task.cancel()


class _Record:
    """Writes one episode down before its answer is there."""

    def __init__(
        self,
        parts: Parts,
        running: Running,
        user: str,
        written: Callable[[Running, Episode], None],
    ) -> None:
        self._parts, self._running = parts, running
        self._user, self._written = user, written

    async def append(self, episode: Episode) -> None:
        """On the disk when it returns, and noted for whoever learns from it."""
        self._running.kept = True
        await asyncio.to_thread(self._note, episode)
        self._written(self._running, episode)

    def _note(self, episode: Episode) -> None:
        parts = self._parts
        parts.journal.write(parts.run, episode)
        if parts.inbox is not None:
            parts.inbox.ask(episode.id, self._user)

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        """What memory did with it, where it did anything."""
        if self._parts.inbox is None:
            await asyncio.to_thread(self._parts.journal.settle, episode_id, remembered)


def _only_answers(team: Team) -> Team:
    """A team that leaves judging and remembering to whoever learns behind it."""
    return replace(team, memory=_Recalls(team.memory), judge=_Open())


class _Recalls:
    """A Memory that keeps nothing by itself: an episode is remembered once, with its verdict."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, question: Question) -> Recollection:
        return await self._memory.recall(question)

    async def remember(self, episode: Episode) -> Remembered:
        return Remembered(decision="ignored", reason="kept by whoever learns")


class _Open:
    """A Judge that leaves it open."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        return unknown("none", "judged later")
