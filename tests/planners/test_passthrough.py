"""Laws of the Passthrough planner."""

from __future__ import annotations

from mia.planners.passthrough import Passthrough
from mia.types import Plan, Question, Recalled, Recollection, Trajectory, Workflow

QUESTION = Question(id="q", text="Where?")
WORKFLOW = Workflow(
    id="w", namespace="n", question="Q", question_template="Where was [A] born?", category="human",
    steps=(), summary="", plan="search [A]", outcome="success", verdict_kind="x", confidence=1.0,
)  # fmt: skip


async def test_the_recollection_is_the_plan() -> None:
    recalled = Recalled(workflow=WORKFLOW, score=1, similarity=1, value=1, frequency=1)
    plan = await Passthrough().plan(QUESTION, Recollection(successes=(recalled,)))
    assert "Where was [A] born?" in plan.text and "search [A]" in plan.text


async def test_without_a_recollection_there_is_still_a_plan() -> None:
    plan = await Passthrough().plan(QUESTION, Recollection())
    assert plan.text and plan.steps == ()


async def test_every_run_is_good_enough() -> None:
    reflection = await Passthrough().reflect(QUESTION, Plan(text=""), Trajectory())
    assert reflection.goal_met
