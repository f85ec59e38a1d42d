"""`mia demo`: the built-in questions, answered before one's eyes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from ulid import ULID

from mia.cli import options
from mia.cli.output import console, note
from mia.cli.stream import summary, tally
from mia.datasets.jsonl import load
from mia.demo import world
from mia.engines import missing_models
from mia.memories.workflow.store import Store
from mia.models import catalog
from mia.solve import Team, solve
from mia.types import Episode, Question

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many questions.")] = 12,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Fetches what is missing, and answers the first questions of the demo live.

    Its memory is its own: the namespace `demo`, begun anew.
    """
    loaded = options.settings(config, home, namespace=f"demo-{ULID()}")
    folder = loaded.settings.folder
    for name in missing_models(loaded):
        catalog.get(folder, catalog.known(name), say=note)
    world.write(folder / "demo")
    asked = load(folder / "demo" / "questions.jsonl")[:limit]
    began = time.monotonic()
    with options.house(loaded, folder / "demo" / "corpus.jsonl") as house:
        name = f"demo-{ULID()}"
        team = house.team(house.run(name))
        done = house.complete(_answer(asked, team))
        summary(tally(name, asked, done))
        _memory(house.store, loaded.settings.namespace)
    note(f"{time.monotonic() - began:.0f} s")


async def _answer(asked: Sequence[Question], team: Team) -> dict[str, Episode]:
    from mia.cli.live import Live

    live = Live(console())
    done: dict[str, Episode] = {}
    for number, question in enumerate(asked, 1):
        live.question(question, f"{number}/{len(asked)}  ")
        done[question.id] = await solve(question, team, live)
    return done


def _memory(store: Store, namespace: str) -> None:
    # in a fresh clone the program is in .venv/bin, which is on nobody's path
    mia = "mia" if shutil.which("mia") else os.path.relpath(sys.argv[0])
    note(f"\n{store.count(namespace)} workflows were remembered in {store.where}.")
    note(f'Look at them:  {mia} memory list     Ask one yourself:  {mia} ask "..."')
