"""Whether a method gets better with use: by position in its stream, and by how often it has met the
family of a question before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mia.report.scores import Score, accuracy, by_method
from mia.statistics import Share
from mia.types import Noun

_POINTS = 50
"""Of a curve; more cannot be told apart in a figure."""
_NARROWEST = 10
_EXACTLY = 5
"""Occurrences that stand for themselves; later ones go together in bins twice as wide each."""


class Point(Noun, frozen=True):
    """How a method stands after so many questions of its stream."""

    position: int
    cumulative: Share
    """Over the stream so far."""
    window: float | None
    """Over the last questions only; None while there are not as many."""


class Curve(Noun, frozen=True):
    """One method along its stream, over all seeds."""

    method: str
    window: int
    """Positions."""
    points: tuple[Point, ...]


class Bin(Noun, frozen=True):
    """The questions whose family is met for the first-th to the last-th time."""

    first: int
    last: int
    accuracy: Share

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}–{self.last}"


class Practice(Noun, frozen=True):
    """One method, by how often it has met the family of the question."""

    method: str
    bins: tuple[Bin, ...]


def curves(scores: Sequence[Score]) -> tuple[Curve, ...]:
    """The learning curve of each method."""
    length = max((score.position for score in scores), default=0)
    places = sorted({max(1, round(length * k / _POINTS)) for k in range(1, _POINTS + 1)})
    window = max(_NARROWEST, round(length / 5))
    return tuple(_curve(method, of, places, window) for method, of in by_method(scores).items())


def _curve(method: str, scores: list[Score], places: Sequence[int], window: int) -> Curve:
    """A position that not all seeds have reached counts for those that have."""
    first, last = (end(score.position for score in scores) for end in (min, max))
    return Curve(
        method=method,
        window=window,
        points=tuple(
            Point(
                position=place,
                cumulative=accuracy([s for s in scores if s.position <= place]),
                window=_recent(scores, place, window),
            )
            for place in places
            if first <= place <= last
        ),
    )


def _recent(scores: list[Score], place: int, window: int) -> float | None:
    recent = [score for score in scores if place - window < score.position <= place]
    return accuracy(recent).value if place >= window else None


def practice(scores: Sequence[Score]) -> tuple[Practice, ...]:
    """The accuracy of each method by occurrence of the family; nothing where no question has a
    family."""
    met = [(score, score.occurrence) for score in scores if score.occurrence is not None]
    most = max((occurrence for _, occurrence in met), default=0)
    found: list[Practice] = []
    for method, of in by_method(score for score, _ in met).items():
        met_so = tuple(
            Bin(first=first, last=last, accuracy=accuracy(within))
            for first, last in bins(most)
            if (within := [s for s in of if first <= (s.occurrence or 0) <= last])
        )
        found.append(Practice(method=method, bins=met_so))
    return tuple(found)


def bins(most: int) -> Iterator[tuple[int, int]]:
    """The first and the last occurrence of each bin, up to so many."""
    yield from ((number, number) for number in range(1, min(most, _EXACTLY) + 1))
    first, width = _EXACTLY + 1, _EXACTLY
    while first <= most:
        yield first, min(most, first + width - 1)
        first, width = first + width, 2 * width
