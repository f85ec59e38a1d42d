"""What commands print. Results go to stdout, everything said on the way to stderr."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_WIDE = 10_000
"""Characters of a line that nobody looks at on a terminal: no cell is cut for whoever reads it."""


@cache
def console(err: bool = False) -> Console:
    """A rich console; without colours and as wide as what it shows when piped."""
    from rich.console import Console

    piped = not sys.stdout.isatty()
    return Console(stderr=err, highlight=False, soft_wrap=piped, width=_WIDE if piped else None)


def progress(shown: bool = True) -> Progress:
    """Bars on stderr: what is done, how much of it, how long it took and may take yet."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
    return Progress(*columns, console=console(err=True), disable=not shown)


def note(text: str) -> None:
    """Something a person may want to know meanwhile."""
    print(text, file=sys.stderr, flush=True)


def print_json(thing: object) -> None:
    """One line of JSON on stdout."""
    sys.stdout.buffer.write(msgspec.json.encode(thing) + b"\n")
    sys.stdout.buffer.flush()
