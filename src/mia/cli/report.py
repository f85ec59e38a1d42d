"""`mia report`: what an evaluation or a run came to, as tables, figures and files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.evaluate import Folder, Results
from mia.render import visible
from mia.report import sheets
from mia.report.beside import of_run
from mia.report.summary import Summary, report_of
from mia.team import House

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

_UNFIT = re.compile(r"[^\w.-]+")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="An evaluation, or a run of mia stream.")],
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Method to compare with; default: none, or the first."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; default: in the home.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", help="Another evaluation or run to put beside. Repeatable."),
    ] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Writes a page with figures, Markdown, and every answer as JSON lines; shows the tables.

    Evaluations put beside each other are compared over the questions that all of them ask.
    """
    from mia.report.files import write

    with options.opened(config, home) as house:
        made = report_of(
            _results(house, name), [_results(house, other) for other in compare or ()], baseline
        )
        shelf = house.settings.folder / "reports"
    whole = "-".join((name, *(compare or ())))
    written = write(made, out or shelf / (_UNFIT.sub("_", whole).strip(".") or "report"))
    if as_json:
        print_json(made.summary)
    else:
        console().print(table(made.summary))
        for caution in made.summary.cautions:
            note(caution)
    note(f"written to {written.page} (and report.md, summary.json, episodes.jsonl, figures)")


def _results(house: House, name: str) -> Results:
    """An evaluation, or else a run of the journal. Raises InputError where there is neither."""
    shelf = house.settings.folder / "evaluations"
    if Path(name).name == name and (folder := Folder(shelf / name)).begun:
        return folder.results()
    return of_run(house.journal, name)


def table(summary: Summary) -> Group:
    """The tables of a summary for a terminal."""
    from rich.console import Group

    return Group(*map(_table, sheets.brief(summary)))


def _table(sheet: sheets.Sheet) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = escape(visible(f"\n{sheet.title}"))
    made = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(sheet.columns):
        side = "left" if number < sheet.words else "right"
        made.add_column(column, justify=side, overflow="fold")
    for row in sheet.rows:
        made.add_row(*(escape(visible(cell)) for cell in row))
    return made
