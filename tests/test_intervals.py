"""The Wilson interval, and Newcombe's of a difference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.intervals import difference, wilson


@given(st.integers(1, 5000), st.data())
def test_the_interval_is_a_range_of_shares_around_the_share(
    trials: int, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12 and successes / trials - 1e-12 <= high <= 1


@given(st.integers(1, 500), st.data())
def test_successes_and_failures_mirror_each_other(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@given(st.integers(0, 50), st.integers(1, 50))
def test_more_trials_with_the_same_share_are_surer(successes: int, failures: int) -> None:
    few = wilson(successes, successes + failures)
    many = wilson(10 * successes, 10 * (successes + failures))
    assert many[1] - many[0] < few[1] - few[0]


def test_known_values() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)  # statsmodels
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)


COUNTS = st.tuples(st.integers(1, 300), st.integers(0, 300)).map(lambda c: (min(c), max(c)))


@given(COUNTS, COUNTS)
def test_a_difference_lies_in_its_interval_and_turns_around_with_its_sides(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    successes, trials = (one[0], other[0]), (one[1], other[1])
    low, high = difference(successes, trials)
    apart = successes[0] / trials[0] - successes[1] / trials[1]
    assert -1 - 1e-9 <= low <= apart + 1e-9 and apart - 1e-9 <= high <= 1 + 1e-9
    turned = difference(successes[::-1], trials[::-1])
    assert turned == pytest.approx((-high, -low))


def test_known_differences() -> None:
    # Newcombe (1998), table II, method 10
    assert difference((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert difference((9, 3), (10, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert difference((1, 0), (0, 5)) == (-1.0, 1.0)
