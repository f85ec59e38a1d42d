"""The `mia` command: its groups, and the one place where errors become an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from mia.cli import ask, corpus, demo, doctor, memory, models, stream
from mia.errors import MIAError, StoreError

app = typer.Typer(
    name="mia",
    help="MIA, a memory that plans: a deep-research agent that gets better with use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ask")(ask.ask)
app.command("stream")(stream.stream)
app.add_typer(memory.app, name="memory")
app.add_typer(corpus.app, name="index")
app.command("search")(corpus.search)
app.add_typer(models.app, name="models")
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line. An error that MIA raises on purpose, or one of the disk, is one line
    on stderr."""
    try:
        app(arguments)
    except MIAError as error:
        print(f"mia: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"mia: {error}", file=sys.stderr)
        sys.exit(StoreError.exit_code)
