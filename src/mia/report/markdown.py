"""A report as Markdown, for repositories and terminals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mia.report.figures import Drawn
from mia.report.sheets import Sheet, facts, sheets
from mia.report.summary import Summary

_ACTIVE = re.compile(r"[\\`*_\[\]>|~$]|<(?! )|&(?! )|:(?=//)|(?<=www)\.")
"""What Markdown, its tables, its formulas or its bare links could take for markup."""


def markdown(summary: Summary, drawn: Sequence[Drawn], folder: str) -> str:
    """The report; its figures are the PNG files of a folder beside it."""
    return "\n".join(_parts(summary, drawn, folder))


def _parts(summary: Summary, drawn: Sequence[Drawn], folder: str) -> Iterator[str]:
    yield f"# {' beside '.join(plain(head.name) for head in summary.evaluations)}\n"
    against = f" The baseline is {plain(summary.baseline)}." if len(summary.rows) > 1 else ""
    yield f"{summary.questions} questions.{against}\n"
    yield from (f"- {plain(caution)}" for caution in summary.cautions)
    for figure in drawn:
        yield f"\n![{plain(figure.title)}]({folder}/{figure.name}.png)\n\n{plain(figure.alt)}"
    for sheet in sheets(summary):
        yield from ("", *_table(sheet))
    yield "\n## How this came about"
    for head in summary.evaluations:
        yield f"\n### {plain(head.name)}\n"
        yield from (f"- {name}: {plain(value)}" for name, value in facts(head).items())
    yield ""


def _table(sheet: Sheet) -> Iterator[str]:
    words = sheet.words
    yield f"## {plain(sheet.title)}\n\n{plain(sheet.caption)}\n"
    yield _row(sheet.columns)
    yield f"|{'---|' * words}{'---:|' * (len(sheet.columns) - words)}"
    yield from map(_row, sheet.rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def plain(text: str) -> str:
    """Text that shows as it is, in one line: nothing in it is markup, a link or a break."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return _ACTIVE.sub(r"\\\g<0>", " ".join(shown.split()))
