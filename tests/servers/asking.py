"""A server of answers for tests: a planner that says of which version it is, and what it works
with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from tests.servers.serving import Serving

from mia.captioners.none import Blind
from mia.errors import ModelError
from mia.executor import Watch, unwatched
from mia.journal import Journal
from mia.judges.exact_match import ExactMatch
from mia.model import Message, Model, Reply
from mia.servers.answering import Parts
from mia.servers.api import Served, app
from mia.servers.in_use import InUse
from mia.servers.learning import Learning
from mia.solve import Team
from mia.testing import MemoryRecord, ToyMemory
from mia.training.hosts.host import Leases
from mia.training.hosts.host import Serving as Leased
from mia.training.inbox import Inbox
from mia.training.versions import Draft, Shelf, Version
from mia.types import (
    Observation,
    Plan,
    Question,
    Recollection,
    Reflection,
    ToolCall,
    Trajectory,
    Turn,
)

BASE = "0" * 64
RUN = "serve test"
TWICE = "Which town, at second sight?"
"""A question whose goal is met by a second plan."""
DOWN = "Is anybody there?"
"""A question for which no model is there."""


class Says:
    """A Model that says of which version it is."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def reply(self, messages: Sequence[Message], **_: Any) -> Reply:
        """One reply."""
        await asyncio.sleep(0)
        return Reply(text=f"version {self._number}")


class Plans:
    """A Planner that says what its model does."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """Raises ModelError for a question for which nobody is there."""
        if question.text == DOWN:
            raise ModelError("nobody is there")
        return Plan(text=await self._said())

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """Met, but for one question."""
        again = question.text == TWICE and "again" not in plan.text
        return Reflection(goal_met=not again, reason=await self._said())

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """The plan, again."""
        return Plan(text=f"{await self._said()} again")

    async def _said(self) -> str:
        return (await self._model.reply([])).text


class Looks:
    """An Executor that looks once, and answers when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        """Whether runs may come to their answers."""
        self.may.set()
        self.begun: list[str] = []
        """The questions of all runs."""
        self.given_up: list[str] = []

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """Answers Rovigo."""
        self.begun.append(question.text)
        call = ToolCall(name="search", arguments={"query": question.text})
        looked = Turn(thought="I look.", call=call, observation=Observation(text="A town: Rovigo."))
        watch(looked)
        try:
            while not self.may.is_set():  # noqa: ASYNC110  # it is set in another thread
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.given_up.append(question.text)
            raise
        answer = Turn(answer="Rovigo")
        watch(answer)
        return Trajectory(turns=(*so_far, looked, answer), outcome="answered")


class ToyHost:
    """A Host of models that say of which version they are."""

    def __init__(self) -> None:
        self._leases = Leases()
        self.refuses: set[int] = set()
        """Versions that it cannot serve."""
        self.closed = False

    @property
    def version(self) -> int:
        """Of new leases."""
        return self._leases.number

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """For an episode."""
        return self._leases.lease()

    async def activate(self, version: Version | None, folder: Path | None) -> None:
        """Raises ModelError for what it refuses."""
        number = 0 if version is None else version.number
        if number in self.refuses:
            raise ModelError(f"version {number} is refused")
        await self._leases.switch(number, partial(_serving, number))

    async def aclose(self) -> None:
        """Ends all."""
        self.closed = True
        await self._leases.aclose()


async def _serving(number: int) -> Leased:
    return Leased(number, Says(number), partial(asyncio.sleep, 0))


class Desk:
    """What lies on the disk of a server, and the server over it."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf(folder / "policies", "planner")
        self.journal = Journal(folder / "journal.db")
        self.inbox = Inbox(folder / "inbox.db")
        self.memory = ToyMemory()
        self.executor = Looks()
        self.host = ToyHost()

    def promoted(self, base: str = BASE) -> int:
        """The number of a new version, which is in use."""

        def fill(folder: Path) -> None:
            (folder / "adapter_config.json").write_text("{}")

        made = self.shelf.publish(Draft(base="base", base_sha256=base, made_by="online"), fill)
        self.shelf.promote(made.number)
        return made.number

    @property
    def team(self) -> Team:
        """Whoever solves."""
        return Team(
            captioner=Blind(),
            memory=self.memory,
            planner=Plans(Says(-1)),
            executor=self.executor,
            judge=ExactMatch(),
            record=MemoryRecord(),
        )

    def served(
        self,
        learning: Learning | None = None,
        *,
        learns: bool = False,
        in_use: bool = True,
        keep_alive: float = 10.0,
    ) -> Served:
        """What a server works with."""
        self.journal.open_run(RUN, "")
        parts = Parts(
            team=self.team,
            planners=Plans,
            in_use=InUse(self.host, self.shelf, BASE, every=0.01) if in_use else None,
            journal=self.journal,
            run=RUN,
            inbox=self.inbox if learns or learning else None,
        )
        return Served(name="test", parts=parts, learning=learning, keep_alive=keep_alive)

    @contextmanager
    def __call__(
        self, served: Served | None = None, token: str | None = None
    ) -> Generator[httpx2.Client]:
        """A client of the server."""
        with Serving(app(served or self.served(), token)) as server:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            with httpx2.Client(
                base_url=server.url, headers=headers, trust_env=False, timeout=20
            ) as client:
                yield client

    def close(self) -> None:
        """Closes the files."""
        self.journal.close()
        self.inbox.close()
