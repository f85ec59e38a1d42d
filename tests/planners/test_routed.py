"""Laws of the planner that lets a router pick."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mia.errors import ModelError
from mia.model import Sampling
from mia.planners.conversational import Conversational
from mia.planners.routed import PAIRS, Routed
from mia.planners.stepwise import StepwisePlanner
from mia.router import Choice, PlanPair
from mia.routers.by_model import ByModel
from mia.testing import ScriptedModel, ToyPlanMemory
from mia.types import (
    Plan,
    Question,
    Recollection,
    Reflection,
    Trajectory,
    Turn,
    Usage,
)

QUESTION = Question(id="q", text="When did the director of Jaws die?")
NOTHING = Recollection()
PAIR = PlanPair(
    id="p", namespace="n", question="Q", question_template="Q", right="a", wrong="b",
    right_episode="r", wrong_episode="w", created="2026-01-01",
)  # fmt: skip


class Last:
    """A router that takes the last, and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[list[str], list[str]]] = []

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        self.shown.append(([plan.text for plan in candidates], [pair.id for pair in pairs]))
        return Choice(index=len(candidates) - 1, reason="the last", usage=Usage(calls=10))


def routed(
    model: ScriptedModel, router: Last, memory: ToyPlanMemory, candidates: int = 3
) -> Routed:
    warm = Conversational(model, Sampling(temperature=1.0))
    return Routed(Conversational(model), warm, router, memory, candidates)


async def test_the_picked_plan_is_followed_and_says_why() -> None:
    router, memory = Last(), ToyPlanMemory([PAIR] * (PAIRS + 1))
    model = ScriptedModel(["a", "b", "c"])
    plan = await routed(model, router, memory).plan(QUESTION, NOTHING)
    assert (plan.text, plan.chosen) == ("c", "the last")
    assert router.shown == [(["a", "b", "c"], ["p"] * PAIRS)]
    assert memory.questions == [QUESTION]


async def test_a_plan_costs_all_candidates_and_the_choice() -> None:
    model = ScriptedModel(["a", "a", "", "b"])  # an empty plan is asked for again
    plan = await routed(model, Last(), ToyPlanMemory()).plan(QUESTION, NOTHING)
    assert plan.usage.calls == 3 + 1 + 10


async def test_all_candidates_but_one_are_drawn_at_a_temperature() -> None:
    model = ScriptedModel(["a", "b", "c"])
    await routed(model, Last(), ToyPlanMemory()).plan(QUESTION, NOTHING)
    assert [call.sampling.temperature for call in model.calls] == [0.0, 1.0, 1.0]


async def test_a_planner_for_small_models_takes_a_temperature_too() -> None:
    model = ScriptedModel(["#1 Who directed [Jaws]?\nanswer #1"])
    await StepwisePlanner(model, Sampling(temperature=0.7)).plan(QUESTION, NOTHING)
    assert model.calls[0].sampling.temperature == 0.7


async def test_a_router_without_a_choice_is_not_asked() -> None:
    router, memory = Last(), ToyPlanMemory()
    plan = await routed(ScriptedModel(["a", "a", "a"]), router, memory).plan(QUESTION, NOTHING)
    assert (plan.text, plan.chosen, plan.usage.calls) == ("a", "", 3)
    assert router.shown == [] and memory.questions == []


async def test_a_router_that_cannot_be_read_is_an_error_and_never_the_first_plan() -> None:
    planner = Conversational(ScriptedModel(["a", "b"]))
    with pytest.raises(ModelError):
        await Routed(
            planner,
            planner,
            ByModel(ScriptedModel(["the first", "2"])),
            ToyPlanMemory(),
            2,
        ).plan(QUESTION, NOTHING)


async def test_reflecting_and_replanning_are_the_planners_own() -> None:
    model = ScriptedModel(['{"goal_met": false, "reason": "r"}', "1. Again."])
    planner = routed(model, Last(), ToyPlanMemory())
    plan, run = Plan(text="a"), Trajectory(turns=(Turn(answer="x"),), outcome="answered")
    reflection = await planner.reflect(QUESTION, plan, run)
    assert (reflection.goal_met, reflection.reason) == (False, "r")
    replan = await planner.replan(QUESTION, NOTHING, plan, run, reflection)
    assert (replan.text, model.unused) == ("1. Again.", [])


async def test_a_picked_whole_question_that_failed_leaves_nothing_to_try() -> None:
    model = ScriptedModel(["#1 Who directed [Jaws]?\nanswer #1", "#1 ?\nanswer #1"])
    stepwise = StepwisePlanner(model)
    planner = Routed(stepwise, stepwise, Last(), ToyPlanMemory(), 2)
    plan = await planner.plan(QUESTION, NOTHING)
    assert plan.steps[0].text == QUESTION.text
    assert await planner.reflect(QUESTION, plan, Trajectory()) == Reflection(
        goal_met=True, reason="nothing is left to try"
    )
