"""What is asked of OpenCV, with types. Everything is RGB or CIE Lab, rows first.

Places in a picture are given as (x, y) from -1 to 1, whatever its size and shape; a transform is a
3 x 3 matrix between such places.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mia.errors import InputError, MissingError, adding

Pixels = NDArray[np.uint8]
Floats = NDArray[np.floating[Any]]
Transform = NDArray[np.floating[Any]]

SIDE = 256
"""Pixels of the longer side at which pictures are compared."""
_SCALE, _SHEAR = (0.15, 2.0), 2.5
"""A transform that shrinks or stretches beyond this is chance, not the same picture."""
_NEAR = 0.04
"""How far off a matched point may lie: 5 pixels of 256."""


@cache
def _cv2() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingError(f"image search needs OpenCV; run: {adding('images')}") from error
    return cv2


def opened(jpeg: bytes) -> Pixels:
    """A picture in its plain form (`mia.pictures`), at the size of comparison."""
    cv2 = _cv2()
    pixels: Pixels | None = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise InputError("the picture is damaged")
    height, width = pixels.shape[:2]
    factor = SIDE / max(height, width)
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, size, interpolation=kind)


def squeezed(pixels: Pixels, side: int) -> Pixels:
    """The picture squeezed into a square."""
    cv2 = _cv2()
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def lab(pixels: Pixels, side: int) -> Floats:
    """The picture squeezed into a square, in Lab: lightness 0 to 100, two colour axes."""
    cv2 = _cv2()
    square = squeezed(pixels, side)
    return cv2.cvtColor(square.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


_BYTES = np.array((2.55, 1, 1), np.float32)
_MIDDLE = np.array((0, 128, 128), np.float32)


def packed(values: Floats) -> Pixels:
    """Lab in a byte a channel."""
    return np.clip(values * _BYTES + _MIDDLE, 0, 255).round().astype(np.uint8)


def unpacked(values: Pixels) -> Floats:
    """Lab out of bytes."""
    return (values - _MIDDLE) / _BYTES


def shrunk(values: Floats, side: int) -> Floats:
    """A square picture made smaller, each pixel the mean of what it stands for."""
    cv2 = _cv2()
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)


def slopes(values: Floats) -> tuple[Floats, Floats]:
    """How the values change with x and with y, per unit of place."""
    cv2 = _cv2()
    half = values.shape[1] / 2
    across = cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=half / 8)
    down = cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=half / 8)
    return across, down


def view(pixels: Pixels, seen: Transform, side: int) -> Pixels:
    """A square of what stands at `seen` of each of its places; beyond the edge the edge goes on."""
    cv2 = _cv2()
    height, width = pixels.shape[:2]
    step = max(width, height) * float(np.abs(np.linalg.det(seen[:2, :2]))) ** 0.5 / side
    smooth = cv2.GaussianBlur(pixels, (0, 0), step / 3) if step > 1.5 else pixels
    place = _places(side, side)
    moved = np.linalg.inv(_places(width, height)) @ seen @ place
    return cv2.warpAffine(
        smooth, moved[:2], (side, side), flags=_inwards(), borderMode=cv2.BORDER_REPLICATE
    )


def on_pixels(seen: Transform, source: int, target: int) -> Transform:
    """A transform between places as one from pixels of a square target to those of a square
    source, [2, 3]."""
    # the product of three matrices, written out: it is wanted thousands of times a query
    ratio, half = source / target, source / 2
    moved = seen[:2] * (ratio, ratio, half)
    moved[:, 2] += (1 / target - 1) * half * (seen[:2, 0] + seen[:2, 1]) + half - 0.5
    return moved


def warped(source: Floats, moved: Transform, into: Floats) -> None:
    """Fills a square with what stands at `moved` of each of its pixels, without smoothing."""
    cv2 = _cv2()
    size = (into.shape[1], into.shape[0])
    cv2.warpAffine(source, moved, size, dst=into, flags=_inwards(), borderMode=cv2.BORDER_REPLICATE)


@cache
def _inwards() -> int:
    cv2 = _cv2()
    return cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _places(width: int, height: int) -> Transform:
    """From pixels to places."""
    return np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])


def keypoints(pixels: Pixels, most: int) -> tuple[Floats, Floats]:
    """Places of SIFT keypoints, [points, 2], and what they look like as unit rows, [points, 128]
    (RootSIFT: Arandjelovic and Zisserman, 2012)."""
    cv2 = _cv2()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT_create(nfeatures=most, contrastThreshold=0.02)
    found, looks = sift.detectAndCompute(grey, None)
    if looks is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    height, width = grey.shape
    places = np.array([point.pt for point in found], np.float32)[:most]
    looks = looks[:most]
    rows = np.sqrt(looks / (looks.sum(axis=1, keepdims=True) + 1e-6))
    return places * (2 / width, 2 / height) - 1, rows


def affine(source: Floats, target: Floats) -> tuple[int, Transform | None]:
    """The transform that most of the matched places agree on, and how many do. None, and zero,
    where it is none that a picture of the same thing would need."""
    cv2 = _cv2()
    if len(source) < 4:
        return 0, None
    cv2.setRNGSeed(0)  # the same pictures give the same answer
    found, agree = cv2.estimateAffine2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_NEAR, maxIters=500
    )
    if found is None:
        return 0, None
    most, least = np.linalg.svd(found[:, :2], compute_uv=False)
    if least < _SCALE[0] or most > _SCALE[1] or most > _SHEAR * least:
        return 0, None
    return int(agree.sum()), np.vstack([found, (0, 0, 1)])
