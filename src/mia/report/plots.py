"""What each figure of a report shows, and how it is drawn."""

# matplotlib takes keyword arguments without saying which
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mia.report import sheets
from mia.report.curves import Curve, Practice
from mia.report.labels import Mark, place
from mia.report.rows import Row
from mia.report.summary import Summary
from mia.statistics import Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1a1a1a", "#6b6b6b", "#dcdcdc", "#fefefe"
MAIN, BASE = "#0072b2", "#d55e00"
"""Blue and vermilion: the pair that colour-blind people tell apart best (Okabe and Ito 2008)."""
VARIABLES: Mapping[str, str] = {
    INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", MAIN: "main", BASE: "base"
}  # fmt: skip
"""What a page calls each colour."""
_WIDTH = 7.2
"""Inches, of every figure."""
_ROW = 0.30
_HEAD = 0.8
"""Inches of height for a row of a list, and for its axis."""
_COLUMNS = 3
"""Panels beside each other."""
_PANEL = 1.75
_FLAT = 6
"""Tick labels of a panel that have room beside each other."""
_LONGEST = 26
"""Characters of a name that there is room for."""
_DECADE = 8.0
"""Costs that are so many times apart are drawn on a logarithmic axis."""


class Plot(NamedTuple):
    """One figure."""

    title: Callable[[Summary], str]
    alt: Callable[[Summary], str]
    shown: Callable[[Summary], bool]
    draw: Callable[[Summary], Figure]


def name(text: str) -> str:
    """A name as a label: one line, at most so long, and nothing that a file cannot hold."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    half = _LONGEST // 2  # both ends tell: a method comes first, its evaluation last
    return line if len(line) <= _LONGEST else f"{line[:half]}…{line[1 - half :]}"


def _base(summary: Summary, method: str) -> bool:
    """Whether it is what the others are compared with."""
    return method == summary.baseline and len(summary.rows) > 1


def _blank(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _list(axes: Axes, names: Sequence[str], said: Sequence[str]) -> None:
    """An axis of rows, the first on top: names on the left, figures in words on the right."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for row, text in enumerate(said):
        axes.annotate(text, (1.02, row), xycoords=("axes fraction", "data"), va="center", color=INK)


def _interval(axes: Axes, row: float, value: float, low: float, high: float, base: bool) -> None:
    colour = BASE if base else MAIN
    axes.plot([low, high], [row, row], color=colour, linewidth=1.8, solid_capstyle="butt")
    axes.plot([value], [row], color=colour, marker="s" if base else "o", markersize=6)


def _draw_accuracy(summary: Summary) -> Figure:
    figure = _blank(_HEAD + _ROW * len(summary.rows))
    axes = figure.subplots()
    seeds: dict[str, list[Row]] = {}
    for each in summary.seeds:
        seeds.setdefault(each.method, []).append(each)
    for row, each in enumerate(summary.rows):
        share = each.accuracy
        if share.value is not None:
            base = _base(summary, each.method)
            _interval(axes, row, share.value, share.low, share.high, base)
        alone = [of.accuracy.value or 0.0 for of in seeds.get(each.method, []) if of.done]
        axes.plot(alone, [row + 0.27] * len(alone), color=MUTED, marker="|", linestyle="none")
    _list(
        axes,
        [_status(each) for each in summary.rows],
        [_said(each.accuracy) for each in summary.rows],
    )
    axes.set_xlim(left=0.0)
    axes.set_xlabel("right of all that is done")
    return figure


def _status(row: Row) -> str:
    """The method, and how far it has come where that is not its end."""
    method = name(row.method)
    return method if row.done == row.asked else f"{method} ({row.done} of {row.asked})"


def _said(share: Share) -> str:
    if share.value is None:
        return "nothing done"
    return f"{share.value:.3f} ({share.low:.3f}–{share.high:.3f})"


