"""Finds what a query shows in an index: a fast look at all pictures, a close one at a few."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mia.image_search.alignment import Aligner, Candidate
from mia.image_search.evidence import Signs, evidence, lead
from mia.image_search.layouts import LIGHT, MIRRORED, WINDOWS, views
from mia.image_search.pixels import Floats, Pixels, Transform
from mia.image_search.points import agreed, points
from mia.image_search.stored import Stored

_CLOSE, _CLOSE_BY_LIGHT = 16, 8
"""Pictures looked at closely: those whose layout is most alike, and more of those where the layout
of lightness is, for queries that lost their colours."""
_CLOSER = 8
"""Of these, pictures laid over the query at the finer size."""
_COARSE, _FINE = 24, 48
"""Pixels of a side."""
_COARSE_STEPS, _FINE_STEPS = 6, 4
_AT_ONCE = 4096
"""Pictures compared by one multiplication, which takes 36 MB."""
_DARK = 1e-3
"""The layout of lightness of a plain picture is no longer than that: it is like nothing."""
_MIRROR = 0.02
"""What a mirrored view must have over the others: what is symmetric is not mirrored."""
_GREY = 0.05
"""What it takes away from an agreement that it is one of lightness alone."""


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
    light: float = -1.0
    """Agreement of lightness alone."""


def ranked(stored: Stored, pixels: Pixels, without: Collection[int] = ()) -> list[Match]:
    """The best matches first. Rows in `without` are not looked at."""
    close = _looked_at(stored, pixels, without)
    if not close:
        return []
    _lay(Aligner(pixels, _COARSE), close, _COARSE_STEPS)
    close.sort(key=lambda one: evidence(_signs(one)), reverse=True)
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
    query = points(pixels)
    mirrored = query.mirrored
    close: dict[int, _Close] = {}
    for hint in hints(stored, asked, without):
        start = WINDOWS[hint.window] @ seen[hint.view]
        if hint.row in close:
            close[hint.row].hypotheses.append(start)
            continue
        flipped = hint.view >= MIRRORED
        count, transform = agreed(mirrored if flipped else query, stored.points(hint.row))
        hypotheses = [start] if transform is None else [start, transform]
        candidate = Candidate(stored.pixels(hint.row))
        close[hint.row] = _Close(hint.row, hint.likeness, hypotheses, candidate, count)
    return list(close.values())


class Hint(NamedTuple):
    """A picture that may show what the query shows, and by which view and window."""

    row: int
    likeness: float
    view: int
    window: int


def hints(stored: Stored, asked: Floats, without: Collection[int]) -> list[Hint]:
    """The most alike by the whole layout, then by that of lightness."""
    whole, light = _first(stored, asked)
    hints: list[Hint] = []
    for (likeness_N, window_N, view_N), count in ((whole, _CLOSE), (light, _CLOSE_BY_LIGHT)):
        likeness_N[list(without)] = -np.inf
        rows = [int(row) for row in np.argsort(-likeness_N)[:count] if np.isfinite(likeness_N[row])]
        hints += [
            Hint(row, float(likeness_N[row]), int(view_N[row]), int(window_N[row])) for row in rows
        ]
    return hints


def _first(stored: Stored, asked: Floats) -> tuple[Floats, Floats]:
    """For every picture its likeness to the query, and by which window and view, [3, N]: by the
    whole layout, and by that of lightness alone."""
    light = asked[:, :LIGHT] / (np.linalg.norm(asked[:, :LIGHT], axis=1, keepdims=True) + _DARK)
    parts: list[tuple[Floats, Floats]] = []
    for start in range(0, len(stored), _AT_ONCE):
        some = stored.layouts[start : start + _AT_ONCE].astype(np.float32)
        rows = some.reshape(-1, some.shape[-1])
        lengths = np.sqrt(np.einsum("nd,nd->n", rows[:, :LIGHT], rows[:, :LIGHT])) + _DARK
        by_light = (rows[:, :LIGHT] @ light.T) / lengths[:, None]
        parts.append((_best_of(rows @ asked.T, len(some)), _best_of(by_light, len(some))))
    whole, lights = zip(*parts, strict=True)
    return np.concatenate(whole, axis=1), np.concatenate(lights, axis=1)


def _best_of(alike: Floats, pictures: int) -> Floats:
    """Of the likenesses of windows to views the best of each picture, [3, pictures]."""
    alike[:, MIRRORED:] -= _MIRROR
    pairs = alike.reshape(pictures, -1)
    best = pairs.argmax(axis=1)
    window, view = np.divmod(best, alike.shape[1])
    return np.stack([pairs[np.arange(pictures), best], window, view])


def _lay(aligner: Aligner, close: list[_Close], steps: int) -> None:
    """Lays the query over each picture by each of its hypotheses, and keeps the better one."""
    owners = [one for one in close for _ in one.hypotheses]
    candidates = [one.candidate for one in owners]
    starts = np.stack([start for one in close for start in one.hypotheses])
    transforms = aligner.refined(candidates, starts, steps)
    agreements = aligner.agreement(candidates, transforms)
    for one in close:
        one.agreement = one.light = -1.0
    for one, transform, agreement, light in zip(owners, transforms, *agreements, strict=True):
        if max(agreement, light - _GREY) >= max(one.agreement, one.light - _GREY):
            one.agreement, one.light, one.hypotheses = float(agreement), float(light), [transform]


def _signs(one: _Close) -> Signs:
    determinant = float(np.linalg.det(one.hypotheses[0]))
    return Signs(
        layout=one.likeness,
        agreement=one.agreement,
        light=one.light,
        points=one.points,
        area=abs(determinant),
        mirrored=determinant < 0,
    )
