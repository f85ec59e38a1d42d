"""The Wilson interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.intervals import wilson


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
