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
    Curve(Console(file=seen, width=200)).add(_step(1, reward, unrewarded))
    assert told in seen.getvalue()


def test_steps_that_are_over_in_a_blink_are_not_all_told() -> None:
    seen = io.StringIO()
    curve = Curve(Console(file=seen, width=200))
    for number in range(1, 5):
        curve.add(_step(number))
    first, last = seen.getvalue().splitlines()
    assert "step 1 of 4" in first and "s left" in first
    assert "step 4 of 4" in last and "left" not in last, "the last is told in any case"


def _step(number: int, reward: float | None = 0.5, unrewarded: int = 0) -> Step:
    return Step(
        step=number, steps=4, episodes=8, unrewarded=unrewarded, groups=2, dropped=1,
        reward=reward, parts={}, response_tokens=9.0, truncated=0.0, attempting=1.0, learning=1.0,
        update=Update(version=1, samples=8, rows=8, tokens=72, loss=0.25),
    )  # fmt: skip
