"""The second stage's other half: keypoints that match, and that one transform explains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mia.image_search.pixels import Floats, Pixels, Transform, affine, keypoints

MOST = 300
"""Keypoints of a picture."""
BINS = 128
_BYTE = 512
"""Rows of unit length have entries of 0.09 on average, and seldom one above 0.5."""
_RATIO = 0.85
"""A match whose rival is nearly as near is no match (Lowe, 2004; milder than his 0.8, since the
transform sorts out what is wrong)."""
_BY_CHANCE = 5
"""So many matches agree on some transform between any two pictures."""


def _mirrored_bins() -> NDArray[np.intp]:
    """SIFT's 4 x 4 places by 8 directions, as the mirror shows them: a keypoint's own direction
    stays the first axis, the other one is reversed."""
    bins = np.arange(BINS).reshape(4, 4, 8)
    return bins[::-1, :, (-np.arange(8)) % 8].reshape(-1)


_MIRRORED = _mirrored_bins()


@dataclass(frozen=True, slots=True)
class Points:
    """The keypoints of a picture."""

    places: Floats
    """[points, 2]"""
    looks: Floats
    """Unit rows, [points, BINS]."""

    @property
    def mirrored(self) -> Points:
        """The same keypoints as they look in the mirror image."""
        return Points(places=self.places, looks=self.looks[:, _MIRRORED])


def points(pixels: Pixels) -> Points:
    """The strongest keypoints."""
    places, looks = keypoints(pixels, MOST)
    return Points(places=places, looks=looks)


def packed(looks: Floats) -> Pixels:
    """Looks in a byte an entry."""
    return np.clip(looks * _BYTE, 0, 255).round().astype(np.uint8)


def unpacked(looks: Pixels) -> Floats:
    """Looks out of bytes."""
    rows = looks.astype(np.float32)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)


def agreed(query: Points, other: Points) -> tuple[int, Transform | None]:
    """How many matches one transform explains beyond what chance does, and that transform from the
    query's places to the other's."""
    if len(query.looks) < 4 or len(other.looks) < 4:
        return 0, None
    alike = query.looks @ other.looks.T
    best = alike.argmax(axis=1)
    rows = np.arange(len(alike))
    first = alike[rows, best].copy()
    mutual = alike.argmax(axis=0)[best] == rows
    alike[rows, best] = -1
    second = alike.max(axis=1)
    clear = np.sqrt(np.maximum(0, 2 - 2 * first)) < _RATIO * np.sqrt(np.maximum(0, 2 - 2 * second))
    taken = mutual & clear
    count, transform = affine(query.places[taken], other.places[best[taken]])
    return max(0, count - _BY_CHANCE), transform
