"""The second stage: lays a query over each of a few pictures and says how well the pixels agree.

Inverse compositional Lucas-Kanade (Baker and Matthews, 2004) over all affine transforms and three
channels at once: what depends on the query alone is computed once a query, and all candidates take
each step together. Lightness and colour are normalised over what overlaps, so that a picture made
brighter, flatter or greyer still agrees. K candidates, P places, C channels.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np

from mia.image_search.pixels import (
    Floats,
    Pixels,
    Transform,
    lab,
    on_pixels,
    shrunk,
    slopes,
    warped,
)

STORED = 96
"""Pixels of a side at which pictures of the index are kept for this."""
_LEVELS = (24, 48, STORED)
_COLOUR_WEIGHT = 1.5
_FLAT_LIGHT, _FLAT_COLOUR = 4.0, 10.0
_STIFF = 0.06
"""Holds back the directions in which a plain picture does not say where it lies."""
_PLAIN = 0.02
"""Spread that counts as none: two plain pictures agree, and it says nothing."""
_LONGEST_STEP = 0.3
_LEAST_OVERLAP = 0.3
_OVERLAP_POWER = 0.25


class Candidate:
    """A picture of the index, at several sizes."""

    def __init__(self, stored: Floats) -> None:
        """`stored`: Lab, [STORED, STORED, 3]."""
        self.levels = (*(shrunk(stored, side) for side in _LEVELS[:-1]), stored)


class Aligner:
    """One query at one size."""

    def __init__(self, pixels: Pixels, side: int) -> None:
        self._side = side
        axis = (np.arange(side, dtype=np.float32) + 0.5) * (2 / side) - 1
        x, y = (plane.reshape(-1) for plane in np.meshgrid(axis, axis))
        self._places_3P = np.stack([x, y, np.ones_like(x)])
        square = lab(pixels, side)
        self._query_CP = _flat(square)
        self._squared_2P = _squared(self._query_CP[None])[0]
        everywhere = np.ones((1, side * side), np.float32)
        template = self._normalised_query(everywhere)[0].T.reshape(square.shape)
        across, down = (_flat(slope) for slope in slopes(template))
        moves = [across * x, across * y, across, down * x, down * y, down]
        moves_CP6 = np.stack(moves, axis=-1)
        self._moves = moves_CP6.reshape(-1, 6)
        squares = np.einsum("cpi,cpj->pij", moves_CP6, moves_CP6)
        self._squares_P36 = squares.reshape(-1, 36)

    def refined(self, candidates: list[Candidate], transforms: Transform, steps: int) -> Transform:
        """Better transforms from the query's places to the candidates', [K, 3, 3]."""
        count = len(candidates)
        stiff = np.eye(6) * _STIFF * self._side**2
        for _ in range(steps):
            mask_KP, query_KCP, seen_KCP = self._laid(candidates, transforms)
            seen_KCP -= query_KCP
            seen_KCP *= mask_KP[:, None]
            curved = (mask_KP @ self._squares_P36).reshape(-1, 6, 6) + stiff
            pull = seen_KCP.reshape(count, -1) @ self._moves
            change = _solved(curved, pull).reshape(-1, 2, 3)
            step = np.tile(np.eye(3), (count, 1, 1))
            step[:, :2] += np.clip(change, -_LONGEST_STEP, _LONGEST_STEP)
            transforms = transforms @ np.linalg.inv(step)
        return transforms

    def agreement(self, candidates: list[Candidate], transforms: Transform) -> Floats:
        """How well the pixels agree, in all and in lightness alone, [2, K]: a correlation, up to 1
        for the same picture, less where little of the query overlaps or where it is plain."""
        mask_KP, query_KCP, seen_KCP = self._laid(candidates, transforms)
        both_KC = np.einsum("kcp,kcp,kp->kc", query_KCP, seen_KCP, mask_KP)
        one_KC = np.einsum("kcp,kcp,kp->kc", query_KCP, query_KCP, mask_KP)
        other_KC = np.einsum("kcp,kcp,kp->kc", seen_KCP, seen_KCP, mask_KP)
        share = mask_KP.mean(axis=1)
        plain = _PLAIN * mask_KP.sum(axis=1) + 1e-6
        agreed: list[Floats] = []
        for channels in (slice(0, 3), slice(0, 1)):
            both, one, other = (
                sums[:, channels].sum(axis=1) for sums in (both_KC, one_KC, other_KC)
            )
            agreed.append(both / (np.sqrt(one * other) + plain) * share**_OVERLAP_POWER)
        return np.where(share < _LEAST_OVERLAP, -1, np.stack(agreed))

    def _laid(
        self, candidates: list[Candidate], transforms: Transform
    ) -> tuple[Floats, Floats, Floats]:
        """Where query and candidates overlap, and both normalised over that."""
        places_K2P = transforms[:, :2].astype(np.float32) @ self._places_3P
        mask_KP = (np.abs(places_K2P).max(axis=1) <= 1).astype(np.float32)
        seen = np.empty((len(candidates), self._side, self._side, 3), np.float32)
        scales = np.linalg.norm(transforms[:, :2, :2], axis=1).max(axis=1)
        needed = np.minimum(0.9 * self._side / scales, STORED)
        levels = [bisect_left(_LEVELS, float(side)) for side in needed]
        for at, (candidate, level) in enumerate(zip(candidates, levels, strict=True)):
            moved = on_pixels(transforms[at], _LEVELS[level], self._side)
            warped(candidate.levels[level], moved, seen[at])
        seen_KCP = np.ascontiguousarray(seen.reshape(len(candidates), -1, 3).swapaxes(1, 2))
        query_KCP = self._normalised_query(mask_KP)
        return mask_KP, query_KCP, _normalised(seen_KCP, mask_KP)

    def _normalised_query(self, mask_KP: Floats) -> Floats:
        """By its sums over each mask, which are one multiplication."""
        count = mask_KP.sum(axis=1) + 1e-6
        mean = mask_KP @ self._query_CP[0] / count
        squared = mask_KP @ self._squared_2P.T / count[:, None]
        spread = np.sqrt(np.maximum(0, squared[:, 0] - mean**2))
        return _scaled(self._query_CP[None], mean, spread, np.sqrt(squared[:, 1]))


def _solved(curved: Floats, pull: Floats) -> Floats:
    solved: Any = np.linalg.solve(curved, pull[..., None])
    return solved[..., 0]


def _flat(square: Floats) -> Floats:
    """Channels first, [C, P]."""
    return np.ascontiguousarray(square.reshape(-1, 3).T)


def _squared(lab_KCP: Floats) -> Floats:
    """Lightness squared and the strength of colour squared, [K, 2, P]."""
    squares = lab_KCP * lab_KCP
    squares[:, 1] += squares[:, 2]
    return squares[:, :2]


def _normalised(lab_KCP: Floats, mask_KP: Floats) -> Floats:
    """Lightness relative to its mean and spread, colour relative to its strength."""
    count = mask_KP.sum(axis=1) + 1e-6
    mean = np.einsum("kp,kp->k", lab_KCP[:, 0], mask_KP) / count
    squared = np.einsum("kcp,kp->kc", _squared(lab_KCP), mask_KP) / count[:, None]
    spread = np.sqrt(np.maximum(0, squared[:, 0] - mean**2))
    return _scaled(lab_KCP, mean, spread, np.sqrt(squared[:, 1]))


def _scaled(lab_KCP: Floats, mean: Floats, spread: Floats, strength: Floats) -> Floats:
    light = 1 / (spread + _FLAT_LIGHT)
    colour = _COLOUR_WEIGHT / (strength + _FLAT_COLOUR)
    scale_KC = np.stack([light, colour, colour], axis=1)
    nothing = np.zeros_like(mean)
    shift_KC = np.stack([-mean * light, nothing, nothing], axis=1)
    return lab_KCP * scale_KC[..., None] + shift_KC[..., None]
