"""`mia stream`: a file of questions through one growing memory."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from ulid import ULID

from mia.cli import options
from mia.cli.output import console, note, print_json, progress
from mia.datasets.jsonl import load
from mia.executor import Watch, unwatched
from mia.solve import Team, remember, solve
from mia.statistics import wilson
from mia.team import House
from mia.types import Episode, Noun, Question, Usage, VerdictValue


class Tally(Noun, frozen=True):
    """How a run stands."""

    run: str
    questions: int
    done: int
    judged: int
    correct: int
    accuracy: float | None
    low: float
    high: float
    """95 % Wilson interval of the accuracy over the judged."""
    f1: float | None
    answered: int
    abstained: int
    failed: int
    usage: Usage
    seconds: float


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def stream(
    questions: Annotated[Path, typer.Argument(help="JSONL of {question, id?, answers?}.")],
    corpus: options.Corpus = None,
    web: options.Web = False,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the run to begin or go on with.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, do not resume.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N.")] = None,
    no_memory: options.NoMemory = False,
    record: options.Record = None,
    replay: options.Replay = None,
    live: Annotated[
        bool, typer.Option("--live", help="Show every step of every question.")
    ] = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Answers a file of questions in order; each sees only what was remembered before it.

    Killed or interrupted, the same command goes on where it stopped.
    """
    loaded = options.settings(config, home, namespace)
    with options.house(loaded, corpus, record, replay, web) as house:
        every = load(questions, house.beside(questions))
        if any(question.pictures for question in every):
            house.check_sight()
        asked, pictures = every[:limit], (p.id for question in every for p in question.pictures)
        about = house.fingerprint(
            questions.read_bytes() + "".join(pictures).encode(), memory=not no_memory
        )
        digest = hashlib.sha256(about.encode()).hexdigest()[:8]
        name = run or f"{questions.stem}-{ULID() if fresh else digest}"
        written = house.run(name, about)
        team = house.team(written, memory=not no_memory)
        with house.journal.alone(name):
            try:
                tally = house.complete(_stream(asked, house, team, name, live, as_json))
            except KeyboardInterrupt:
                same = f"the same command with --run {name}" if fresh else "the same command"
                done = len(written.entries())
                note(f"\nstopped after {done} of {len(asked)}; {same} goes on from there")
                raise
    if as_json:
        print_json(tally)
    else:
        summary(tally)


async def _stream(
    asked: Sequence[Question], house: House, team: Team, name: str, live: bool, as_json: bool
) -> Tally:

    entries = house.journal.entries(name)
    for entry in entries:
        if entry.remembered is None:  # the process ended between the two writes
            await remember(entry.episode, team)
    done = {entry.episode.question.id: entry.episode for entry in entries}
    if done:
        note(f"run {name}: {len(done)} of {len(asked)} are done; going on")
    with progress(not (live or as_json)) as bar:
        task = bar.add_task("", total=len(asked), completed=len(done))
        for number, question in enumerate(asked, 1):
            if question.id in done:
                continue
            watch = _watch(question, f"{number}. ") if live else unwatched
            episode = await solve(question, team, watch)
            done[question.id] = episode
            if as_json:
                print_json(episode)
            elif not live:
                bar.console.print(_line(number, episode), markup=False)
            bar.update(task, advance=1, description=_standing(tally(name, asked, done)))
    return tally(name, asked, done)


def _watch(question: Question, number: str) -> Watch:
    from mia.cli.live import Live

    shown = Live(console())
    shown.question(question, number)
    return shown


def tally(name: str, asked: Sequence[Question], done: dict[str, Episode]) -> Tally:
    """How the questions asked have gone so far."""
    episodes = [done[question.id] for question in asked if question.id in done]
    judged = [e for e in episodes if e.verdict.value is not VerdictValue.UNKNOWN]
    correct = sum(e.verdict.value is VerdictValue.CORRECT for e in judged)
    f1 = [e.verdict.f1 for e in judged if e.verdict.f1 is not None]
    low, high = wilson(correct, len(judged))
    return Tally(
        run=name,
        questions=len(asked),
        done=len(episodes),
        judged=len(judged),
        correct=correct,
        accuracy=correct / len(judged) if judged else None,
        low=low,
        high=high,
        f1=sum(f1) / len(f1) if f1 else None,
        answered=sum(e.final.outcome == "answered" for e in episodes),
        abstained=sum(e.final.outcome == "abstained" for e in episodes),
        failed=sum(e.final.failed for e in episodes),
        usage=sum((e.usage for e in episodes), Usage()),
        seconds=sum(e.seconds for e in episodes),
    )


def _standing(now: Tally) -> str:
    share = f"{now.accuracy:.1%} right" if now.accuracy is not None else "unjudged"
    each = max(1, now.done)
    return f"{share} · {now.usage.tokens / each:,.0f} tokens and {now.seconds / each:.1f} s each"


def _line(number: int, episode: Episode) -> str:
    mark = {"correct": "+", "incorrect": "-", "unknown": "?"}[episode.verdict.value.value]
    answer = episode.answer or f"({episode.final.outcome})"
    return f"{mark} {number:4} {episode.question.text[:90]}  →  {answer}"


def summary(now: Tally) -> None:
    """The tally as a table."""
    from rich.table import Table

    table = Table(title=f"run {now.run}", show_header=False, title_justify="left")
    each = max(1, now.done)
    if now.accuracy is not None:
        interval = f"(95 %: {now.low:.3f} to {now.high:.3f})"
        table.add_row("right", f"{now.correct} of {now.judged} = {now.accuracy:.3f}  {interval}")
    if now.f1 is not None:
        table.add_row("F1", f"{now.f1:.3f}")
    ends = f"{now.answered} answered, {now.abstained} abstained, {now.failed} failed"
    table.add_row("questions", f"{now.done} of {now.questions}: {ends}")
    calls, tokens = now.usage.calls / each, now.usage.tokens / each
    table.add_row("each", f"{now.seconds / each:.1f} s, {calls:.1f} calls, {tokens:,.0f} tokens")
    if now.usage.money:
        table.add_row("cost", f"${now.usage.money:.4f}")
    console(err=not sys.stdout.isatty()).print(table)
