"""Each guard trips where it should, and lets the rest pass."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.training.guards import (
    Limits,
    admitted,
    as_good,
    best,
    collapsed,
    contradicted,
    drifted,
    fresh,
    sure,
    worse,
)
from mia.training.samples import Sample
from mia.types import Episode, Question, Verdict, VerdictValue

LIMITS = Limits()
answers = st.lists(st.booleans(), min_size=100, max_size=100)


def judged(value: VerdictValue, confidence: float) -> Episode:
    verdict = Verdict(value=value, judge="test", confidence=confidence)
    return Episode(id="e", question=Question(text="q", id="q"), verdict=verdict)


def test_only_a_verdict_that_is_sure_teaches() -> None:
    assert sure(judged(VerdictValue.CORRECT, 0.6), LIMITS)
    assert sure(judged(VerdictValue.INCORRECT, 1.0), LIMITS)
    assert not sure(judged(VerdictValue.CORRECT, 0.59), LIMITS)
    assert not sure(judged(VerdictValue.UNKNOWN, 1.0), LIMITS)


@given(st.lists(st.sampled_from("abcde"), max_size=60), st.integers(1, 32))
def test_no_source_fills_a_batch_and_none_is_shut_out(sources: list[str], batch: int) -> None:
    took = admitted(sources, batch, LIMITS)
    each = Counter(source for source, taken in zip(sources, took, strict=True) if taken)
    assert sum(took) <= batch and all(n <= max(1, batch // 4) for n in each.values())
    if sum(took) < batch:  # then whoever was left out had its share
        left = Counter(source for source, taken in zip(sources, took, strict=True) if not taken)
        assert all(each[source] == max(1, int(batch * 0.25)) for source in left)
    assert not sources or took[0], "who came first is first"


@given(st.lists(st.sampled_from(["a", None]), max_size=60), st.integers(1, 32))
def test_nobody_in_particular_has_no_share(sources: list[str | None], batch: int) -> None:
    took = admitted(sources, batch, LIMITS)
    named = [source for source, taken in zip(sources, took, strict=True) if taken and source]
    assert len(named) <= max(1, batch // 4) and sum(took) <= batch
    left = [source for source, taken in zip(sources, took, strict=True) if not taken]
    assert None not in left or sum(took) == batch


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 9), st.integers(0, 3))
def test_what_a_policy_that_has_moved_on_said_is_dropped(
    versions: list[int], version: int, stale: int
) -> None:
    samples = [
        Sample(prompt_ids=(1,), response_ids=(2,), mask=(1,), logprobs=(-1.0,), reward=0.0,
               group="g", episode="e", version=each)
        for each in versions
    ]  # fmt: skip
    kept = [sample.version for sample in fresh(samples, version, Limits(stale=stale))]
    assert kept == [each for each in versions if each >= version - stale]


def test_a_policy_that_came_too_far_stops_learning() -> None:
    assert drifted(0.05, LIMITS) is None
    alarm = drifted(0.051, LIMITS)
    assert alarm is not None and alarm.action == "freeze" and "0.051 nats" in alarm.told


@pytest.mark.parametrize(
    ("entropies", "lengths", "guard"),
    [
        ([1.0] * 10, [20.0] * 10, None),
        ([1.0] * 5 + [0.31] * 5, [20.0] * 5 + [29.0] * 5, None),
        ([1.0] * 5 + [0.29] * 5, [20.0] * 10, "entropy"),
        ([1.0] * 10, [20.0] * 5 + [31.0] * 5, "length"),
        ([1.0] * 10, [20.0] * 5 + [9.0] * 5, "length"),
        ([1.0] * 5 + [0.0] * 4, [20.0] * 5 + [99.0] * 4, None),  # too early to say
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [20.0] * 10, None),  # one update
    ],
)
def test_a_policy_that_falls_silent_or_rambles_stops_learning(
    entropies: list[float], lengths: list[float], guard: str | None
) -> None:
    alarm = collapsed(entropies, lengths, LIMITS)
    assert (alarm and alarm.guard) == guard


@given(answers, st.one_of(st.none(), answers))
def test_a_policy_that_answers_all_that_the_good_one_did_stays(
    good: list[bool], before: list[bool] | None
) -> None:
    assert worse(good, before, good, LIMITS) is None
    assert worse(good, before, [True] * 100, LIMITS) is None


@pytest.mark.parametrize(
    ("lost", "won", "before_lost", "trips"),
    [
        (6, 0, None, True),  # p = .031
        (5, 0, None, False),  # p = .063
        (3, 0, 3, True),  # more than 2 points, twice
        (2, 0, 3, False),
        (3, 0, 2, False),
        (20, 14, 0, False),  # an even split
        (30, 14, None, True),
        (14, 30, 40, False),  # better is never worse
    ],
)
def test_a_policy_that_answers_fewer_goes_back(
    lost: int, won: int, before_lost: int | None, trips: bool
) -> None:
    good = [True] * 50 + [False] * 50
    now = [False] * lost + [True] * (50 - lost) + [True] * won + [False] * (50 - won)
    before = (
        None if before_lost is None
        else [False] * before_lost + [True] * (50 - before_lost) + [False] * 50
    )  # fmt: skip
    alarm = worse(good, before, now, LIMITS)
    assert (alarm is not None) is trips
    assert alarm is None or (alarm.action, alarm.guard) == ("roll back", "canary")


@given(st.lists(answers, min_size=1, max_size=9))
def test_policies_do_not_become_worse_little_by_little(looks: list[list[bool]]) -> None:
    good = [looks[0]]
    for now in looks[1:]:
        if as_good(best(good), now, LIMITS):
            good.append(now)
    assert sum(good[-1]) >= max(map(sum, good)) - 100 * LIMITS.canary_points
    assert sum(best(good)) == max(map(sum, good))


@given(st.lists(st.booleans(), min_size=20, max_size=60))
def test_a_judge_whom_its_audit_confirms_goes_on(said: list[bool]) -> None:
    assert contradicted(said, said, LIMITS) is None


def test_a_judge_whom_its_audit_contradicts_stops_learning() -> None:
    said = [True, False] * 15
    alarm = contradicted(said, [*said[:20], *[not each for each in said[20:]]], LIMITS)
    assert alarm is not None and (alarm.guard, alarm.action) == ("audit", "freeze")
    assert contradicted([True] * 20, [False] * 20, LIMITS) is not None
    assert contradicted(said[:19], [not each for each in said[:19]], LIMITS) is None, "too few"


@pytest.mark.parametrize(
    "wrong",
    [{"margin": 1.1}, {"per_source": 0.0}, {"stale": -1}, {"kl": 0.0}, {"audited": 1}, {"p": -0.1}],
)
def test_limits_that_nobody_could_keep_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share|positive"):
        Limits(**wrong)
