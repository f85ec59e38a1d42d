"""Laws of the router without a model."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.planner import parse_plan
from mia.router import PlanPair
from mia.routers.by_likeness import ByLikeness, agreement, likeness
from mia.types import Plan, Question

QUESTION = Question(id="q", text="Which film has the director who died first, Jaws or Heat?")
DIED_FIRST = (
    "#1 Who is the director of [{0}]?\n#2 Who is the director of [{1}]?\n"
    "#3 When did #1 die?\n#4 When did #2 die?\nanswer first #3 #4"
)
DIED_LAST = DIED_FIRST.replace("first", "last")
BORN_FIRST = DIED_FIRST.replace("did #1 die", "was #1 born").replace("did #2 die", "was #2 born")
WHOLE = "#1 Which film has the director who died first, {0} or {1}?\nanswer #1"


def typed(form: str) -> Plan:
    return parse_plan(form.format("Jaws", "Heat"))


def prose(text: str) -> Plan:
    return Plan(text=text)


def pair(right: str, wrong: str, seen: int = 1) -> PlanPair:
    return PlanPair(
        id="p", namespace="n", question="Q", question_template="Q", right=right, wrong=wrong,
        right_episode="r", wrong_episode="w", created="2026-01-01", seen=seen,
    )  # fmt: skip


def known(right: str, wrong: str, seen: int = 1) -> PlanPair:
    return pair(right.format("A", "B"), wrong.format("A", "B"), seen)


async def pick(plans: list[Plan], *pairs: PlanPair) -> Plan:
    choice = await ByLikeness().pick(QUESTION, plans, pairs)
    return plans[choice.index]


@pytest.mark.parametrize("wrong", [DIED_LAST, BORN_FIRST, WHOLE])
async def test_the_plan_that_worked_for_other_names_wins_over_the_one_that_did_not(
    wrong: str,
) -> None:
    plans = [typed(wrong), typed(DIED_FIRST)]
    assert await pick(plans, known(DIED_FIRST, wrong)) == plans[1]
    assert await pick(plans, known(wrong, DIED_FIRST)) == plans[0]


async def test_a_plan_asked_as_a_whole_is_known_again_whatever_it_is_about() -> None:
    assert agreement(typed(WHOLE), parse_plan(WHOLE.format("[A]", "[B]"))) == 1.0


def test_what_a_plan_is_about_makes_no_difference() -> None:
    lower = parse_plan(DIED_FIRST.format("mother!", "the others"))
    assert agreement(lower, typed(DIED_FIRST)) == 1.0
    assert agreement(prose("look up [the others]"), prose("look up [A]")) == 1.0


async def test_what_was_seen_more_often_counts_more() -> None:
    plans = [typed(DIED_FIRST), typed(DIED_LAST)]
    once, often = known(DIED_LAST, DIED_FIRST), known(DIED_FIRST, DIED_LAST, seen=3)
    assert await pick(plans, once, often) == plans[0]
    assert await pick(plans, known(DIED_LAST, DIED_FIRST, seen=4), often) == plans[1]


async def test_plans_in_prose_are_compared_by_their_words_without_names() -> None:
    right = pair("1. Search for the director of [A].", "1. Open the page about [A].")
    plans = [prose("1. Open the page about Jaws."), prose("1. Search for the director of Jaws.")]
    assert await pick(plans, right) == plans[1]
    assert agreement(plans[0], prose("1. Open the page about [A].")) == 1.0


async def test_where_nothing_tells_them_apart_the_shorter_plan_is_picked() -> None:
    plans = [typed(DIED_FIRST), typed(WHOLE)]
    assert await pick(plans) == plans[1]
    unrelated = pair("#1 How high is [A]?\nanswer #1", "#1 Who owns [A]?\nanswer #1")
    assert await pick(plans, unrelated) == plans[1]


async def test_the_reason_says_what_decided() -> None:
    plans = [typed(DIED_FIRST), typed(WHOLE)]
    chosen = await ByLikeness().pick(QUESTION, plans, [known(DIED_FIRST, DIED_LAST)])
    assert "1 known pair," in chosen.reason and "+0.3" in chosen.reason
    blind = await ByLikeness().pick(QUESTION, plans, [])
    assert "shortest of 2" in blind.reason and "no plans" in blind.reason
    alike = await ByLikeness().pick(QUESTION, plans, [known("a b", "c d"), known("e", "f")])
    assert "shortest of 2" in alike.reason and "2 known pairs, there is no" in alike.reason


FORMS = st.sampled_from([DIED_FIRST, DIED_LAST, BORN_FIRST, WHOLE, "Search.", "1. Look {0} up."])
PLANS = FORMS.map(lambda form: typed(form) if form.startswith("#") else prose(form))
PROSE = st.text("abAB .#[]\n1", max_size=30).map(prose)
PAIRS = st.lists(st.builds(known, FORMS, FORMS, st.integers(1, 5)), max_size=4)


@settings(deadline=None)
@given(st.lists(PLANS | PROSE, min_size=1, max_size=6), PAIRS, st.randoms(use_true_random=False))
async def test_the_order_of_candidates_does_not_change_which_text_is_picked(
    plans: list[Plan], pairs: list[PlanPair], luck: random.Random
) -> None:
    mixed = luck.sample(plans, len(plans))
    assert (await pick(plans, *pairs)).text == (await pick(mixed, *pairs)).text


@settings(deadline=None)
@given(PLANS | PROSE, PLANS | PROSE)
def test_agreement_is_a_share_and_the_same_both_ways(one: Plan, other: Plan) -> None:
    assert 0.0 <= agreement(one, other) <= 1.0
    assert agreement(one, other) == agreement(other, one)


@settings(deadline=None)
@given(PLANS | PROSE, FORMS, FORMS, st.integers(1, 9))
def test_a_pair_speaks_against_what_its_reverse_speaks_for(
    plan: Plan, right: str, wrong: str, seen: int
) -> None:
    there, back = known(right, wrong, seen), known(wrong, right, seen)
    assert likeness(plan, [there]) == pytest.approx(-likeness(plan, [back]))
    assert likeness(plan, [there, back]) == pytest.approx(0.0)
    assert -1.0 <= likeness(plan, [there]) <= 1.0
