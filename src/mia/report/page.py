"""A report as one page of HTML that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mia import render
from mia.errors import MissingError, adding
from mia.report.figures import Drawn
from mia.report.sheets import answers, facts, sheets
from mia.report.summary import Report

if TYPE_CHECKING:
    from jinja2 import Environment

_LONG = 40
"""Rows from which on a table is folded."""
_MUCH = 200
"""Characters from which on a fact is folded."""


def page(report: Report, drawn: Sequence[Drawn]) -> str:
    """The page. Raises MissingError without jinja2."""
    from markupsafe import Markup

    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            summary=report.summary,
            heads=[(head.name, facts(head)) for head in report.summary.evaluations],
            figures=[(each, Markup(each.svg)) for each in drawn],  # drawn by us, and escaped there
            sheets=(*sheets(report.summary), answers(report)),
            long=_LONG,
            much=_MUCH,
            style=Markup(Path(__file__).with_name("page.css").read_text(encoding="utf-8")),
        )
    )


def _environment() -> Environment:
    """Escapes whatever is not marked as markup and leaves out what nobody sees, which may turn a
    line around; a name that is not given raises."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingError(f"reports need jinja2; run: {adding('eval')}") from error
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _seen(value: object) -> object:
    return render.visible(value) if type(value) is str else value  # markup is a kind of str
