"""How candidate plans are drawn."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ModelError
from mia.planners.conversational import Conversational
from mia.router import draw
from mia.testing import ScriptedModel
from mia.types import Plan, Question, Recollection

QUESTION = Question(id="q", text="Where?")
Replies = list[str | ModelError]
BROKEN = ModelError("the endpoint is down")


async def drawn(own: str | ModelError, *others: str | ModelError) -> tuple[Plan, ...]:
    planner = Conversational(ScriptedModel([own]))
    model = ScriptedModel(others)
    count = 1 + len(others)
    plans = await draw(planner, Conversational(model), QUESTION, Recollection(), count)
    assert model.unused == []
    return plans


def texts(plans: tuple[Plan, ...]) -> list[str]:
    return [plan.text for plan in plans]


async def test_the_planners_own_plan_comes_first() -> None:
    assert texts(await drawn("c", "d", "a", "b")) == ["c", "a", "b", "d"]


async def test_a_single_candidate_is_the_planners_own() -> None:
    assert texts(await drawn("c")) == ["c"]


async def test_plans_of_one_text_count_once_at_the_cost_of_all() -> None:
    plans = await drawn("1. Look.", "1.  Look.", "2. See.", "1. Look.\n")
    assert texts(plans) == ["1. Look.", "2. See."]
    assert [plan.usage.calls for plan in plans] == [3, 1]


async def test_a_try_that_failed_is_no_candidate() -> None:
    assert texts(await drawn("a", BROKEN, "b")) == ["a", "b"]
    assert texts(await drawn(BROKEN, "c", "b")) == ["b", "c"]


async def test_without_any_candidate_the_planners_own_failure_is_raised() -> None:
    with pytest.raises(ModelError, match="own"):
        await drawn(ModelError("own"), ModelError("other"), ModelError("third"))


@settings(deadline=None)
@given(st.lists(st.text("abc ", min_size=1).filter(str.strip), max_size=6), st.randoms())
async def test_it_does_not_matter_which_try_was_answered_first(
    others: list[str], luck: random.Random
) -> None:
    assert texts(await drawn("a", *others)) == texts(
        await drawn("a", *luck.sample(others, len(others)))
    )
