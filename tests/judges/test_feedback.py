"""Laws of what a person says of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.judges.feedback import JUDGE, Feedback, right_answers, verdict_of
from mia.memories.workflow.trust import grounded
from mia.types import Episode, Question, Trajectory, Turn, VerdictValue, decode, encode

GIVEN = Trajectory(turns=(Turn(answer="Rome"),), outcome="answered")
NONE = Trajectory(turns=(Turn(),), outcome="abstained")
DOWN = Trajectory(outcome="failed:model", detail="nobody is there")


def episode(trajectory: Trajectory) -> Episode:
    return Episode(
        id="E1",
        question=Question(text="Where?", id="q"),
        started="2026-11-22",
        trajectory=trajectory,
    )


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"answer": "rome"}, "correct"),
        ({"answer": "Paris"}, "incorrect"),
        ({"answer": "Paris", "up": True, "score": 1.0}, "incorrect"),
        ({"up": True}, "correct"),
        ({"up": False, "score": 1.0}, "incorrect"),
        ({"score": 0.9}, "correct"),
        ({"score": 0.1}, "incorrect"),
        ({"score": 0.5}, "unknown"),
        ({"text": "this is wrong"}, "unknown"),
    ],
)
def test_the_right_answer_decides_then_the_thumb_then_the_number(
    said: dict[str, Any], value: str
) -> None:
    verdict = verdict_of(Feedback(**said), episode(GIVEN))
    assert verdict.value == value and verdict.judge == JUDGE


@pytest.mark.parametrize("said", [{"up": True}, {"score": 1.0}, {"answer": "Rome"}])
def test_no_answer_is_never_right_and_what_was_down_is_unknown(said: dict[str, Any]) -> None:
    assert verdict_of(Feedback(**said), episode(NONE)).value is VerdictValue.INCORRECT
    assert verdict_of(Feedback(**said), episode(DOWN)).value is VerdictValue.UNKNOWN


@given(st.floats(0, 1).filter(lambda score: score != 0.5))
def test_a_number_is_as_sure_as_it_is_far_from_the_middle(score: float) -> None:
    verdict = verdict_of(Feedback(score=score), episode(GIVEN))
    assert verdict.confidence == pytest.approx(2 * abs(score - 0.5))
    assert (verdict.value is VerdictValue.CORRECT) == (score > 0.5)


@pytest.mark.parametrize(
    ("said", "trajectory", "answers"),
    [
        ({"answer": "Paris", "up": True}, GIVEN, ("Paris",)),
        ({"up": True}, GIVEN, ("Rome",)),
        ({"score": 1.0}, GIVEN, ("Rome",)),
        ({"score": 0.9}, GIVEN, ()),
        ({"up": False}, GIVEN, ()),
        ({"up": True}, NONE, ()),
    ],
)
def test_what_is_given_or_approved_of_is_right(
    said: dict[str, Any], trajectory: Trajectory, answers: tuple[str, ...]
) -> None:
    assert right_answers(Feedback(**said), episode(trajectory)) == answers


@pytest.mark.parametrize(
    "said",
    [{}, {"text": ""}, {"score": 1.1}, {"score": float("nan")}, {"answer": " "},
     {"text": "x" * 10_001}],
)  # fmt: skip
def test_what_says_nothing_or_cannot_be_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"says something|from 0 to 1|not empty|at most"):
        Feedback(**said)


def test_it_goes_round_as_json_and_memory_takes_a_person_s_word() -> None:
    feedback = Feedback(up=False, text="no")
    assert decode(encode(feedback), Feedback) == feedback
    assert grounded(JUDGE)
