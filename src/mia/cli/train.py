"""`mia train`: policies, and what they learn from."""

from __future__ import annotations

import typer

from mia.cli import train_collect, train_run, train_show, train_verl

app = typer.Typer(
    help="Train policies, and collect what they learn from.",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(train_collect.collect)
app.command()(train_run.warmup)
app.command(name="executor")(train_run.stage("executor"))
app.command(name="planner")(train_run.stage("planner"))
app.command(name="alternate")(train_run.both)
app.command()(train_show.show)
app.command()(train_verl.merge)


@app.callback()
def train() -> None:
    """Train policies, and collect what they learn from."""