def _draw_differences(summary: Summary) -> Figure:
    figure = _blank(_HEAD + _ROW * len(summary.comparisons))
    axes = figure.subplots()
    axes.axvline(0.0, color=BASE, linewidth=1.2, linestyle=(0, (4, 2)))
    said: list[str] = []
    for row, each in enumerate(summary.comparisons):
        if each.difference is None:
            said.append("no question in common")
            continue
        _interval(axes, row, each.difference, each.low, each.high, base=False)
        p = sheets.chance(each.p_holm)
        said.append(f"{each.difference:+.3f}, p {p if p.startswith('<') else f'= {p}'}")
    _list(axes, [name(each.method) for each in summary.comparisons], said)
    axes.set_xlabel(f"accuracy less that of {name(summary.baseline)} (dashed), p by Holm")
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many small axes with the same scales."""
    across = min(_COLUMNS, count)
    down = math.ceil(count / across)
    figure = _blank(_HEAD + _PANEL * down)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    every = [axes for row in grid for axes in row]
    for axes in every[count:]:
        axes.set_visible(False)
    for axes in every[max(0, count - across) : count]:
        axes.tick_params(axis="x", labelbottom=True)
    for axes in every[:count]:
        axes.grid(axis="y", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, every[:count]


def _draw_curves(summary: Summary) -> Figure:
    drawn = _beside_baseline(summary.curves, summary.baseline)
    known = {curve.method: curve for curve in summary.curves}
    figure, panels = _panels(len(drawn))
    for axes, curve in zip(panels, drawn, strict=True):
        at = [point.position for point in curve.points]
        if summary.baseline in known and curve.method != summary.baseline:
            _line(axes, known[summary.baseline], base=True)
        axes.fill_between(
            at,
            [point.cumulative.low for point in curve.points],
            [point.cumulative.high for point in curve.points],
            color=MAIN,
            alpha=0.18,
            linewidth=0,
        )
        _line(axes, curve, base=False)
        recent = [(p.position, p.window) for p in curve.points if p.window is not None]
        axes.plot(
            [position for position, _ in recent], [share for _, share in recent],
            color=MUTED, linewidth=1.0, linestyle=":",
        )  # fmt: skip
        axes.set_title(name(curve.method), loc="left", color=INK)
        axes.set_xlim(0, max(curve.points[-1].position for curve in summary.curves))
        axes.set_ylim(0.0, 1.0)
    figure.supxlabel("questions asked", size="medium")
    figure.supylabel("right so far", size="medium")
    return figure


def _line(axes: Axes, curve: Curve, base: bool) -> None:
    axes.plot(
        [point.position for point in curve.points],
        [point.cumulative.value or 0.0 for point in curve.points],
        color=BASE if base else MAIN,
        linewidth=1.8,
        linestyle=(0, (4, 2)) if base else "-",
    )


def _beside_baseline(every: Sequence[Curve], baseline: str) -> list[Curve]:
    """Those that get a panel: the baseline is in each, and has none unless it is alone."""
    return [curve for curve in every if curve.method != baseline] or list(every)


def _draw_practice(summary: Summary) -> Figure:
    bins = list(dict.fromkeys(str(bin) for each in summary.practice for bin in each.bins))
    known = {each.method: each for each in summary.practice}
    drawn = [each for each in summary.practice if each.method != summary.baseline]
    drawn = drawn or list(summary.practice)
    figure, panels = _panels(len(drawn))
    for axes, each in zip(panels, drawn, strict=True):
        if summary.baseline in known and each.method != summary.baseline:
            _occurrences(axes, known[summary.baseline], bins, 0.14, base=True)
        _occurrences(axes, each, bins, -0.14, base=False)
        axes.set_xticks(range(len(bins)), bins)
        axes.tick_params(axis="x", labelsize="small", rotation=45 if len(bins) > _FLAT else 0)
        axes.set_xlim(-0.5, len(bins) - 0.5)
        axes.set_ylim(0.0, 1.0)
        axes.set_title(name(each.method), loc="left", color=INK)
    figure.supxlabel("how often the family of the question is met", size="medium")
    figure.supylabel("right", size="medium")
    return figure


def _occurrences(axes: Axes, each: Practice, bins: list[str], aside: float, base: bool) -> None:
    colour = BASE if base else MAIN
    for bin in each.bins:
        at, share = bins.index(str(bin)) + aside, bin.accuracy
        axes.plot([at, at], [share.low, share.high], color=colour, linewidth=1.2)
        axes.plot([at], [share.value or 0.0], color=colour, marker="s" if base else "o",
                  markersize=4)  # fmt: skip


def _draw_cost(summary: Summary) -> Figure:
    figure = _blank(4.2)
    axes = figure.subplots()
    money = _priced(summary)
    begun = [row for row in summary.rows if row.done]
    costs = [row.each(row.cost.money if money else row.cost.tokens) for row in begun]
    for row, cost in zip(begun, costs, strict=True):
        base, share = _base(summary, row.method), row.accuracy
        colour = BASE if base else MAIN
        axes.plot([cost, cost], [share.low, share.high], color=colour, linewidth=1.0, alpha=0.5)
        axes.plot([cost], [share.value or 0.0], color=colour, marker="s" if base else "o",
                  markersize=6)  # fmt: skip
    if min(costs) > 0 and max(costs) > _DECADE * min(costs):
        _logarithmic(axes)
    else:
        axes.set_xlim(left=0.0, right=1.12 * max(costs) or 1.0)
    axes.set_ylim(bottom=0.0)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{'US dollars' if money else 'tokens'} a question, memory included")
    axes.set_ylabel("right of all that is done")
    marks = [
        Mark(name(row.method), cost, row.accuracy.value or 0.0, row.accuracy.low, row.accuracy.high)
        for cost, row in zip(costs, begun, strict=True)
    ]
    place(axes, marks, MUTED)
    return figure


def _logarithmic(axes: Axes) -> None:
    """A scale of 1, 2, 5, 10, in plain numbers: a page has no mathematical type."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(_plain))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _: int | None = None) -> str:
    return f"{value:,.10g}"


