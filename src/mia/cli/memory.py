"""`mia memory`: what is remembered, why it comes up, and how to change it."""

from __future__ import annotations

import typer

from mia.cli import memory_change, memory_files, memory_look

app = typer.Typer(
    help="Look into memory, correct it, take it out, put it in.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (
    memory_look.list_, memory_look.show, memory_look.search, memory_look.explain,
    memory_look.stats, memory_look.log,
    memory_change.edit, memory_change.trust, memory_change.forget, memory_change.compact,
    memory_change.reembed,
    memory_files.export, memory_files.import_, memory_files.backup, memory_files.snapshot,
    memory_files.restore, memory_files.verify,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)
