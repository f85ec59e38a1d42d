"""Names beside points, where they cover neither a point nor each other."""

# matplotlib takes keyword arguments without saying which
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEAR, _FAR, _STEP = 7, 140, 6
"""Points (1/72 inch) from a mark to its name: at least, at most, and tried in between."""
_CHAR, _LINE = 6.8, 11.0
"""Width of a letter and height of a line in points, generously: the page has a font of its own."""
_MARK = 5.0
"""Half the side of a mark, in points."""
_LEADER = 16
"""Points from which on a line says whose name it is."""
_WAYS = (
    (1, 0, "left"), (-1, 0, "right"), (1, 1, "left"), (1, -1, "left"), (-1, 1, "right"),
    (-1, -1, "right"), (0, 1, "center"), (0, -1, "center"), (0, -1, "right"), (0, 1, "right"),
)  # fmt: skip
"""Where a name may go from its mark (right, up), and which of its ends is there."""


class _Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


class Mark(NamedTuple):
    """A point with its name and its interval, in the units of its axes."""

    name: str
    x: float
    y: float
    low: float
    high: float


def place(axes: Axes, marks: Sequence[Mark], colour: str) -> None:
    """Writes each name at the free place that is nearest to its point, with a line of this colour
    where that is not near; where none is free, to the right of it. The axes must have their final
    scales."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    corners = axes.get_window_extent().get_points() * scale
    edge = _Box(corners[0][0], corners[0][1], corners[1][0] + _NEAR, corners[1][1])
    taken = [box for mark in marks for box in _covered(axes, mark, scale)]
    for mark in marks:
        x, y = axes.transData.transform((mark.x, mark.y)) * scale
        dx, dy, end, box = _free(mark.name, (x, y), taken, edge)
        taken.append(box)
        far = max(abs(dx), abs(dy)) > _LEADER
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6} if far else None
        axes.annotate(
            mark.name,
            (mark.x, mark.y),
            (dx, dy),
            textcoords="offset points",
            ha=end,
            va="center",
            arrowprops=line,
        )


def _covered(axes: Axes, mark: Mark, scale: float) -> tuple[_Box, _Box]:
    """Where a mark and its interval are, in points."""
    x, y = axes.transData.transform((mark.x, mark.y)) * scale
    low = axes.transData.transform((mark.x, mark.low))[1] * scale
    high = axes.transData.transform((mark.x, mark.high))[1] * scale
    return _Box(x - _MARK, y - _MARK, x + _MARK, y + _MARK), _Box(x - 1, low, x + 1, high)


def _free(
    text: str, at: tuple[float, float], taken: Sequence[_Box], edge: _Box
) -> tuple[float, float, str, _Box]:
    """How far from its point a name may stand, with which end there, and what it covers."""
    x, y = at
    for far in range(_NEAR, _FAR, _STEP):
        for right, up, end in _WAYS:
            dx, dy = right * far, up * (far + (_NEAR if right == 0 else 0))
            box = _box(text, x + dx, y + dy, end)
            inside = edge.left <= box.left and box.right <= edge.right
            inside = inside and edge.bottom <= box.bottom and box.top <= edge.top
            if inside and not any(box.covers(other) for other in taken):
                return dx, dy, end, box
    return _NEAR, 0, "left", _box(text, x + _NEAR, y, "left")


def _box(text: str, x: float, y: float, end: str) -> _Box:
    width = _CHAR * len(text)
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[end] * width
    return _Box(left, y - _LINE / 2, left + width, y + _LINE / 2)
