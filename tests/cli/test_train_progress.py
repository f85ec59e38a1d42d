"""What a person sees of a run of training while it goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mia.cli.train_progress import Curve
from mia.training.learner import Update
from mia.training.stages import Step


@pytest.mark.parametrize(
    ("reward", "unrewarded", "told"),
    [
        (0.5, 0, "reward 0.500 · 1 of 2 groups all alike · 9 tokens"),
        (0.5, 3, "1 of 2 groups all alike · 3 of 8 without a reward · 9 tokens"),
        (None, 8, "step 1 of 4 · 8 of 8 without a reward · 9 tokens"),
        (None, 0, "step 1 of 4 · loss 0.250 · 9 tokens"),
    ],
)
def test_a_step_says_what_could_not_be_learned_from(
    reward: float | None, unrewarded: int, told: str
) -> None:
    seen = io.StringIO()
    step = Step(
        step=1, steps=4, episodes=8, unrewarded=unrewarded, groups=2, dropped=1, reward=reward,
        parts={}, response_tokens=9.0, truncated=0.0, attempting=1.0, learning=1.0,
        update=Update(version=1, samples=8, rows=8, tokens=72, loss=0.25),
    )  # fmt: skip
    Curve(Console(file=seen, width=200)).add(step)
    assert told in seen.getvalue()
