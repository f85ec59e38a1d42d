"""The `mia` command: its groups, and the one place where errors become an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Annotated, Protocol

import typer
from typer.core import TyperGroup

from mia.errors import MIAError, StoreError

COMMANDS = {
    "ask": "Ask one question.",
    "stream": "Answer a file of questions, one after the other, with one growing memory.",
    "learn": "Answer a stream of questions, and get better at it meanwhile.",
    "memory": "Look into memory, take it out, put it in.",
    "search": "Search the corpus, or the web.",
    "index": "Build and keep search indexes of your own documents.",
    "images": "Find the pictures that are like one of yours.",
    "serve": "Answer over HTTP, learn behind it; serve single parts.",
    "data": "Get sets of questions, and look into them.",
    "eval": "Compare methods on the same questions.",
    "report": "Write what an evaluation came to: tables, figures, every answer.",
    "train": "Train policies, and collect what they learn from.",
    "judge": "Measure judges on answers whose truth is known.",
    "policy": "Look at trained policies, put one to use, go back.",
    "models": "Fetch and check the embedded models.",
    "doctor": "Check models, endpoints, corpus, stores and disk; say how to mend them.",
    "demo": "Answer the built-in questions before your eyes.",
}
"""Each is the module `mia.cli.<name>`, imported only when it is called: a help page that loads
numpy takes seconds on a busy machine."""


class Formatter(Protocol):
    """What typer hands a group to write its help page with."""

    def section(self, name: str) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class Helped(Protocol):
    """A command, or a group of them in its attribute `commands`."""

    help: str | None


class Commands(TyperGroup):
    """Knows its commands by name before it loads them."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> object:  # type: ignore[override]
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"mia.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        _reflow(command)
        return command

    def format_commands(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _reflow(command: Helped) -> None:
    """Makes one line of each paragraph of help: as wide as the terminal, not as the source."""
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _reflow(each)


app = typer.Typer(
    cls=Commands,
    name="mia",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"mia {version('mia')}")
        raise typer.Exit()


@app.callback()
def commands(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say which MIA this is."
        ),
    ] = False,
) -> None:
    """MIA, a memory that plans: a deep-research agent that gets better with use."""


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
