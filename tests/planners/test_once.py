"""A planner that does not reflect."""

from __future__ import annotations

from mia.planners.conversational import Conversational
from mia.planners.once import Once
from mia.testing import ScriptedModel
from mia.types import Plan, Question, Recollection, Trajectory, Usage

ASKED = Question(text="Where is Rovigo?", id="q")


async def test_it_plans_as_the_other_does_and_is_content_with_any_run() -> None:
    model = ScriptedModel(["Search for Rovigo."])
    planner = Once(Conversational(model))
    plan = await planner.plan(ASKED, Recollection())
    assert plan == Plan(text="Search for Rovigo.", usage=Usage(calls=1))
    reflection = await planner.reflect(ASKED, Plan(text="x"), Trajectory(outcome="abstained"))
    assert reflection.goal_met and len(model.calls) == 1
