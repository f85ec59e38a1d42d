"""How a run of learning stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.report.learning import Standing, standing
from mia.training.buffer import Learned, Outcome
from mia.training.exploring import Selections
from mia.training.guards import Alarm
from mia.training.learner import Update
from mia.types import Usage


def outcome(
    place: int, right: bool | None, family: str | None = None, judged: bool | None = None
) -> Outcome:
    return Outcome(
        place=place, question=f"q{place}", family=family, episode=f"e{place}", answer=None,
        rewards=(), right=right, judged=judged,
        selections=Selections(right, False, None, False, False, True), reason="", version=0,
        answering=Usage(calls=2), exploring=Usage(calls=6), answered=float(place), seconds=10.0,
    )  # fmt: skip


def learned(version: int, *, alarm: Alarm | None = None) -> Learned:
    return Learned(
        update=Update(version=version, samples=4, rows=4, tokens=9), questions=8, dropped=3,
        alarm=alarm, seconds=5.0,
    )  # fmt: skip


def told(outcomes: list[Outcome], updates: list[Learned], length: int = 4) -> Standing:
    return standing(
        outcomes, updates, name="n", judge="gold", learns="memory", length=length, epochs=2
    )


def test_each_pass_stands_for_itself_and_families_are_counted_in_it() -> None:
    rights = [True, False, True, None, True, True]
    families = ["a", "a", "b", None, "a", "a"]
    every = [outcome(n, right, family)
             for n, (right, family) in enumerate(zip(rights, families, strict=True))]  # fmt: skip
    first, second = told(every, []).epochs
    assert (first.number, first.right.successes, first.right.trials, first.unknown) == (1, 2, 3, 1)
    assert [(str(b), b.accuracy.successes, b.accuracy.trials) for b in first.by_occurrence] == [
        ("1", 2, 2), ("2", 0, 1)
    ]  # fmt: skip
    assert (second.number, second.right.successes, second.right.trials) == (2, 2, 2)


def test_what_it_cost_and_what_was_learned_are_added_up() -> None:
    stopped = Alarm(guard="kl", told="too far", action="freeze")
    start = learned(0)
    run = told([outcome(n, True) for n in range(3)], [start, learned(1), learned(2, alarm=stopped)])
    assert (run.done, run.of, run.updates, run.taught, run.alike) == (3, 8, 2, 16, 6)
    assert run.alarms == ("update 2, kl: too far",)
    assert (run.answering.calls, run.exploring.calls, run.answered) == (6, 18, 1.0)
    assert run.seconds == 3 * 10 + 2 * 5


def test_a_judge_is_held_against_the_right_answers_that_it_did_not_see() -> None:
    run = told(
        [outcome(0, True, judged=True), outcome(1, False, judged=True), outcome(2, True),
         outcome(3, None, judged=True)], []
    )  # fmt: skip
    assert (run.agreed.successes, run.agreed.trials) == (1, 2)
    assert (run.judged.successes, run.judged.trials) == (3, 3)


@given(st.lists(st.booleans() | st.none(), max_size=12))
def test_every_question_is_counted_once(rights: list[bool | None]) -> None:
    run = told([outcome(n, right) for n, right in enumerate(rights)], [])
    assert sum(epoch.right.trials + epoch.unknown for epoch in run.epochs) == len(rights)
    assert run.rules["router"].trials == sum(right is not None for right in rights)
    assert run.rules["random"].value is None


@pytest.mark.parametrize("length", [0, 5])
def test_a_run_that_has_not_begun_has_no_pass(length: int) -> None:
    run = told([], [], length)
    assert run.epochs == () and run.answered == 0.0 and run.done == 0
