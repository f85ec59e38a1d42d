"""Laws of a judge's reliability, and tables worked by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.calibration import Judged, Label, between, reliability
from mia.types import Usage, Verdict, VerdictValue

LABELS: tuple[Label, ...] = get_args(Label)


def item(label: Label, said: str, number: int = 0, kind: str = "one") -> Judged:
    verdict = Verdict(value=VerdictValue(said), judge="toy", usage=Usage(calls=1, money=0.25))
    return Judged(id=f"{number}", kind=kind, label=label, verdict=verdict)


def table(counts: dict[tuple[Label, str], int]) -> list[Judged]:
    """As many of each label with each verdict."""
    cells = [cell for cell, count in counts.items() for _ in range(count)]
    return [item(label, said, number) for number, (label, said) in enumerate(cells)]


HAND = table({
    ("correct", "correct"): 7, ("correct", "incorrect"): 2, ("correct", "unknown"): 1,
    ("incorrect", "correct"): 1, ("incorrect", "incorrect"): 8, ("incorrect", "unknown"): 1,
})  # fmt: skip


def test_a_table_worked_by_hand() -> None:
    found = reliability("toy", HAND)
    shares = (found.unknown, found.agreement, found.correct_precision, found.correct_recall,
              found.incorrect_precision, found.incorrect_recall)  # fmt: skip
    assert [(share.successes, share.trials) for share in shares] == [
        (2, 20), (15, 18), (7, 8), (7, 9), (8, 10), (8, 9),
    ]  # fmt: skip
    # 15 of 20 agree, and by chance (8 * 10 + 10 * 10 + 2 * 0) / 400; 15 of 18, by chance a half
    assert found.kappa == pytest.approx(Fraction(6, 11))
    assert found.kappa_decided == pytest.approx(Fraction(2, 3))
    assert (found.usage.calls, found.usage.money) == (20, 5.0)


def test_an_unknown_is_neither_right_nor_wrong() -> None:
    doubled = [*HAND, *table({("correct", "unknown"): 9, ("incorrect", "unknown"): 3})]
    before, after = reliability("toy", HAND), reliability("toy", doubled)
    assert (after.unknown.successes, after.unknown.trials) == (14, 32)
    for name in ("agreement", "correct_precision", "correct_recall", "incorrect_precision",
                 "incorrect_recall", "kappa_decided"):  # fmt: skip
        assert getattr(after, name) == getattr(before, name)
    assert before.kappa is not None and after.kappa is not None and after.kappa < before.kappa


@pytest.mark.parametrize("word", LABELS)
def test_who_always_says_one_thing_finds_all_of_it_and_agrees_by_chance_alone(word: Label) -> None:
    found = reliability("toy", table({("correct", word): 6, ("incorrect", word): 6}))
    mine = (found.correct_precision, found.correct_recall)
    others = (found.incorrect_precision, found.incorrect_recall)
    if word == "incorrect":
        mine, others = others, mine
    assert [share.value for share in mine] == [0.5, 1.0]
    assert [share.value for share in others] == [None, 0.0]
    assert (found.kappa, found.kappa_decided, found.agreement.value) == (0.0, 0.0, 0.5)


def test_who_never_knows_has_no_figures_but_that() -> None:
    found = reliability("toy", table({("correct", "unknown"): 3, ("incorrect", "unknown"): 2}))
    assert found.unknown.value == 1.0 and found.kappa == 0.0
    assert (found.agreement.value, found.correct_recall.value, found.kappa_decided) == (None,) * 3


def test_the_best_judge_has_a_kappa_of_one_and_the_worst_of_minus_one() -> None:
    best = table({("correct", "correct"): 4, ("incorrect", "incorrect"): 4})
    worst = table({("correct", "incorrect"): 4, ("incorrect", "correct"): 4})
    assert (reliability("a", best).kappa, reliability("b", worst).kappa) == (1.0, -1.0)


def test_kinds_are_told_apart() -> None:
    items = [
        item("correct", "correct", kind="b"), item("correct", "incorrect", kind="b"),
        item("incorrect", "unknown", kind="a"), item("incorrect", "incorrect", kind="a"),
    ]  # fmt: skip
    told = [(k.kind, k.right, k.wrong, k.unknown) for k in reliability("toy", items).kinds]
    assert told == [("a", 1, 0, 1), ("b", 1, 1, 0)]


SAID = st.sampled_from([value.value for value in VerdictValue])
CELLS = st.lists(st.tuples(st.sampled_from(LABELS), SAID, st.sampled_from("xyz")), max_size=30)


@given(CELLS)
def test_every_answer_is_in_one_kind_and_is_right_wrong_or_unknown(
    cells: list[tuple[Label, str, str]],
) -> None:
    items = [item(label, said, n, kind) for n, (label, said, kind) in enumerate(cells)]
    found = reliability("toy", items)
    kinds = found.kinds
    assert sum(kind.unknown for kind in kinds) == found.unknown.successes
    assert sum(kind.right for kind in kinds) == found.agreement.successes
    assert sum(kind.right + kind.wrong for kind in kinds) == found.agreement.trials
    assert found.unknown.trials == found.rows == len(cells)


def test_two_judges_beside_each_other_worked_by_hand() -> None:
    first = [item("correct", said, n) for n, said in enumerate(["correct"] * 4 + ["incorrect"] * 4)]
    words = ["correct", "correct", "correct", "incorrect", "incorrect", "incorrect", "correct"]
    second = [item("correct", said, n) for n, said in enumerate([*words, "unknown"])]
    found = between("a", first, "b", second)
    assert (found.agreement.successes, found.agreement.trials) == (5, 7)
    # by chance (4 * 4 + 3 * 3) / 49 of 7, and (4 * 4 + 4 * 3) / 64 of 8
    assert found.kappa_decided == pytest.approx(Fraction(5 * 7 - 25, 49 - 25))
    assert found.kappa == pytest.approx(Fraction(5 * 8 - 28, 64 - 28))


def test_a_judge_agrees_with_itself() -> None:
    found = between("a", HAND, "a", HAND)
    assert found.kappa == found.kappa_decided == found.agreement.value == 1.0


def test_judges_of_other_answers_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not given the same answers"):
        between("a", HAND, "b", HAND[::-1])
