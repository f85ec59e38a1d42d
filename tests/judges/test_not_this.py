"""A wrong answer is known: whoever gives it again is wrong, and of others nobody guesses."""

from __future__ import annotations

import pytest

from mia.judges.exact_match import ExactMatch
from mia.judges.not_this import NotThis
from mia.types import Plan, Question, Trajectory, Turn, Verdict, VerdictValue

WRONG = Verdict(value=VerdictValue.INCORRECT, judge="human", confidence=0.8)
QUESTION = Question(text="Who?", id="q", answers=("Emily Brontë",))


def ran(answer: str | None, outcome: str = "answered") -> Trajectory:
    return Trajectory(turns=(Turn(answer=answer),), outcome=outcome)


@pytest.mark.parametrize("answer", ["Jane Austen", "jane austen."])
async def test_the_same_answer_is_wrong_as_surely_as_it_was_said(answer: str) -> None:
    judge = NotThis("Jane Austen", WRONG, ExactMatch())
    assert await judge.judge(QUESTION, Plan(text=""), ran(answer)) == WRONG


async def test_of_another_answer_nobody_can_tell_or_somebody_else_does() -> None:
    alone, beside = NotThis("Jane Austen", WRONG, None), NotThis("Jane Austen", WRONG, ExactMatch())
    other = ran("Emily Brontë")
    assert (await alone.judge(QUESTION, Plan(text=""), other)).value is VerdictValue.UNKNOWN
    assert (await beside.judge(QUESTION, Plan(text=""), other)).value is VerdictValue.CORRECT


async def test_to_have_no_answer_again_is_as_wrong_and_to_fail_is_nothing() -> None:
    judge = NotThis(None, WRONG, None)
    assert await judge.judge(QUESTION, Plan(text=""), ran(None, "abstained")) == WRONG
    failed = await judge.judge(QUESTION, Plan(text=""), ran(None, "failed:model"))
    assert failed.value is VerdictValue.UNKNOWN
