"""The first stage: how colours lie in a picture, as 48 numbers.

The picture is squeezed into 8 x 8 places of Lab. Lightness is taken relative to its mean and
spread, colour relative to its strength, so that brightness, contrast and saturation matter little;
then the slow waves of each channel are kept (as MPEG-7's colour layout does). A picture is indexed
by 23 windows of it, so that a part of it finds the whole, and a query asks with 8 views, so that it
may be turned a little, or mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mia.image_search.pixels import Floats, Pixels, Transform, lab, view

_GRID = 8
LIGHT, _COLOUR = 28, 10
"""Waves that are kept of lightness and of each colour axis."""
DIMENSIONS = LIGHT + 2 * _COLOUR
_COLOUR_WEIGHT = 2.0
_FLAT_LIGHT, _FLAT_COLOUR = 6.0, 12.0
"""Spreads below these count as none: noise in a plain surface is no layout."""
_VIEW = 32
"""Pixels at which a view is taken."""


def _windows() -> Iterator[tuple[float, float, float]]:
    """Left, top and share of each side."""
    yield 0.0, 0.0, 1.0
    for share, places in ((0.85, 2), (0.7, 3), (0.55, 3)):
        for row in range(places):
            for column in range(places):
                room = (1 - share) / (places - 1)
                yield column * room, row * room, share


def _within(left: float, top: float, share: float) -> Transform:
    """From places in a window to places in the picture."""
    return np.array(
        [[share, 0, 2 * left + share - 1], [0, share, 2 * top + share - 1], [0, 0, 1.0]]
    )


WINDOWS = np.stack([_within(*window) for window in _windows()])

_VIEWS = ((0, 1.0), (0, 0.85), (9, 0.85), (-9, 0.85), (18, 0.75), (-18, 0.75))
"""Degrees a query is turned by, and the share of it that is looked at."""
_MIRRORED_VIEWS = ((0, 1.0), (0, 0.85))
MIRRORED = len(_VIEWS)
"""Views from this one on are mirrored."""


def _waves() -> tuple[Floats, list[tuple[int, int]]]:
    """The cosine basis, and its pairs from slow to fast."""
    grid = np.arange(_GRID)
    basis = np.cos(np.pi * (grid[None, :] + 0.5) * grid[:, None] / _GRID) * math.sqrt(2 / _GRID)
    basis[0] /= math.sqrt(2)
    pairs = [(row, column) for row in range(_GRID) for column in range(_GRID)]
    return basis.astype(np.float32), sorted(pairs, key=lambda pair: (sum(pair), pair))


_BASIS, _PAIRS = _waves()
_ROWS, _COLUMNS = (np.array(side) for side in zip(*_PAIRS, strict=True))


def layout(pixels: Pixels) -> Floats:
    """A unit vector, [DIMENSIONS]."""
    channels = lab(pixels, _GRID)
    light, colour = channels[..., 0], channels[..., 1:]
    light = (light - light.mean()) / (light.std() + _FLAT_LIGHT)
    strength = float(np.sqrt((colour**2).sum(axis=-1).mean())) + _FLAT_COLOUR
    colour = colour * (_COLOUR_WEIGHT / strength)
    parts = [_slow(light, LIGHT), *(_slow(colour[..., axis], _COLOUR) for axis in (0, 1))]
    joined = np.concatenate(parts)
    return joined / (np.linalg.norm(joined) + 1e-6)


def _slow(channel: Floats, count: int) -> Floats:
    return (_BASIS @ channel @ _BASIS.T)[_ROWS[:count], _COLUMNS[:count]]


def windows(pixels: Pixels) -> Floats:
    """What a picture is indexed by, [WINDOWS, DIMENSIONS]."""
    return np.stack([layout(_cut(pixels, window)) for window in WINDOWS])


def _cut(pixels: Pixels, window: Transform) -> Pixels:
    height, width = pixels.shape[:2]
    left, top = (window[0, 2] - window[0, 0] + 1) / 2, (window[1, 2] - window[1, 1] + 1) / 2
    x, y = int(left * width), int(top * height)
    right, bottom = int((left + window[0, 0]) * width), int((top + window[1, 1]) * height)
    return pixels[y : max(y + 2, bottom), x : max(x + 2, right)]


def views(pixels: Pixels) -> tuple[Floats, Transform]:
    """What a query asks with, [views, DIMENSIONS], and for each view the transform from the query's
    places to the view's, [views, 3, 3]."""
    height, width = pixels.shape[:2]
    mirror = np.diag([-1.0, 1.0, 1.0])
    seen = [_turned(degrees, share, width / height) for degrees, share in _VIEWS]
    seen += [mirror @ _turned(turn, share, width / height) for turn, share in _MIRRORED_VIEWS]
    asked = np.stack([layout(view(pixels, each, _VIEW)) for each in seen])
    return asked, np.linalg.inv(np.stack(seen))


def _turned(degrees: float, share: float, aspect: float) -> Transform:
    """From places in a turned view to places in a picture, which is `aspect` times as wide as
    high."""
    cos, sin = math.cos(math.radians(degrees)) * share, math.sin(math.radians(degrees)) * share
    return np.array([[cos, -sin / aspect, 0], [sin * aspect, cos, 0], [0, 0, 1.0]])
