"""The planner for small models."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ModelError
from mia.planner import parse_plan
from mia.planners.procedures import ProcedurePlanner, read
from mia.planners.stepwise import StepwisePlanner, example_of, plan_grammar, whole
from mia.testing import ScriptedModel
from mia.types import (
    Note,
    Question,
    Recalled,
    Recollection,
    Reflection,
    Trajectory,
    Turn,
    Workflow,
)

QUESTION = Question(text="When did the director of film Jaws die?", id="q")
PLAN = "#1 Who is the director of [Jaws]?\n#2 When did #1 die?\nanswer #2"
TEMPLATE = "#1 Who is the director of [A]?\n#2 When did #1 die?\nanswer #2"


def remembered(plan: str) -> Recollection:
    workflow = Workflow(
        id="w",
        namespace="default",
        question="When was the director of film Alien born?",
        question_template="When did the director of film [A] die?",
        category="time",
        steps=(),
        summary="",
        plan=plan,
        outcome="success",
        verdict_kind="exact_match",
        confidence=1.0,
    )
    recalled = Recalled(workflow=workflow, score=1.0, similarity=0.9, value=0.5, frequency=1.0)
    return Recollection(successes=(recalled,))


async def test_a_plan_is_read_as_the_model_wrote_it() -> None:
    model = ScriptedModel([PLAN])
    plan = await StepwisePlanner(model).plan(QUESTION, Recollection())
    assert plan.text == PLAN
    assert model.unused == []


async def test_a_remembered_success_is_shown_with_letters_for_its_entities() -> None:
    model = ScriptedModel([PLAN])
    await StepwisePlanner(model).plan(QUESTION, remembered(TEMPLATE))
    (messages,) = model.asked
    assert "Solved before: When did the director of film [A] die?" in messages[1].content
    assert "Alien" not in messages[1].content


async def test_without_a_workflow_the_best_note_is_shown_and_left_out_of_the_replan() -> None:
    model = ScriptedModel([PLAN, PLAN])
    notes = (
        Note(title="A way", text="first <|im_end|> the film\nthen its director"),
        Note(text="x"),
    )
    planner, found = StepwisePlanner(model), Recollection(notes=notes)
    plan = await planner.plan(QUESTION, found)
    shown = model.asked[0][1].content
    assert shown.startswith("Remembered: A way first ‹|im_end|> the film then its director\n")
    await planner.replan(QUESTION, found, plan, Trajectory(), Reflection(goal_met=False))
    assert "Remembered" not in model.asked[1][1].content


def test_a_plan_in_prose_is_no_example_for_a_small_model() -> None:
    assert example_of(remembered("Search for the director."), QUESTION.text) == ""


@pytest.mark.parametrize(
    "asked",
    [
        "When was the director of film Alien born?",
        "Where did the director of film Alien die?",
        "When did the composer of film Alien die?",
        "When did Alien die?",
    ],
)
def test_an_example_that_differs_in_more_than_names_would_mislead(asked: str) -> None:
    assert example_of(remembered(TEMPLATE), asked) == ""


async def test_an_unreadable_plan_is_asked_for_once_more_and_then_refused() -> None:
    model = ScriptedModel(["I would search.", PLAN])
    assert (await StepwisePlanner(model).plan(QUESTION, Recollection())).text == PLAN
    with pytest.raises(ModelError):
        await StepwisePlanner(ScriptedModel(["no", "no"])).plan(QUESTION, Recollection())


async def test_a_question_mark_stands_for_the_whole_question() -> None:
    plan = await StepwisePlanner(ScriptedModel(["#1 ?\nanswer #1"])).plan(QUESTION, Recollection())
    assert plan.steps[0].text == QUESTION.text
    assert plan.text == f"#1 {QUESTION.text}\nanswer #1"


async def test_a_run_that_answered_is_not_replanned() -> None:
    planner = StepwisePlanner(ScriptedModel([]))
    answered = Trajectory(turns=(Turn(answer="1975"),), outcome="answered")
    assert (await planner.reflect(QUESTION, parse_plan(PLAN), answered)).goal_met


async def test_a_run_that_found_nothing_is_replanned_until_nothing_is_left_to_try() -> None:
    model = ScriptedModel([PLAN])
    planner = StepwisePlanner(model)
    missed = Trajectory(turns=(Turn(thought="Who is the director of Jaws?"),), outcome="abstained")
    plan = parse_plan(PLAN.replace("director", "composer"))
    recollection = remembered(TEMPLATE)
    reflection = await planner.reflect(QUESTION, plan, missed)
    assert not reflection.goal_met
    assert "Who is the director of Jaws?" in reflection.reason
    without_example = await planner.replan(QUESTION, recollection, plan, missed, reflection)
    assert without_example.text == PLAN
    assert "Solved before" not in model.asked[0][1].content
    last = await planner.replan(QUESTION, Recollection(), without_example, missed, reflection)
    assert last == whole(QUESTION)
    assert (await planner.reflect(QUESTION, last, missed)).goal_met, "nothing is left to try"


@settings(deadline=None)
@given(st.text(max_size=80))
def test_the_grammar_of_any_question_is_well_formed(text: str) -> None:
    rules = plan_grammar(text).splitlines()
    names = {rule.split(" ::= ")[0] for rule in rules}
    assert len(names) == len(rules), "a rule is defined twice, or a terminal breaks the line"
    assert all(" ::= " in rule for rule in rules)


def test_known_phrasings_are_read_without_a_model() -> None:
    def plan(text: str) -> str:
        found = read(Question(text=text, id="q"))
        assert found is not None, text
        return found.text

    assert plan("When did the director of film Jaws die?") == PLAN
    assert plan("Who is Henry VIII's paternal grandfather?") == (
        "#1 Who is the father of [Henry VIII]?\n#2 Who is the father of #1?\nanswer #2"
    )
    assert plan("Who was born first, Ada or Bob?").endswith("answer first #1 #2")
    assert plan("Who lived longer, Ada or Bob?").endswith("answer longer #1 #2 #3 #4")
    bridge = plan("Which film has the director who was born later, Jaws or Alien?")
    assert bridge.splitlines() == [
        "#1 Who is the director of [Jaws]?",
        "#2 Who is the director of [Alien]?",
        "#3 When was #1 born?",
        "#4 When was #2 born?",
        "answer last #3 #4",
    ]


async def test_a_phrasing_nobody_knows_becomes_one_lookup() -> None:
    odd = Question(text="Say, whatever became of that ship?", id="q")
    plan = await ProcedurePlanner().plan(odd, Recollection())
    assert plan == whole(odd)


@settings(deadline=None)
@given(st.text(max_size=120))
def test_the_rule_planner_never_trips_over_a_question(text: str) -> None:
    plan = read(Question(text=text, id="q"))
    assert plan is None or plan.steps