def _priced(summary: Summary) -> bool:
    return any(row.cost.money for row in summary.rows)


def _begun(summary: Summary) -> bool:
    return any(row.done for row in summary.rows)


def _best(summary: Summary) -> str:
    """What anybody would look for first."""
    begun = [row for row in summary.rows if row.accuracy.value is not None]
    best = max(begun, key=lambda row: row.accuracy.value or 0.0)
    level = [row.method for row in begun if row.accuracy.value == best.accuracy.value]
    if len(level) > 1:
        return f"The highest is {best.accuracy.value:.3f}, of {', '.join(level)}."
    return f"The highest is {best.method} with {_said(best.accuracy)}."


def _gains(summary: Summary) -> str:
    sure = [each for each in summary.comparisons if each.p_holm < 0.05 and each.difference]
    if not sure:
        return "No difference is significant at 5 % after correction."
    told = ", ".join(f"{each.method} {each.difference:+.3f}" for each in sure)
    return f"Significant at 5 % after correction: {told}."


def _beside(summary: Summary, said: str) -> str:
    """What is said only where there is a baseline to be told apart."""
    return said if len(summary.rows) > 1 else ""


def _said_of_accuracy(summary: Summary) -> str:
    square = _beside(summary, "; the baseline is a square")
    strokes = "; small strokes below are single seeds" if summary.seeds else ""
    return (
        f"A dot and a 95 % interval for each method{square}{strokes}. {_best(summary)} All values "
        "are in the table How right."
    )


def _said_of_differences(summary: Summary) -> str:
    return (
        f"A dot and a 95 % interval for each method's difference to {name(summary.baseline)}. "
        f"{_gains(summary)} All values are in the table Against {name(summary.baseline)}."
    )


def _said_of_curves(summary: Summary) -> str:
    dashed = _beside(summary, f" that of {name(summary.baseline)} dashed,")
    return (
        f"A panel for each method: its accuracy so far with a 95 % band,{dashed} and that of the "
        f"last {summary.curves[0].window} questions alone dotted. All values are in the table "
        "Along the stream."
    )


def _said_of_practice(summary: Summary) -> str:
    squares = _beside(summary, f", and squares for {name(summary.baseline)}")
    return (
        f"A panel for each method: dots with 95 % intervals{squares}. All values are in the table "
        "By how often the family was met."
    )


def _said_of_cost(summary: Summary) -> str:
    return (
        "A dot for each method by what a question costs it, in "
        f"{'US dollars' if _priced(summary) else 'tokens'}, and its accuracy with its 95 % "
        "interval; the baseline is a square. All values are in the tables How right and What it "
        "cost."
    )


def _title_of_differences(summary: Summary) -> str:
    return f"What methods get right more often than {name(summary.baseline)}"


def _several(summary: Summary) -> bool:
    return sum(row.done > 0 for row in summary.rows) > 1


def _compared(summary: Summary) -> bool:
    return any(each.pairs for each in summary.comparisons)


def _streamed(summary: Summary) -> bool:
    return any(len(curve.points) > 1 for curve in summary.curves)


def _practised(summary: Summary) -> bool:
    return bool(summary.practice)


def _titled(title: str) -> Callable[[Summary], str]:
    return lambda _: title


PLOTS: Mapping[str, Plot] = {
    "figure-accuracy": Plot(
        _titled("How right the methods are"), _said_of_accuracy, _begun, _draw_accuracy
    ),
    "figure-differences": Plot(
        _title_of_differences, _said_of_differences, _compared, _draw_differences
    ),
    "figure-curves": Plot(
        _titled("Right so far, along the stream of questions"),
        _said_of_curves, _streamed, _draw_curves,
    ),
    "figure-practice": Plot(
        _titled("Right, by how often the family of the question was met"),
        _said_of_practice, _practised, _draw_practice,
    ),
    "figure-cost": Plot(_titled("What being right costs"), _said_of_cost, _several, _draw_cost),
}  # fmt: skip
