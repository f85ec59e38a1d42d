"""How sure it is that two pictures show the same, as one number; and where chance ends."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mia.types import Noun

_ROUND = 0.05
"""Agreement beyond 1 - this is taken for the same: JPEG alone costs as much."""
_POINTS, _AREA, _MIRROR = 0.8, 0.1, 0.05
_USUAL_FLOOR, _USUAL_WEIGHT = 3.0, 20
"""Where chance ends in an index that is too small to tell: as if seen by so many queries."""
_GREY = 0.4
"""What it takes away that only lightness agrees."""
_LONGEST_LEAD = 1.5
_CHANCE = 0.1
_STEEPNESS = 2.0


class Signs(Noun, frozen=True):
    """What speaks for two pictures showing the same."""

    layout: float
    """Likeness of the best view and window, -1 to 1."""
    agreement: float
    """Of the pixels when laid over each other, up to 1."""
    light: float
    """The same of their lightness alone."""
    points: int
    """Keypoints that agree beyond chance."""
    area: float
    """How much of the indexed picture the query shows: 1 for all of it."""
    mirrored: bool = False


def evidence(signs: Signs) -> float:
    """About a log-likelihood: it adds up, and has no upper end.

    An agreement of .98 instead of .96 says as much as .8 instead of .6, hence the logarithm. Tiny
    parts of pictures are like each other, hence the area; some flags are mirror images.
    """
    zoom = math.log(min(10.0, max(0.01, signs.area)))
    return (
        max(_surprise(signs.agreement), _surprise(signs.light) - _GREY)
        + _POINTS * math.log1p(signs.points)
        + signs.layout
        - _AREA * zoom * zoom
        - _MIRROR * signs.mirrored
    )


def _surprise(agreement: float) -> float:
    return -math.log(1 + _ROUND - min(1.0, agreement))


def lead(best: float, next: float | None) -> float:
    """What it adds that the best stands out from the next: among strangers, several are equally
    unlike."""
    return 0.0 if next is None else min(_LONGEST_LEAD, best - next)


def floor_of(strangers: Sequence[float]) -> float:
    """The evidence that one of ten queries about something else reaches, given what some such
    queries reached at best. They ask about the same kinds of things as the index has: what is of
    another kind hardly ever reaches it."""
    if not strangers:
        return _USUAL_FLOOR
    reached = sorted(strangers)[min(len(strangers) - 1, int(len(strangers) * (1 - _CHANCE)))]
    count = len(strangers)
    return (reached * count + _USUAL_FLOOR * _USUAL_WEIGHT) / (count + _USUAL_WEIGHT)


def score(found: float, floor: float) -> float:
    """From 0 to 1, and one half where chance ends."""
    return 1 / (1 + math.exp(-_STEEPNESS * max(-50.0, min(50.0, found - floor))))
