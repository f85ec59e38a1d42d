"""Finds what a query shows in an index: a fast look at all pictures, a close one at a few."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mia.image_search.alignment import Aligner, Candidate
from mia.image_search.evidence import Signs, evidence, lead
from mia.image_search.layouts import MIRRORED, WINDOWS, views
from mia.image_search.pixels import Floats, Pixels, Transform
from mia.image_search.points import agreed, points
from mia.image_search.stored import Stored

_CLOSE = 24
"""Pictures looked at closely."""
_CLOSER = 8
"""Of these, pictures laid over the query at the finer size."""
_COARSE, _FINE = 24, 48
"""Pixels of a side."""
_COARSE_STEPS, _FINE_STEPS = 6, 4
_AT_ONCE = 4096
"""Pictures compared by one multiplication, which takes 36 MB."""
_MIRROR = 0.02
"""What a mirrored view must have over the others: what is symmetric is not mirrored."""
_POINTS = 0.1
"""What keypoints add to the coarse agreement."""


class Match(NamedTuple):
    """A picture of the index, by its row, and how sure it is."""

    row: int
    evidence: float


class Near(NamedTuple):
    """A picture of the index, by its row, and how alike an encoder finds it."""

    row: int
    likeness: float


@dataclass(slots=True)
class _Close:
    """A picture that is looked at closely."""

    row: int
    likeness: float
    """Of the layouts."""
    hypotheses: list[Transform]
    """From the query's places to its own."""
    candidate: Candidate
    points: int
    """Keypoints that agree beyond chance."""
    agreement: float = -1.0


def ranked(stored: Stored, pixels: Pixels, without: Collection[int] = ()) -> list[Match]:
    """The best matches first. Rows in `without` are not looked at."""
    close = _looked_at(stored, pixels, without)
    if not close:
        return []
    _lay(Aligner(pixels, _COARSE), close, _COARSE_STEPS)
    close.sort(key=lambda one: one.agreement + _POINTS * np.log1p(one.points), reverse=True)
    close = close[:_CLOSER]
    _lay(Aligner(pixels, _FINE), close, _FINE_STEPS)
    matches = [Match(one.row, evidence(_signs(one))) for one in close]
    matches.sort(key=lambda match: match.evidence, reverse=True)
    return [_best(stored, matches), *matches[1:]]


def _best(stored: Stored, matches: list[Match]) -> Match:
    """The best match, surer the more it stands out from the next thing."""
    row, found = matches[0]
    title = stored.rows[row].title
    others = (each.evidence for each in matches if stored.rows[each.row].title != title)
    return Match(row, found + lead(found, next(others, None)))


def nearest(stored: Stored, vector: Floats, without: Collection[int] = ()) -> list[Near]:
    """What an encoder of the user's finds most alike."""
    if stored.vectors is None:
        return []
    likeness_N = stored.vectors @ vector
    likeness_N[list(without)] = -np.inf
    order = np.argsort(-likeness_N)[:_CLOSE]
    return [Near(int(row), float(likeness_N[row])) for row in order if np.isfinite(likeness_N[row])]


def _looked_at(stored: Stored, pixels: Pixels, without: Collection[int]) -> list[_Close]:
    """The pictures whose layouts are most like the query's, with where the query may lie in them:
    as the layouts say, and as the keypoints do."""
    asked, seen = views(pixels)
    likeness_N, view_N, window_N = _first(stored, asked)
    likeness_N[list(without)] = -np.inf
    rows = np.argsort(-likeness_N)[:_CLOSE]
    query = points(pixels)
    mirrored = query.mirrored
    close: list[_Close] = []
    for row in map(int, rows[np.isfinite(likeness_N[rows])]):
        hypotheses = [WINDOWS[int(window_N[row])] @ seen[int(view_N[row])]]
        flipped = np.linalg.det(hypotheses[0]) < 0
        count, transform = agreed(mirrored if flipped else query, stored.points(row))
        if transform is not None:
            hypotheses.append(transform)
        candidate = Candidate(stored.pixels(row))
        close.append(_Close(row, float(likeness_N[row]), hypotheses, candidate, count))
    return close


def _first(stored: Stored, asked: Floats) -> Floats:
    """For every picture its likeness to the query, and by which view and window: [3, N]."""
    parts: list[Floats] = []
    for start in range(0, len(stored), _AT_ONCE):
        some = stored.layouts[start : start + _AT_ONCE].astype(np.float32)
        alike = some.reshape(-1, some.shape[-1]) @ asked.T
        alike[:, MIRRORED:] -= _MIRROR
        alike = alike.reshape(len(some), -1)
        best = alike.argmax(axis=1)
        window, view = np.divmod(best, len(asked))
        parts.append(np.stack([alike[np.arange(len(some)), best], view, window]))
    return np.concatenate(parts, axis=1)


def _lay(aligner: Aligner, close: list[_Close], steps: int) -> None:
    """Lays the query over each picture by each of its hypotheses, and keeps the better one."""
    owners = [one for one in close for _ in one.hypotheses]
    candidates = [one.candidate for one in owners]
    starts = np.stack([start for one in close for start in one.hypotheses])
    transforms = aligner.refined(candidates, starts, steps)
    agreements = aligner.agreement(candidates, transforms)
    for one in close:
        one.agreement = -1.0
    for one, transform, agreement in zip(owners, transforms, agreements, strict=True):
        if agreement >= one.agreement:
            one.agreement, one.hypotheses = float(agreement), [transform]


def _signs(one: _Close) -> Signs:
    determinant = float(np.linalg.det(one.hypotheses[0]))
    return Signs(
        layout=one.likeness,
        agreement=one.agreement,
        points=one.points,
        area=abs(determinant),
        mirrored=determinant < 0,
    )
