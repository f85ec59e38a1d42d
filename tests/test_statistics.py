"""Intervals, differences, tests and agreement: against known values, brute force, and laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.statistics import (
    detection,
    discordant,
    effective_size,
    holm,
    kappa,
    mcnemar,
    newcombe,
    paired_bootstrap,
    share,
    wilson,
)

COUNTS = st.tuples(st.integers(1, 300), st.integers(0, 300)).map(lambda c: (min(c), max(c)))
PS = st.lists(st.floats(0, 1), max_size=12)
PAIRS = st.lists(st.tuples(st.sampled_from((0.0, 1.0)), st.sampled_from((0.0, 1.0)),
                           st.integers(0, 5)), min_size=1, max_size=30)  # fmt: skip


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


def test_known_values_of_wilson() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)  # statsmodels
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775328), abs=1e-6)


@given(COUNTS, COUNTS)
def test_a_difference_lies_in_its_interval_and_turns_around_with_its_sides(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    successes, trials = (one[0], other[0]), (one[1], other[1])
    low, high = newcombe(successes, trials)
    apart = successes[0] / trials[0] - successes[1] / trials[1]
    assert -1 - 1e-9 <= low <= apart + 1e-9 and apart - 1e-9 <= high <= 1 + 1e-9
    turned = newcombe(successes[::-1], trials[::-1])
    assert turned == pytest.approx((-high, -low))


def test_known_differences() -> None:
    # Newcombe (1998), table II, method 10
    assert newcombe((56, 48), (70, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe((9, 3), (10, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)
    assert newcombe((1, 0), (0, 5)) == (-1.0, 1.0)


def test_a_share_says_its_counts_and_nothing_without_trials() -> None:
    some = share([True, True, False, True])
    assert (some.successes, some.trials, some.value) == (3, 4, 0.75)
    assert (some.low, some.high) == wilson(3, 4)
    none = share([])
    assert (none.value, none.low, none.high) == (None, 0.0, 1.0)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 4))
def test_asking_again_and_hearing_the_same_makes_nothing_surer(
    heard: list[bool], times: int
) -> None:
    once = share(heard)
    again = share(heard * times, list(range(len(heard))) * times)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))
    assert again.trials == times * once.trials


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=60))
def test_scores_are_worth_no_more_than_they_are_and_no_less_than_their_clusters(
    scores: list[tuple[bool, int]],
) -> None:
    clusters = [cluster for _, cluster in scores]
    sizes = [clusters.count(cluster) for cluster in set(clusters)]
    fewest = len(scores) ** 2 / sum(size**2 for size in sizes)
    worth = effective_size([right for right, _ in scores], clusters)
    assert fewest - 1e-9 <= worth <= len(scores) + 1e-9


def test_the_design_effect_of_a_table_worked_by_hand() -> None:
    # clusters 11 10 00 01: mean 1/2, sums off by 1 0 -1 0; together 4/3 * 2/64 = 1/24, alone 1/32
    scores, clusters = (1, 1, 1, 0, 0, 0, 0, 1), "aabbccdd"
    assert effective_size(scores, clusters) == pytest.approx(8 * (1 / 32) / (1 / 24))


@given(PAIRS)
@settings(max_examples=50)
def test_a_bootstrapped_difference_is_bounded_turns_around_and_is_reproducible(
    pairs: list[tuple[float, float, int]],
) -> None:
    first, second, clusters = (list(column) for column in zip(*pairs, strict=True))
    found = paired_bootstrap(first, second, clusters, draws=500)
    assert found is not None
    apart = [one - other for one, other in zip(first, second, strict=True)]
    assert found.value == pytest.approx(sum(apart) / len(apart))
    assert min(apart) <= found.low <= found.high <= max(apart)
    turned = paired_bootstrap(second, first, clusters, draws=500)
    assert turned == pytest.approx((-found.value, -found.high, -found.low))
    assert found == paired_bootstrap(first, second, clusters, draws=500)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=30)
def test_a_method_does_not_differ_from_itself(scores: list[float]) -> None:
    assert paired_bootstrap(scores, scores, draws=200) == (0.0, 0.0, 0.0)


def test_there_is_no_difference_without_pairs() -> None:
    assert paired_bootstrap([], []) is None


@pytest.mark.parametrize("clusters", ["abcde", "aabbc"])
def test_the_bootstrap_draws_what_going_through_all_resamples_finds(clusters: str) -> None:
    first, second = (1.0, 0.9, 0.4, 0.2, 0.7), (0.3, 0.8, 0.5, 0.1, 0.1)
    grouped = [
        [one - other for one, other, c in zip(first, second, clusters, strict=True) if c == cluster]
        for cluster in sorted(set(clusters))
    ]
    every = [
        np.mean([apart for drawn in resample for apart in drawn])
        for resample in itertools.product(grouped, repeat=len(grouped))
    ]
    found = paired_bootstrap(first, second, clusters, draws=200_000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(every, (0.025, 0.975), method="inverted_cdf")), abs=0.011
    )


@given(st.integers(0, 9), st.integers(0, 9))
def test_mcnemar_is_the_share_of_all_splits_that_are_as_uneven(first: int, second: int) -> None:
    trials = first + second
    splits = [sum(sides) for sides in itertools.product((0, 1), repeat=min(trials, 12))]
    if trials <= 12:
        uneven = [abs(2 * k - trials) >= abs(first - second) for k in splits]
        assert mcnemar(first, second) == pytest.approx(sum(uneven) / len(uneven))
    assert mcnemar(first, second) == mcnemar(second, first)


def test_known_values_of_mcnemar() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(1, 8) == 20 / 512
    assert mcnemar(5, 5) == 1.0
    assert 0 < mcnemar(300, 1500) < 1e-100


def test_clusters_that_part_are_counted_once_and_even_ones_not_at_all() -> None:
    first, second = [1, 1, 0, 1, 0, 1], [0, 0, 1, 0, 1, 1]
    assert discordant(first, second, range(6)) == (3, 2, mcnemar(3, 2))
    assert discordant(first, second, "aabbcc") == (1, 1, 1.0)  # b: one each; a: first; c: second
    assert discordant([0.1 + 0.2], [0.3], "a") == (0, 0, 1.0)


@given(PS)
def test_corrected_ps_are_larger_stay_in_order_and_are_at_most_bonferronis(
    ps: list[float],
) -> None:
    adjusted = holm(ps)
    for p, larger in zip(ps, adjusted, strict=True):
        assert p <= larger <= min(1.0, len(ps) * p) + 1e-12
    for one, other in itertools.combinations(range(len(ps)), 2):
        if ps[one] < ps[other]:
            assert adjusted[one] <= adjusted[other]


def test_known_values_of_holm() -> None:
    assert holm((0.01, 0.04, 0.03, 0.005)) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm(()) == ()


def test_known_values_of_kappa() -> None:
    # both yes 20, only one 5, only the other 10, both no 15 (the textbook table): (0.7 - 0.5) / 0.5
    first = [True] * 25 + [False] * 25
    second = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    assert kappa(first, second) == pytest.approx(0.4)
    assert kappa([], []) is None
    assert kappa("aaa", "aaa") is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_kappa_is_mutual_bounded_and_one_for_oneself(labels: list[tuple[str, str]]) -> None:
    first, second = (list(column) for column in zip(*labels, strict=True))
    found = kappa(first, second)
    assert found == kappa(second, first)
    assert found is None or -1 - 1e-12 <= found <= 1 + 1e-12
    assert kappa(first, first) == (None if len(set(first)) == 1 else 1.0)


def test_precision_is_of_what_was_said_and_recall_of_what_is() -> None:
    said = [True, True, True, False, False, False, False]
    true = [True, True, False, True, True, False, False]
    found = detection(said, true)
    assert (found.precision.successes, found.precision.trials) == (2, 3)
    assert (found.recall.successes, found.recall.trials) == (2, 4)
    assert math.isclose(found.recall.low, wilson(2, 4).low)
    assert detection([False], [True]).precision.value is None
