"""One question at test time: several plans of the policy in training, of which a router picks one
before any is carried out. That one answers; the others are carried out afterwards, to learn from
(the paper's Alg. 3).

A plan waits where the others wait, inside its own episode: the episodes are those of training, run
by the same `solve`, and what the policy goes on to say is of the same conversation.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from mia.errors import MIAError, ModelError
from mia.model import Model
from mia.planner import Planner
from mia.router import Choice, PlanMemory, Router
from mia.solve import Team
from mia.training.exercises import Exercise
from mia.training.rollouts import Actor, Attempt, UnderWay, attempt, seed_of
from mia.types import (
    Noun,
    Plan,
    Question,
    Recollection,
    Reflection,
    Trajectory,
    VerdictValue,
)

PAIRS = 2
"""How many pairs a router is shown, as in the published system."""
Answered = Callable[[Attempt], Awaitable[None]]


class Explored(NamedTuple):
    """What came of one question."""

    attempts: tuple[Attempt, ...]
    """In the order in which their plans were drawn."""
    picked: int
    """The one that answered."""
    choice: Choice

    @property
    def answer(self) -> Attempt:
        """The attempt that counts."""
        return self.attempts[self.picked]


class Selections(Noun, frozen=True, omit_defaults=False):
    """Whether the question would have been answered rightly, had another rule picked the plan; None
    where the judge could not tell."""

    router: bool | None
    first: bool | None
    random: bool | None
    shortest: bool | None
    longest: bool | None
    oracle: bool | None
    """Whether any of them was right."""


async def explore(
    actor: Actor,
    exercise: Exercise,
    *,
    attempts: int,
    seed: str,
    temperature: float,
    router: Router,
    plan_memory: PlanMemory,
    answered: Answered,
) -> Explored:
    """Draws so many plans, lets the router pick one, carries it out, and then the others.
    `answered` is told of the attempt that counts as soon as it is there. What chance decides
    depends on `seed` and the attempt's place only. Raises what an attempt or `answered` raises."""
    crossing = _Crossing(attempts, actor.under_way)

    async def one(place: int) -> Attempt:
        def team(model: Model, taken: Exercise) -> Team:
            made = actor.cast(model, taken)
            return dataclasses.replace(made, planner=_Waiting(made.planner, crossing, place))

        try:
            return await attempt(
                actor._replace(cast=team),
                exercise,
                group=f"{seed} {exercise.question.id}",
                seed=seed_of(seed, place, exercise.question.id),
                temperature=temperature,
            )
        finally:  # whoever has no plan must not be waited for, nor whoever is done
            crossing.arrive(place, None)
            crossing.leave(place)

    async def all_of_them() -> Explored:
        async with asyncio.TaskGroup() as tasks:
            under_way = [tasks.create_task(one(place)) for place in range(attempts)]
            await crossing.all_there.wait()
            picked, choice = await _pick(router, plan_memory, exercise.question, crossing.plans)
            crossing.open(picked)
            await answered(await under_way[picked])
            crossing.open(*(place for place in range(attempts) if place != picked))
        return Explored(tuple(task.result() for task in under_way), picked, choice)

    try:
        return await all_of_them()
    except* MIAError as errors:
        raise errors.exceptions[0] from None


async def _pick(
    router: Router, memory: PlanMemory, question: Question, plans: Sequence[Plan | None]
) -> tuple[int, Choice]:
    """Which attempt answers: the first with the plan that is picked among those that differ. A
    router that has no choice is not asked, and one that cannot tell leaves the first."""
    places: dict[str, int] = {}
    for place, plan in enumerate(plans):
        if plan is not None:
            places.setdefault(" ".join(plan.text.split()), place)
    different = list(places.values())
    if len(different) < 2:
        return (different or [0])[0], Choice(index=0, reason="there is no other plan")
    candidates = [plan for place in different if (plan := plans[place]) is not None]
    try:
        choice = await router.pick(question, candidates, await memory.pairs(question, PAIRS))
    except ModelError as error:
        return different[0], Choice(index=0, reason=f"the first plan: {error}")
    return different[choice.index], choice


def selections(explored: Explored, seed: str, right: Sequence[bool | None]) -> Selections:
    """What each rule would have come to, `right` being whether each attempt was."""
    attempts = explored.attempts
    planned = [place for place, one in enumerate(attempts) if one.rollout.episode.plan is not None]
    by_length = sorted(planned, key=lambda place: _length(attempts[place])) or [0]
    lot = random.Random(f"{seed} {attempts[0].rollout.episode.question.id}")
    return Selections(
        router=right[explored.picked],
        first=right[0],
        random=right[lot.randrange(len(attempts))],
        shortest=right[by_length[0]],
        longest=right[by_length[-1]],
        oracle=True if True in right else None if None in right else False,
    )


def judged_right(one: Attempt) -> bool | None:
    """By its verdict; without a plan or an answer it was not."""
    episode = one.rollout.episode
    if episode.plan is None or episode.answer is None:
        return False
    value = episode.verdict.value
    return None if value is VerdictValue.UNKNOWN else value is VerdictValue.CORRECT


def _length(one: Attempt) -> tuple[int, int]:
    """Of a plan: its steps, then its words."""
    plan = one.rollout.episode.plan or Plan(text="")
    return len(plan.steps) or len(plan.text.splitlines()), len(plan.text.split())


class _Crossing:
    """Where plans wait until one of them may go on, and then the others. Whoever waits here is not
    under way, so that nobody waits for it; whoever begins or goes on together is at once."""

    def __init__(self, count: int, under_way: UnderWay) -> None:
        self.plans: list[Plan | None] = [None] * count
        self.all_there = asyncio.Event()
        self._under_way = under_way
        self._missing = set(range(count))
        self._ways = [asyncio.Event() for _ in range(count)]
        self._walks = [ExitStack() for _ in range(count)]
        for walk in self._walks:
            walk.enter_context(under_way())

    def arrive(self, place: int, plan: Plan | None) -> None:
        """Comes once; None without a plan."""
        if place in self._missing:
            self.plans[place] = plan
            self._missing.discard(place)
            self.leave(place)
            if not self._missing:
                self.all_there.set()

    async def may_go_on(self, place: int) -> None:
        """Returns when it may."""
        await self._ways[place].wait()

    def open(self, *places: int) -> None:
        """Lets these go on."""
        for place in places:
            if self.plans[place] is not None:
                self._walks[place].enter_context(self._under_way())
        for place in places:
            self._ways[place].set()

    def leave(self, place: int) -> None:
        """Is no longer under way."""
        self._walks[place].close()


class _Waiting(Planner):
    """A planner whose plan waits at the crossing."""

    def __init__(self, planner: Planner, crossing: _Crossing, place: int) -> None:
        self._planner = planner
        self._crossing = crossing
        self._place = place

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """Raises ModelError when there is none."""
        plan = await self._planner.plan(question, recollection)
        self._crossing.arrive(self._place, plan)
        await self._crossing.may_go_on(self._place)
        return plan

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """As the planner does."""
        return await self._planner.reflect(question, plan, trajectory)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """As the planner does."""
        return await self._planner.replan(question, recollection, plan, trajectory, reflection)
