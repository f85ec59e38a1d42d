"""`mia ask`: one question."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from ulid import ULID

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.search import ELSEWHERE, demo_only
from mia.datasets.jsonl import question_of
from mia.executor import Watch
from mia.solve import solve
from mia.types import Episode, Noun, Question

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")],
    gold: Annotated[
        list[str] | None, typer.Option("--gold", help="A right answer, to judge by. Repeatable.")
    ] = None,
    image: options.Image = None,
    corpus: options.Corpus = None,
    web: options.Web = False,
    no_memory: options.NoMemory = False,
    as_json: options.Json = False,
    record: options.Record = None,
    replay: options.Replay = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the answer.")] = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Asks one question: recall, plan, act, reflect, judge, remember."""
    text = sys.stdin.read() if question == "-" else question
    loaded = options.settings(config, home, namespace)
    with options.house(loaded, corpus, record, replay, web) as house:
        pictures = tuple(house.picture(each) for each in image or ())
        gold_answers = tuple(gold) if gold else None
        asked = question_of(text, "the question", answers=gold_answers, pictures=pictures)
        if pictures:
            house.check_sight()
        team = house.team(house.run(f"ask-{ULID()}"), memory=not no_memory)
        watch = _watch(asked, as_json, quiet)
        final = house.complete(solve(asked, team, watch)).final
        only_demo = demo_only(house) and replay is None
    if final.failed:
        if quiet:
            note(f"{final.outcome}: {final.detail}")
        raise typer.Exit(6)
    if final.answer is None:
        if not (quiet or as_json) and only_demo:
            note(f"only the demo's corpus was searched; {ELSEWHERE}")
        raise typer.Exit(7)


def _watch(asked: Question, as_json: bool, quiet: bool) -> Watch:
    """What is shown on the way. The answer is printed as soon as it is written down: what memory
    makes of it afterwards cannot take it back."""

    def result(noun: Noun) -> None:
        if isinstance(noun, Episode):
            if as_json:
                print_json(noun)
            else:
                print(noun.answer or "", flush=True)

    if as_json or quiet:
        return result
    from mia.cli.live import Live

    live = Live(console(err=not sys.stdout.isatty()))
    live.question(asked)

    def piped(noun: Noun) -> None:
        live(noun)
        result(noun)

    return live if sys.stdout.isatty() else piped
