"""A planner that is given its plan."""

from __future__ import annotations

from mia.planners.conversational import Conversational
from mia.planners.given import GivenPlanner
from mia.testing import ScriptedModel
from mia.types import Plan, Question, Recollection, Trajectory, Usage

ASKED = Question(text="Where is Rovigo?", id="q")
GIVEN = Plan(text="Look at a map.")


async def test_it_plans_what_it_was_given_and_leaves_the_second_thought_to_another() -> None:
    model = ScriptedModel(['{"goal_met": false, "reason": "no map"}', "Ask somebody."])
    planner = GivenPlanner(GIVEN, Conversational(model))
    assert await planner.plan(ASKED, Recollection()) == GIVEN
    assert model.calls == []
    run = Trajectory(outcome="abstained")
    reflection = await planner.reflect(ASKED, GIVEN, run)
    assert not reflection.goal_met
    replan = await planner.replan(ASKED, Recollection(), GIVEN, run, reflection)
    assert replan.text == "Ask somebody." and model.unused == []


async def test_where_it_was_given_none_another_plans() -> None:
    planner = GivenPlanner(None, Conversational(ScriptedModel(["Search for Rovigo."])))
    plan = await planner.plan(ASKED, Recollection())
    assert plan == Plan(text="Search for Rovigo.", usage=Usage(calls=1))
