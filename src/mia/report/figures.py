"""The figures of a report, drawn with matplotlib: as SVG that takes its colours from the page it
stands in, and as PNG for where no SVG is shown.

The same summary gives the same bytes. Methods are told apart by place and name, the baseline by its
marker as well as by colour, so that nothing hangs on telling colours apart.
"""

# matplotlib takes keyword arguments without saying which
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mia.errors import MissingError, adding
from mia.report import plots, svg
from mia.report.summary import Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 160
"""Of the PNG."""
_STYLE: Mapping[str, object] = {
    "axes.edgecolor": plots.MUTED,
    "axes.labelcolor": plots.INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws alike
    "font.size": 9.0,
    "svg.fonttype": "none",
    "text.color": plots.INK,
    "text.parse_math": False,  # a `$` in a name is no formula
    "xtick.color": plots.MUTED,
    "xtick.labelcolor": plots.INK,
    "ytick.color": plots.MUTED,
    "ytick.labelcolor": plots.INK,
}


class Drawn(NamedTuple):
    """A figure, ready to be shown."""

    name: str
    """Unique in a report, and fit for a file and for an address within it."""
    title: str
    alt: str
    """What one would see, in words."""
    svg: str
    """An element to stand in a page."""
    png: bytes


def figures(summary: Summary) -> tuple[Drawn, ...]:
    """All figures that the summary has something for. Raises MissingError without matplotlib."""
    drawn: list[Drawn] = []
    for name, plot in plots.PLOTS.items():
        if plot.shown(summary):
            drawn.append(_drawn(name, plot.title(summary), plot.alt(summary), plot.draw, summary))
    return tuple(drawn)


def _drawn(
    name: str, title: str, alt: str, draw: Callable[[Summary], Figure], summary: Summary
) -> Drawn:
    with style(name):
        figure = draw(summary)
        vector, pixels = io.StringIO(), io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(vector, format="svg", metadata=nothing)
        figure.savefig(
            pixels, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None}
        )
    return Drawn(name, title, alt, svg.inline(vector.getvalue(), name, title), pixels.getvalue())


@contextmanager
def style(salt: str) -> Generator[None]:
    """Our style, for the block. Names may have letters that its font lacks: browsers have them."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingError(f"figures need matplotlib; run: {adding('eval')}") from error
    # matplotlib takes a salt "none" for no salt
    chosen = {**_STYLE, "svg.hashsalt": f"mia {salt}"}
    with matplotlib.rc_context(chosen), warnings.catch_warnings():  # pyright: ignore[reportArgumentType]
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
