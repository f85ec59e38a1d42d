"""The picture of a run of training: what its episodes were worth, how it did on what it never
learned from, how much it said, and how many groups taught nothing."""

# matplotlib takes keyword arguments without saying which
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mia.errors import InputError, StoreError
from mia.report.figures import style
from mia.report.plots import BASE, GRID, MAIN, MUTED
from mia.statistics import wilson
from mia.training.stages import Check, Progress, Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
_SIZE = (7.2, 4.6)
"""Inches."""
_SMOOTH = 10
"""Steps of a moving mean."""


def draw(told: Progress, file: Path) -> None:
    """Draws what a run's folder tells of it. Raises InputError for a run without a step and for a
    file of another kind, MissingError without matplotlib, StoreError where nothing can be
    written."""
    if file.suffix not in FORMATS:
        raise InputError(f"{file.name}: a figure is one of {', '.join(FORMATS)}")
    if not told.steps:
        raise InputError("there is nothing to draw before the first step")
    with style(file.stem):
        from matplotlib.figure import Figure

        figure = Figure(figsize=_SIZE, layout="constrained")
        (worth, held), (length, alike) = figure.subplots(2, 2, sharex=True)
        _curve(worth, "reward of an episode", told.steps, [step.reward for step in told.steps])
        worth.legend(loc="lower right", frameon=False, fontsize="small")
        _checks(held, told.checks)
        said = [step.response_tokens for step in told.steps]
        _curve(length, "tokens of an episode", told.steps, said)
        shares = [step.dropped / step.groups if step.groups else None for step in told.steps]
        _curve(alike, "groups that teach nothing", told.steps, shares)
        alike.set_ylim(0.0, 1.0)
        for below in (length, alike):
            below.set_xlabel("step")
        try:
            figure.savefig(file, dpi=160, facecolor="white")
        except OSError as error:
            raise StoreError(f"no figure can be written to {file}: {error}") from error


def _curve(axes: Axes, title: str, steps: Sequence[Step], values: Sequence[float | None]) -> None:
    """A dot a step, and their moving mean; a step without a value has none."""
    there = [(s.step, v) for s, v in zip(steps, values, strict=True) if v is not None]
    numbers = [step for step, _ in there]
    axes.plot(
        numbers, [value for _, value in there], ".", color=MUTED, markersize=3, label="a step"
    )
    means = [
        sum(value for _, value in part) / len(part)
        for part in (there[max(0, at - _SMOOTH + 1) : at + 1] for at in range(len(there)))
    ]
    axes.plot(numbers, means, color=MAIN, linewidth=1.6, label=f"mean of the last {_SMOOTH}")
    _titled(axes, title)


def _checks(axes: Axes, checks: Sequence[Check]) -> None:
    """The share of held-out questions that were right, with its 95 % interval; a square is what
    the run began with."""
    for check in checks:
        low, high = wilson(check.correct, check.n)
        colour = MAIN if check.step else BASE
        axes.plot([check.step] * 2, [low, high], color=colour, linewidth=1.6)
        axes.plot(check.step, check.accuracy, "o" if check.step else "s", color=colour)
    if not checks:
        axes.text(0.5, 0.5, "none were held out", transform=axes.transAxes, ha="center",
                  color=MUTED)  # fmt: skip
        axes.set_yticks([])
    _titled(axes, "held-out questions right, 95 %")


def _titled(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
