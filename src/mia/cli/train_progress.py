"""What a person sees of a run of training."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mia.training.stages import Check, Progress, Step
from mia.types import Noun

if TYPE_CHECKING:
    from rich.console import Console

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
_BETWEEN = 1.0
"""Seconds between the lines of two steps, where steps are quicker than that."""


def sparks(values: list[float], low: float = 0.0, high: float = 1.0) -> str:
    """Values as little bars, `low` the lowest and `high` the highest; of many, means."""
    size = max(1, -(-len(values) // _WIDTH))
    means = [sum(part) / len(part) for part in
             (values[i : i + size] for i in range(0, len(values), size))]  # fmt: skip
    span = (high - low) or 1.0
    places = [int((value - low) / span * len(_BARS)) for value in means]
    return "".join(_BARS[min(len(_BARS) - 1, max(0, place))] for place in places)


class Curve:
    """A line for each check, and for each step that is not over in a blink, as they come."""

    def __init__(self, console: Console, name: str = "") -> None:
        self._console = console
        self._name = name
        self._began: tuple[float, int] | None = None
        self._told = -_BETWEEN

    def add(self, noun: Noun) -> None:
        """Shows a Step or a Check."""
        if isinstance(noun, Step):
            self._step(noun)
        elif isinstance(noun, Check):
            after = f"after {noun.step} steps" if noun.step else "before the first step"
            self._console.print(
                f"[bold]{noun.correct} of {noun.n}[/] held-out questions are right {after}"
                f" ({noun.accuracy:.1%})"
            )

    def _step(self, step: Step) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began = (now - step.attempting - step.learning, step.step - 1)
        if now - self._told < _BETWEEN and step.step < step.steps:
            return
        self._told = now
        since, before = self._began
        left = (now - since) / (step.step - before) * (step.steps - step.step)
        told = f"step {step.step} of {step.steps}"
        if step.reward is not None:
            told += f" · reward {step.reward:.3f}"
            told += f" · {step.dropped} of {step.groups} groups all alike"
        elif not step.unrewarded:
            told += f" · loss {step.update.loss:.3f}"
        if step.unrewarded:
            told += f" · {step.unrewarded} of {step.episodes} without a reward"
        told += f" · {step.response_tokens:.0f} tokens each"
        told += f" · {_span(left)} left" if step.step < step.steps else ""
        self._console.print(f"{self._name} {told}".strip(), highlight=False)

    def summary(self, told: Progress) -> None:
        """A run as a whole."""
        rewards = [step.reward for step in told.steps if step.reward is not None]
        done = told.steps[-1].step if told.steps else 0
        self._console.print(f"{told.spec.role}: {done} steps are done", highlight=False)
        if rewards:
            self._console.print(f"reward   {sparks(rewards)} {rewards[0]:.3f} to {rewards[-1]:.3f}")
        if len(told.checks) > 1:
            right = [check.accuracy for check in told.checks]
            self._console.print(f"held out {sparks(right)} {right[0]:.3f} to {right[-1]:.3f}")


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
