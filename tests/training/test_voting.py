"""Attempts judge each other by what most of them answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.judges.exact_match import normalise
from mia.router import Choice
from mia.training.exploring import Explored
from mia.training.rewards import Parts, Rollout, unsupervised_planner_reward
from mia.training.rollouts import Attempt
from mia.training.samples import Sample
from mia.training.voting import by_vote, majority, unjudged
from mia.types import (
    Episode,
    Plan,
    Question,
    Reflection,
    Trajectory,
    Turn,
    VerdictValue,
)

RIGHT, WRONG, UNKNOWN = VerdictValue.CORRECT, VerdictValue.INCORRECT, VerdictValue.UNKNOWN
QUESTION = Question(text="When?", id="q", answers=("never to be looked at",))


def ran(answer: str | None) -> Trajectory:
    turns = () if answer is None else (Turn(answer=answer),)
    return Trajectory(turns=turns, outcome="abstained" if answer is None else "answered")


def attempt(answer: str | None, again: str | None = None) -> Attempt:
    """One that answered; and that ran again where `again` says with what."""
    episode = Episode(
        id=f"{answer} {again}", question=QUESTION, plan=Plan(text="1. Look."),
        trajectory=ran(answer),
    )  # fmt: skip
    if again is not None:
        episode = replace(episode, reflection=Reflection(goal_met=False), retrajectory=ran(again))
    sample = Sample(
        prompt_ids=(1,), response_ids=(2,), mask=(1,), logprobs=(-1.0,), reward=0.0, group="g",
        episode=episode.id, version=0,
    )  # fmt: skip
    return Attempt(Rollout(episode=episode), Parts(total=0.0), (sample,), 1, truncated=False)


def explored(answers: Sequence[str | None]) -> Explored:
    return Explored(tuple(map(attempt, answers)), 0, Choice(index=0, reason=""))


def values(of: Explored) -> list[VerdictValue]:
    return [one.rollout.episode.verdict.value for one in of.attempts]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["Rovigo", "rovigo.", "Este"], "rovigo"),
        (["Rovigo", "Este"], None),
        (["a b", "a b", "c", "c"], None),
        (["x", None, None, None], None),
        ([None, None], None),
        (["", "", "y"], None),
        ([], None),
    ],
)
def test_the_answer_of_most_needs_two_and_no_equal(
    answers: list[str | None], expected: str | None
) -> None:
    assert majority(answers) == expected


@given(st.lists(st.sampled_from(["Rovigo", "Este", "the Este", "Adria", None]), max_size=8))
def test_the_answer_of_most_is_given_most_in_whatever_order(answers: list[str | None]) -> None:
    votes = Counter(normalise(answer) for answer in answers if answer)
    chosen = majority(answers)
    assert majority(answers[::-1]) == chosen
    if chosen is not None:
        assert votes[chosen] >= 2
        assert all(votes[chosen] > count for other, count in votes.items() if other != chosen)


def test_who_answers_as_most_do_is_right_and_as_sure_as_they_are_many() -> None:
    voted = by_vote(explored(["Rovigo", "Este", "Rovigo", None]), unsupervised_planner_reward)
    assert values(voted) == [RIGHT, WRONG, RIGHT, WRONG]
    assert {one.rollout.episode.verdict.confidence for one in voted.attempts} == {0.5}
    totals = [one.parts.total for one in voted.attempts if one.parts]
    assert totals[0] == totals[2] > totals[1] == totals[3]
    assert [one.samples[0].reward for one in voted.attempts] == totals


def test_without_agreement_nothing_is_worth_anything() -> None:
    voted = by_vote(explored(["Rovigo", "Este"]), unsupervised_planner_reward)
    assert values(voted) == [UNKNOWN, UNKNOWN]
    assert [(one.parts, one.samples) for one in voted.attempts] == [(None, ())] * 2


def test_a_run_that_failed_is_not_judged() -> None:
    broken = attempt(None)
    failed = replace(broken.rollout.episode, trajectory=Trajectory(outcome="failed:search"))
    broken = broken._replace(rollout=replace(broken.rollout, episode=failed))
    several = Explored((broken, attempt("Este"), attempt("Este")), 0, Choice(index=0, reason=""))
    assert values(by_vote(several, unsupervised_planner_reward)) == [UNKNOWN, RIGHT, RIGHT]


def test_a_first_run_is_judged_by_the_same_vote() -> None:
    several = Explored(
        (attempt("Este", "Rovigo"), attempt("Rovigo"), attempt("Rovigo")),
        1,
        Choice(index=0, reason=""),
    )
    first, *others = by_vote(several, unjudged).attempts
    assert first.rollout.episode.verdict.value is RIGHT
    assert first.rollout.first_verdict is not None
    assert first.rollout.first_verdict.value is WRONG
    assert all(one.rollout.first_verdict is None for one in others)
