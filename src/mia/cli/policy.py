"""`mia policy`: the versions of the planner's and the executor's adapters."""

from __future__ import annotations

import typer

from mia.cli import policy_files, policy_look

app = typer.Typer(
    help="Look at trained policies, put one to use, go back, take one out, put one in.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (
    policy_look.list_, policy_look.show, policy_look.promote, policy_look.rollback,
    policy_files.export, policy_files.import_,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)
