"""`mia judge`: how far each judge can be believed, on answers whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from mia.calibration import Between, Judged, Reliability, between, reliability
from mia.cli import options
from mia.cli.output import console, note, print_json, progress
from mia.config import Loaded
from mia.errors import InputError
from mia.judges.labelled.labelled import Labelled, built_in, judged, load
from mia.render import clip, visible
from mia.statistics import Share
from mia.team import House
from mia.types import Noun


class Which(StrEnum):
    """A judge of the settings, or each of those that decide by themselves."""

    EXACT = "exact"
    REFERENCE = "reference"
    PANEL = "panel"
    AUTO = "auto"
    ALL = "all"


class Measured(Noun, frozen=True):
    """One judge: its figures, and all it said."""

    reliability: Reliability
    judged: tuple[Judged, ...]


class Report(Noun, frozen=True, omit_defaults=False):
    """All judges that were measured, and each two beside each other."""

    judges: tuple[Measured, ...]
    between: tuple[Between, ...]


app = typer.Typer(
    help="Measure judges on answers whose truth is known.",
    no_args_is_help=True,
    add_completion=False,
)
_EACH = ("exact", "reference", "panel")
_WORDS = 40
"""Of a text that is listed."""
Rows = Annotated[
    Path | None,
    typer.Option("--rows", help="JSONL of labelled answers; default: those that come with MIA."),
]


@app.command()
def calibrate(
    judge: Annotated[
        list[Which] | None,
        typer.Option("--judge", help="Whom to measure; repeatable. Default: the settings' judge."),
    ] = None,
    rows: Rows = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N.")] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Answers judged at a time.")
    ] = 4,
    show: Annotated[bool, typer.Option("--show", help="List where verdict and label differ.")] = (
        False
    ),
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Precision, recall and kappa of a judge, how often it does not know, and on what it errs."""
    loaded = options.settings(config, home)
    answers = _rows(rows)[:limit]
    measured: list[Measured] = []
    try:
        for name in _names(judge, loaded):
            said = _asked(loaded, name, answers, concurrency, quiet=as_json)
            measured.append(Measured(reliability=reliability(name, said), judged=said))
    finally:  # what one judge said is paid for, even where the next one fails
        if measured:
            _report(measured, answers, show, as_json)


def _report(
    measured: Sequence[Measured], answers: Sequence[Labelled], show: bool, as_json: bool
) -> None:
    pairs = tuple(
        between(one.reliability.judge, one.judged, other.reliability.judge, other.judged)
        for one, other in combinations(measured, 2)
    )
    if as_json:
        print_json(Report(judges=tuple(measured), between=pairs))
        return
    _figures([each.reliability for each in measured], pairs)
    _kinds([each.reliability for each in measured])
    if show:
        for each in measured:
            _differences(each, answers)


def _rows(path: Path | None) -> tuple[Labelled, ...]:
    return built_in() if path is None else load(path)


def _names(chosen: Sequence[Which] | None, loaded: Loaded) -> tuple[str, ...]:
    if not chosen:
        return (loaded.settings.judge,)
    named = (_EACH if which is Which.ALL else (which.value,) for which in chosen)
    return tuple(dict.fromkeys(name for names in named for name in names))


def _asked(
    loaded: Loaded, name: str, answers: Sequence[Labelled], concurrency: int, *, quiet: bool
) -> tuple[Judged, ...]:

    settings = replace(loaded.settings, judge=name)
    with House(replace(loaded, settings=settings), say=note) as house:
        judge = house.judge()
        with progress(not quiet) as bar:
            task = bar.add_task(name, total=len(answers))
            work = judged(judge, answers, concurrency=concurrency, each=lambda _: bar.advance(task))
            return house.complete(work)


def _figures(judges: Sequence[Reliability], pairs: Iterable[Between]) -> None:
    from rich.table import Table

    table = Table("", *(each.judge for each in judges), box=None)

    def row(name: str, *cells: str) -> None:
        table.add_row(name, *cells)

    row("answers", *(str(each.rows) for each in judges))
    row("unknown", *(_share(each.unknown) for each in judges))
    row("correct: precision", *(_share(each.correct_precision) for each in judges))
    row("correct: recall", *(_share(each.correct_recall) for each in judges))
    row("incorrect: precision", *(_share(each.incorrect_precision) for each in judges))
    row("incorrect: recall", *(_share(each.incorrect_recall) for each in judges))
    row("agreement", *(_share(each.agreement) for each in judges))
    row("kappa", *(_number(each.kappa) for each in judges))
    row("kappa, unknowns aside", *(_number(each.kappa_decided) for each in judges))
    row("calls", *(f"{each.usage.calls:,}" for each in judges))
    row("tokens", *(f"{each.usage.tokens:,}" for each in judges))
    if any(each.usage.money for each in judges):
        row("cost", *(f"${each.usage.money:.4f}" for each in judges))
    console().print(table)
    for pair in pairs:
        print(f"{pair.one} and {pair.other}: agreement {_share(pair.agreement)}, kappa "
              f"{_number(pair.kappa)}, unknowns aside {_number(pair.kappa_decided)}")  # fmt: skip


def _kinds(judges: Sequence[Reliability]) -> None:
    from rich.table import Table

    table = Table(
        "\nkind", *(f"{each.judge}\nright / wrong / unknown" for each in judges), box=None
    )
    for of_kind in zip(*(each.kinds for each in judges), strict=True):
        cells = (f"{one.right} / {one.wrong} / {one.unknown}" for one in of_kind)
        table.add_row(_line(of_kind[0].kind), *cells)
    console().print(table, markup=False)


def _share(share: Share) -> str:
    if share.value is None:
        return "-"
    return (
        f"{share.value:.3f} ({share.low:.3f}-{share.high:.3f}), {share.successes} of {share.trials}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _differences(measured: Measured, answers: Sequence[Labelled]) -> None:
    agreed = all(item.right for item in measured.judged)
    print(f"\n{measured.reliability.judge}:{' every verdict is as labelled' if agreed else ''}")
    for item, row in zip(measured.judged, answers, strict=True):
        if not item.right:
            print(f"{row.id}: {item.label}, and the verdict is {item.said}\n    {_told(row)}")
            if item.verdict.reason:
                print(f"    the judge: {_line(item.verdict.reason)}")


def _told(row: Labelled) -> str:
    answer = "(no answer)" if row.answer is None else _line(row.answer)
    why = f"   [{_line(row.why)}]" if row.why else ""
    return f"{_line(row.question)}  →  {answer}{why}"


def _line(text: str) -> str:
    """The beginning on one line, without what would speak to the terminal."""
    return " ".join(visible(clip(text, _WORDS)).split())


@app.command()
def show(
    kind: Annotated[str | None, typer.Option("--kind", help="Only these.")] = None,
    rows: Rows = None,
    as_json: options.Json = False,
) -> None:
    """The labelled answers by kind: + right, - wrong. With --json, rows as --rows takes them."""
    every = _rows(rows)
    kinds = sorted({row.kind for row in every})
    if kind is not None and kind not in kinds:
        raise InputError(f"there is no kind {kind!r}; there are {', '.join(kinds)}")
    for name in kinds if kind is None else (kind,):
        mine = [row for row in every if row.kind == name]
        if not as_json:
            right = sum(row.label == "correct" for row in mine)
            print(f"\n{_line(name)}: {right} right, {len(mine) - right} wrong")
        for row in sorted(mine, key=lambda row: row.label):
            if as_json:
                print_json(row)
            else:
                print(f"  {'+' if row.label == 'correct' else '-'} {_told(row)}")
