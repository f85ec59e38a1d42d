"""What memory adds or costs, measured: runs that were shown what memory found, against runs from
which the same was withheld at random. Pure.

Withholding is by lot and per question, so the two kinds of runs differ in nothing else: their
difference is what memory caused, not what it went along with. A single workflow is withheld
together with the others that were found beside it, so its figure is that of its company too.
"""

from __future__ import annotations

from mia.statistics import newcombe
from mia.types import Noun

ENOUGH = 10
"""Runs of each kind below which nothing is concluded."""


class Exposure(Noun, frozen=True):
    """How runs went that were shown a workflow, and those from which it was withheld."""

    shown: int = 0
    shown_won: int = 0
    withheld: int = 0
    withheld_won: int = 0


class Uplift(Noun, frozen=True):
    """What showing adds to the share of right answers, with its 95 % interval."""

    subject: str
    """A workflow's id; `store` for memory as a whole."""
    exposure: Exposure
    uplift: float | None
    """None while one side has no runs."""
    low: float
    high: float

    @property
    def harmful(self) -> bool:
        """Whether it surely costs answers: enough runs of each kind, and the interval below 0."""
        enough = min(self.exposure.shown, self.exposure.withheld) >= ENOUGH
        return enough and self.high < 0


def uplift(subject: str, exposure: Exposure) -> Uplift:
    """The uplift that an exposure shows."""
    won = exposure.shown_won, exposure.withheld_won
    runs = exposure.shown, exposure.withheld
    low, high = newcombe(won, runs)
    apart = None if 0 in runs else won[0] / runs[0] - won[1] / runs[1]
    return Uplift(subject=subject, exposure=exposure, uplift=apart, low=low, high=high)
