"""`mia ask`: one question."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from ulid import ULID

from mia.cli import options
from mia.cli.output import console, print_json
from mia.datasets.jsonl import question_of
from mia.executor import unwatched
from mia.solve import solve


def ask(
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    gold: Annotated[
        list[str] | None, typer.Option("--gold", help="A right answer, to judge by. Repeatable.")
    ] = None,
    corpus: options.Corpus = None,
    no_memory: options.NoMemory = False,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the answer.")] = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Asks one question: recall, plan, act, reflect, judge, remember."""
    text = sys.stdin.read() if question == "-" else question
    asked = question_of(text, "the question", answers=tuple(gold) if gold else None)
    loaded = options.settings(config, home, namespace)
    with options.house(loaded, corpus) as house:
        team = house.team(house.run(f"ask-{ULID()}"), memory=not no_memory)
        watch = unwatched
        if not quiet and not as_json:
            from mia.cli.live import Live

            live = Live(console(err=not sys.stdout.isatty()))
            live.question(asked)
            watch = live
        episode = house.complete(solve(asked, team, watch))
    if as_json:
        print_json(episode)
    elif quiet or not sys.stdout.isatty():
        print(episode.answer or "")
    if episode.answer is None:
        raise typer.Exit(6 if episode.final.failed else 7)
