"""Several plans for one question: one is picked before any is carried out, and answers first."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mia.errors import ConfigError, ModelError
from mia.executor import Executor, Watch, unwatched
from mia.memories.none import NoPlanMemory
from mia.model import GREEDY, Message, Model, Reply, Sampling
from mia.router import Choice, PlanPair, Router
from mia.solve import Team
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.exploring import Explored, Selections, explore, judged_right, selections
from mia.training.policy_model import Transcript
from mia.training.rewards import Reward, planner_reward
from mia.training.rollouts import Actor, Attempt
from mia.types import Plan, Question, Trajectory, Turn

FIND_A = tiny.exercises(1)[0]


class Plans(Model):
    """Plans for what its attempt is told to, and does the rest right."""

    def __init__(self, plan: str, events: list[str]) -> None:
        self._plan = plan
        self._events = events

    async def reply(
        self, messages: Sequence[Message], *, sampling: Sampling = GREEDY, **_: object
    ) -> Reply:
        if len(messages) == 1:
            self._events.append(f"plan {self._plan}")
            return Reply(text=self._plan)
        return await tiny.ByRule().reply(messages)


class Logs(Executor):
    """The tiny world's, which says when it begins and takes a while."""

    def __init__(self, executor: Executor, events: list[str]) -> None:
        self._executor = executor
        self._events = events

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        self._events.append(f"run {plan.text}")
        await asyncio.sleep(0.01)
        return await self._executor.run(question, plan, so_far, watch)


class Picks(Router):
    """Picks a place among the plans it is shown."""

    def __init__(self, place: int | ModelError) -> None:
        self.shown: list[tuple[str, ...]] = []
        self._place = place

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        self.shown.append(tuple(plan.text for plan in candidates))
        if isinstance(self._place, ModelError):
            raise self._place
        return Choice(index=self._place, reason="because")


def actor_of(plans: Sequence[str], events: list[str], reward: Reward = planner_reward) -> Actor:
    """Attempts that plan for these, in their order."""
    waiting = list(plans)
    world = tiny.cast("planner", tiny.ByRule)

    def cast(model: Model, exercise: Exercise) -> Team:
        team = world(model, exercise)
        return dataclasses.replace(team, executor=Logs(team.executor, events))

    def voice(transcript: Transcript, temperature: float, seed: int) -> Model:
        return Plans(waiting.pop(0), events)

    return Actor("planner", cast, voice, reward)


async def tried(
    plans: Sequence[str], router: Router, events: list[str] | None = None, **more: Any
) -> tuple[Explored, list[Attempt]]:
    told: list[Attempt] = []
    log: list[str] = [] if events is None else events

    async def answered(one: Attempt) -> None:
        log.append("answered")
        told.append(one)

    explored = await explore(
        actor_of(plans, log, **more), FIND_A, attempts=len(plans), seed="s", temperature=1.0,
        router=router, plan_memory=NoPlanMemory(), answered=answered,
    )  # fmt: skip
    return explored, told


def plan_of(one: Attempt) -> str | None:
    plan = one.rollout.episode.plan
    return None if plan is None else plan.text


async def test_the_plan_that_is_picked_is_carried_out_first_and_alone() -> None:
    events: list[str] = []
    explored, told = await tried(["a", "b", "c"], Picks(1), events)
    at = events.index("answered")
    assert sorted(events[:3]) == ["plan a", "plan b", "plan c"] and events[3] == "run b"
    # b leads nowhere: its reflection asks for another plan, and that is carried out too
    assert events[3:at] == ["run b", "run a"] and sorted(events[at + 1 : at + 3]) == [
        "run a", "run c"
    ]  # fmt: skip
    assert explored.picked == 1 and explored.choice.reason == "because"
    assert told == [explored.answer] and [plan_of(one) for one in explored.attempts] == [
        "a", "b", "c"
    ]  # fmt: skip


async def test_a_router_is_shown_each_plan_once_and_the_first_to_have_it_answers() -> None:
    router = Picks(1)
    explored, _ = await tried(["a", "a", "b", "b"], router)
    assert router.shown == [("a", "b")] and explored.picked == 2


async def test_a_router_without_a_choice_is_not_asked() -> None:
    router = Picks(0)
    explored, _ = await tried(["c", "c"], router)
    assert router.shown == [] and explored.picked == 0
    explored, _ = await tried(["no plan", "d"], router)
    assert router.shown == [] and explored.picked == 1, "what is no plan does not answer"


async def test_where_there_is_no_plan_at_all_the_first_attempt_answers() -> None:
    explored, told = await tried(["no plan", "none"], Picks(0))
    assert explored.picked == 0 and told[0].rollout.episode.answer is None
    assert all(one.rollout.episode.plan is None for one in explored.attempts)


async def test_a_router_that_cannot_tell_leaves_the_first() -> None:
    explored, _ = await tried(["d", "a"], Picks(ModelError("it cannot tell")))
    assert explored.picked == 0 and "it cannot tell" in explored.choice.reason


@pytest.mark.parametrize(
    ("plans", "picked", "expected"),
    [
        (["a", "b"], 0, Selections(True, True, True, True, True, True)),
        (["no plan", "none"], 0, Selections(*[False] * 6)),
    ],
)
async def test_what_each_rule_would_have_come_to_is_told(
    plans: list[str], picked: int, expected: Selections
) -> None:
    explored, _ = await tried(plans, Picks(picked))
    told = selections(explored, "s", [judged_right(one) for one in explored.attempts])
    assert told.router is expected.router and told.oracle is expected.oracle
    assert (told.first, told.shortest, told.longest) == (
        expected.first, expected.shortest, expected.longest
    )  # fmt: skip


async def test_plans_are_drawn_together_and_so_is_what_comes_after() -> None:
    under_way, seen = 0, list[str]()

    @contextmanager
    def counted() -> Generator[None]:
        nonlocal under_way
        under_way += 1
        try:
            yield
        finally:
            under_way -= 1

    class Counts(list[str]):
        def append(self, event: str) -> None:
            seen.append(f"{event} {under_way}")

    actor = actor_of(["c", "b", "none", "d"], Counts())._replace(under_way=counted)
    told: list[Attempt] = []

    async def answered(one: Attempt) -> None:
        told.append(one)
        seen.append(f"answered {under_way}")

    await explore(
        actor, FIND_A, attempts=4, seed="s", temperature=1.0, router=Picks(1),
        plan_memory=NoPlanMemory(), answered=answered,
    )  # fmt: skip
    said = seen.index("answered 0")
    assert seen[0] == "plan c 4" and "run b 1" in seen[:said]
    assert not any(event.startswith(("run c", "run d")) for event in seen[:said])
    assert seen[said + 1 : said + 3] == ["run c 2", "run d 2"] and under_way == 0


async def test_an_error_of_ones_own_reward_flies_and_leaves_nothing_behind() -> None:
    def broken(_: object) -> None:
        raise ConfigError("this reward is broken")

    before = len(asyncio.all_tasks())
    with pytest.raises(ConfigError, match="this reward is broken"):
        await tried(["a", "b", "c"], Picks(0), reward=broken)
    assert len(asyncio.all_tasks()) == before
