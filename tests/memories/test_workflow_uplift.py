"""What memory adds or costs."""

from __future__ import annotations

import pytest

from mia.memories.workflow.uplift import ENOUGH, Exposure, uplift


def test_the_uplift_is_the_difference_of_the_two_shares() -> None:
    found = uplift("store", Exposure(shown=100, shown_won=60, withheld=50, withheld_won=20))
    assert found.uplift == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert found.low > 0 and not found.harmful


def test_without_runs_of_both_kinds_nothing_is_claimed() -> None:
    found = uplift("w", Exposure(shown=40, shown_won=0))
    assert found.uplift is None
    assert (found.low, found.high) == (-1.0, 1.0)
    assert not found.harmful


def test_only_what_surely_costs_answers_is_harmful() -> None:
    assert uplift("w", Exposure(40, 5, 40, 30)).harmful
    assert not uplift("w", Exposure(40, 18, 40, 20)).harmful
    few = ENOUGH - 1
    assert not uplift("w", Exposure(few, 0, few, few)).harmful
