"""Group-relative advantages (GRPO: Shao et al. 2024, https://arxiv.org/abs/2402.03300). Pure.

The paper's Eq. 1 and 3 without their sums over tokens, which are `mia.training.loss`:
A = (R - mean) / (std + eps) over the attempts at one question. The deviation is the population's,
as in GRPO; verl takes the sample's, which makes advantages of n attempts sqrt((n-1)/n) as large.
There is no KL to a reference in the reward: the published runs have none anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mia.training.samples import Sample
from mia.types import Noun

EPSILON = 1e-6
_SAME = 1e-9
"""Rewards that differ by less differ by rounding only."""


class Groups(Noun, frozen=True, omit_defaults=False):
    """How much better each sample's episode was than the others of its group."""

    advantages: tuple[float | None, ...]
    """One a sample, in the order of the samples; None where its group teaches nothing, so that its
    tokens are left out of the update instead of diluting it."""
    groups: int
    dropped: int
    """Groups that teach nothing: of one episode, or whose episodes all have the same reward."""

    @property
    def share(self) -> float:
        """The share of groups that were dropped; 0.0 when there are none."""
        return self.dropped / self.groups if self.groups else 0.0


def group_advantages(
    rewards_G: NDArray[np.float64], epsilon: float = EPSILON
) -> NDArray[np.float64] | None:
    """How much better each attempt was than its siblings, [attempts]; None where that cannot be
    said, because there is no sibling or all fared alike."""
    if len(rewards_G) < 2 or np.ptp(rewards_G) <= _SAME:
        return None
    return (rewards_G - rewards_G.mean()) / (rewards_G.std() + epsilon)


def advantages(samples: Sequence[Sample], epsilon: float = EPSILON) -> Groups:
    """The advantage of every sample.

    What is compared is episodes. One that drifted into several samples counts once, and each of
    them gets its advantage. Raises ValueError when the samples of one episode disagree about its
    reward.
    """
    rewards: dict[str, dict[str, float]] = {}
    for sample in samples:
        of_group = rewards.setdefault(sample.group, {})
        if of_group.setdefault(sample.episode, sample.reward) != sample.reward:
            raise ValueError(f"episode {sample.episode} has more than one reward")
    better: dict[tuple[str, str], float] = {}
    dropped = 0
    for group, of_group in rewards.items():
        known_G = group_advantages(np.array(list(of_group.values())), epsilon)
        if known_G is None:
            dropped += 1
        else:
            better.update(zip(((group, one) for one in of_group), known_G.tolist(), strict=True))
    return Groups(
        advantages=tuple(better.get((sample.group, sample.episode)) for sample in samples),
        groups=len(rewards),
        dropped=dropped,
    )
