"""Laws of exact match and token F1."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mia.judges.exact_match import ExactMatch, exact, f1, normalise, same
from mia.types import Plan, Question, Trajectory, Turn, VerdictValue

words = st.lists(
    st.sampled_from(["the", "a", "Rome", "rome,", "yes", "no", "1936", "of", "Paris", "!"]),
    max_size=6,
).map(" ".join)
texts = st.one_of(words, st.text())


@settings(deadline=None)
@given(texts)
def test_normalising_ignores_case_space_and_a_leading_article(text: str) -> None:
    assert normalise(text) == normalise(f"  {text}\n")
    if normalise(f"Rome {text}") != normalise(text):
        assert normalise(f"the Rome {text}") == normalise(f"Rome {text}")


@settings(deadline=None)
@given(texts, texts)
def test_f1_is_symmetric_and_between_zero_and_one(one: str, other: str) -> None:
    assert f1(one, [other]) == f1(other, [one])
    assert 0.0 <= f1(one, [other]) <= 1.0


@settings(deadline=None)
@given(texts, texts)
def test_an_exact_match_has_an_f1_of_one(one: str, other: str) -> None:
    if exact(one, [other]):
        assert f1(one, [other]) == 1.0
        assert exact(other, [one])


@settings(deadline=None)
@given(texts)
def test_every_text_that_says_something_matches_itself(text: str) -> None:
    assume(text.strip())
    assert exact(text, [text])


@settings(deadline=None)
@given(texts, st.lists(texts, max_size=4))
def test_the_best_gold_answer_counts(answer: str, golds: list[str]) -> None:
    assert exact(answer, golds) == any(exact(answer, [gold]) for gold in golds)
    assert f1(answer, golds) == max([f1(answer, [gold]) for gold in golds], default=0.0)


@pytest.mark.parametrize(
    ("answer", "gold", "overlap"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1.0),
        ("Eiffel", "Eiffel Tower", 2 / 3),
        ("yes it is", "yes", 0.0),
        ("no", "yes", 0.0),
        ("the", "a", 0.0),
        ("The The", "the the", 1.0),
        ("", "", 0.0),
    ],
)
def test_f1_of_known_pairs(answer: str, gold: str, overlap: float) -> None:
    assert f1(answer, [gold]) == pytest.approx(overlap)
    assert exact(answer, [gold]) == (overlap == 1.0)


def question(*answers: str) -> Question:
    return Question(id="q", text="?", answers=answers or None)


def run(answer: str | None, outcome: str = "answered") -> Trajectory:
    return Trajectory(turns=(Turn(answer=answer),), outcome=outcome)


@pytest.mark.parametrize(
    ("asked", "done", "value"),
    [
        (question("Rome", "Roma"), run("roma."), VerdictValue.CORRECT),
        (question("Rome"), run("not Rome"), VerdictValue.INCORRECT),
        (question("Rome"), run(None, "abstained"), VerdictValue.INCORRECT),
        (question("Rome"), run("Rome", "failed:model"), VerdictValue.UNKNOWN),
        (question(), run("Rome"), VerdictValue.UNKNOWN),
    ],
)
async def test_correct_iff_the_answer_given_is_a_gold_answer(
    asked: Question, done: Trajectory, value: VerdictValue
) -> None:
    assert (await ExactMatch().judge(asked, Plan(text=""), done)).value == value


@pytest.mark.parametrize(
    ("answer", "gold", "means_it"),
    [
        ("$1.5 million", "$15 million", False),
        ("12.3", "1.23", False),
        ("-40", "40", False),
        ("−40", "-40", False),  # SQuAD's normalisation keeps a true minus
        ("C", "C++", False),
        ("C#", "C", False),
        ("7-2", "72", False),
        ("1,234,567", "1234567", True),
        ("the 1.5 million.", "1.5 million", True),
        ("c++", "C++", True),
        ("1939-1945", "1939-1945", True),
        ("Is it number 9?", "is it number 9", True),
    ],
)
def test_the_judge_does_not_drop_what_changes_a_figure(
    answer: str, gold: str, means_it: bool
) -> None:
    assert same(answer, gold) == same(gold, answer) == means_it


@settings(deadline=None)
@given(texts)
def test_a_text_says_the_same_as_itself(text: str) -> None:
    assert same(text, text) == exact(text, [text])
