"""Advantages: what is compared with what, and the laws of the comparison."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.training.grpo import Groups, advantages, group_advantages
from mia.training.samples import Sample

REWARDS = st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), min_size=1, max_size=8)
MANY = st.lists(REWARDS, max_size=5)


def sample(reward: float, group: str, episode: str) -> Sample:
    return Sample(prompt_ids=(1,), response_ids=(2,), mask=(1,), logprobs=(-1.0,), reward=reward,
                  group=group, episode=episode, version=1)  # fmt: skip


def batch(groups: list[list[float]], name: str = "q") -> list[Sample]:
    return [
        sample(reward, f"{name}{group}", f"{name}{group}-{attempt}")
        for group, rewards in enumerate(groups)
        for attempt, reward in enumerate(rewards)
    ]


def by_episode(samples: list[Sample]) -> dict[str, float | None]:
    better = advantages(samples).advantages
    return {one.episode: value for one, value in zip(samples, better, strict=True)}


def known(samples: list[Sample]) -> list[float]:
    return [value for value in advantages(samples).advantages if value is not None]


@given(REWARDS)
def test_the_advantages_of_a_group_sum_to_nothing(rewards: list[float]) -> None:
    assert sum(known(batch([rewards]))) == pytest.approx(0, abs=1e-9)


@given(REWARDS)
def test_the_advantages_of_a_group_spread_by_one(rewards: list[float]) -> None:
    values = known(batch([rewards]))
    assert not values or np.std(values) == pytest.approx(1, abs=1e-4)


@given(MANY, st.integers())
def test_the_order_of_samples_does_not_matter(groups: list[list[float]], seed: int) -> None:
    samples = batch(groups)
    shuffled = random.Random(seed).sample(samples, len(samples))
    assert by_episode(shuffled) == pytest.approx(by_episode(samples))


@given(MANY, MANY)
def test_a_group_is_compared_with_itself_only(
    groups: list[list[float]], others: list[list[float]]
) -> None:
    together = by_episode(batch(groups) + batch(others, "other"))
    assert together == by_episode(batch(groups)) | by_episode(batch(others, "other"))


@given(REWARDS, st.integers(-80, 80).map(lambda eighths: eighths / 8))
def test_paying_everybody_more_changes_nothing(rewards: list[float], more: float) -> None:
    shifted = [reward + more for reward in rewards]
    assert by_episode(batch([shifted])) == pytest.approx(by_episode(batch([rewards])))


@given(REWARDS, st.floats(0.5, 8))
def test_paying_in_another_coin_changes_nothing(rewards: list[float], scale: float) -> None:
    scaled = [reward * scale for reward in rewards]
    assert by_episode(batch([scaled])) == pytest.approx(by_episode(batch([rewards])), abs=1e-3)


@given(REWARDS)
def test_a_better_attempt_has_a_greater_advantage(rewards: list[float]) -> None:
    values = group_advantages(np.array(rewards))
    if values is not None:
        assert (np.argsort(values, kind="stable") == np.argsort(rewards, kind="stable")).all()


@given(st.floats(-1e3, 1e3), st.integers(1, 9), MANY)
def test_a_group_that_fared_alike_teaches_nothing_and_is_counted(
    reward: float, size: int, groups: list[list[float]]
) -> None:
    others = advantages(batch(groups))
    result = advantages(batch(groups) + batch([[reward] * size], "alike"))
    assert result == Groups(
        advantages=others.advantages + (None,) * size,
        groups=others.groups + 1,
        dropped=others.dropped + 1,
    )


@pytest.mark.parametrize("alone", [[], [0.5]])
def test_without_siblings_nobody_is_better(alone: list[float]) -> None:
    assert group_advantages(np.array(alone)) is None


def test_rewards_that_differ_by_rounding_fared_alike() -> None:
    assert advantages(batch([[0.3, 0.1 + 0.2]])).dropped == 1


def test_groups_worked_by_hand() -> None:
    # 1 0 0 1: mean 1/2, deviation 1/2.  1 .5 0: mean 1/2, deviation sqrt(1/6) = .40824829
    result = advantages(batch([[1, 0, 0, 1], [1, 0.5, 0], [0.7], [0.2, 0.2]]))
    assert result.advantages == pytest.approx(
        (0.999998, -0.999998, -0.999998, 0.999998, 1.2247419, 0, -1.2247419, None, None, None),
        abs=1e-7,
    )
    assert (result.groups, result.dropped, result.share) == (4, 2, 0.5)
    assert advantages([]).share == 0


def test_an_episode_that_drifted_into_two_samples_counts_once() -> None:
    samples = [sample(1, "q", "a"), sample(1, "q", "a"), sample(0, "q", "b")]
    assert advantages(samples).advantages == pytest.approx((1, 1, -1), abs=1e-5)


def test_an_episode_has_one_reward() -> None:
    with pytest.raises(ValueError, match="episode a has more than one reward"):
        advantages([sample(1, "q", "a"), sample(0, "q", "a")])
