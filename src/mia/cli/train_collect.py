"""`mia train collect`: exercises of questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from mia.cli import options
from mia.cli.output import note, print_json, progress
from mia.cli.train_options import note_demo
from mia.config import Loaded
from mia.datasets.named import Data, named
from mia.errors import InputError, ModelError
from mia.executors.react.tagged import Tagged
from mia.journal import fingerprint
from mia.locks import alone
from mia.memories.frozen import Frozen
from mia.solve import Team
from mia.team import House
from mia.training import collect as collecting
from mia.training.collect import Collected, Collection, Collector, Heard, Overheard
from mia.training.exercises import read_exercises, write_exercises
from mia.training.rollouts import Unrecorded
from mia.training.versions import Role
from mia.types import Noun, Question, Usage, encode


class For(StrEnum):
    """Which stage of training is collected for."""

    PLANNER = "planner"
    EXECUTOR = "executor"
    BOTH = "both"


_ROLES: Mapping[For, tuple[Role, ...]] = {
    For.PLANNER: ("planner",), For.EXECUTOR: ("executor",), For.BOTH: ("planner", "executor"),
}  # fmt: skip
"""Whose plans and exchanges are kept."""


class Came(Noun, frozen=True, omit_defaults=False):
    """What a collection came to."""

    exercises: str
    """The file."""
    questions: int
    collected: int = 0
    failed: int = 0
    judged: int = 0
    """Of the runs collected, those with a verdict."""
    correct: int = 0
    exchanges: int = 0
    usage: Usage = Usage()
    """Of all that was collected, whenever that was."""
    faults: tuple[str, ...] = ()
    """What went wrong last with each question that failed."""

    def plus(self, one: Collected) -> Came:
        """With one question more."""
        came = replace(self, usage=self.usage + one.usage)
        if one.exercise is None:
            told = f"{one.question_id}: {'; '.join(one.faults)}"
            return replace(came, failed=self.failed + 1, faults=(*self.faults, told))
        right = one.exercise.correct
        return replace(
            came,
            collected=self.collected + 1,
            judged=self.judged + (right is not None),
            correct=self.correct + (right is True),
            exchanges=self.exchanges + len(one.exercise.exchanges),
        )


_SHOWN = 5
"""Faults that are told; all of them stand in the JSON."""


def collect(
    data: Annotated[
        str, typer.Option("--data", help="A data set (mia data list), a file, or a folder.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; default: one in the home.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N.")] = None,
    stage: Annotated[
        For, typer.Option("--stage", help="Whom to train with it: the Executor needs plans.")
    ] = For.BOTH,
    runs: Annotated[
        bool,
        typer.Option("--runs", help="Answer every question too, and keep all that was said."),
    ] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, help="Questions at a time.")
    ] = 4,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Makes exercises of questions: what their pictures show, what your memory returns, the present
    Planner's plan, and with --runs whole runs. Memory does not grow, and nothing that it knows of a
    question's own task is shown.

    Killed or interrupted, the same command goes on where it stopped. Questions that failed are
    tried again when it is called again.
    """
    loaded = _guarded(options.settings(config, home, namespace))
    given = named(data, loaded.settings.folder)
    searched = None if web else corpus or given.corpus
    with options.house(loaded, searched, web=web) as house:
        if runs:
            note_demo(house)
        every = _questions(given, house)
        settings = _settings(every, house, stage, runs)
        place = _place(out, given, settings, house)
        asked, collector = every[:limit], _collector(house, _ROLES[stage], runs)
        busy = f"another process is collecting {place}; let it end, or stop it"
        with alone(_so_far(place) / "busy.lock", busy):
            collection = Collection(_so_far(place) / "collected.db", settings)
            try:
                with _Bar(asked, collection, shown=not as_json) as bar:
                    house.complete(
                        collecting.collect(
                            asked, collector, collection, concurrency=concurrency, watch=bar.add
                        )
                    )
                came = _written(place, asked, collection)
            except KeyboardInterrupt:
                done = _done(asked, collection)
                note(f"\nstopped after {done} of {len(asked)}; the same command goes on from there")
                raise
            finally:
                collection.close()
    _tell(came, as_json)


def _guarded(loaded: Loaded) -> Loaded:
    """The settings, with a memory that never helps a question with its own task, and helps every
    question."""
    memory = replace(loaded.settings.memory, exclude_same_task=True, withhold=0.0)
    return replace(loaded, settings=replace(loaded.settings, memory=memory))


def _questions(data: Data, house: House) -> tuple[Question, ...]:
    every = read_exercises(data.questions, house.beside(data.questions))
    questions = tuple(exercise.question for exercise in every)
    if any(question.pictures for question in questions):
        house.check_sight()
    return questions


def _settings(questions: Sequence[Question], house: House, stage: For, runs: bool) -> str:
    """What decides what is collected."""
    return fingerprint(
        house.fingerprint(b"\n".join(map(encode, questions)), memory=True),
        stage.value, str(runs),
    )  # fmt: skip


def _place(out: Path | None, data: Data, settings: str, house: House) -> Path:
    """The file to write: the one asked for, or one of the home that is named by what it is. Raises
    InputError where somebody else's file lies."""
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    name = f"{re.sub('[^a-zA-Z0-9_]+', '-', data.label)}-{digest}.jsonl"
    place = out or house.settings.folder / "exercises" / name
    if place.exists() and not _so_far(place).is_dir():
        raise InputError(f"{place} is there already, and no collection; choose another --out")
    return place


def _so_far(place: Path) -> Path:
    return place.with_name(f"{place.name}.collected")


def _collector(house: House, roles: Sequence[Role], runs: bool) -> Collector:
    """Who collects. One plan is made of each question, by the Planner's model itself: what a router
    chooses among is not what a Planner learns from."""
    captioner, memory = house.captioner(), Frozen(house.memory)
    plans = house.engines.model("planner", "planner" if house.stepwise else None)
    if not runs:
        planner = house.planner_on(plans) if "executor" in roles else None
        return partial(collecting.prepared, captioner=captioner, memory=memory, planner=planner)
    acts = house.engines.model("executor", "reader" if house.stepwise else None)
    judge = house.judge()

    def cast(heard: Heard) -> Team:
        return Team(
            captioner=captioner,
            memory=memory,
            planner=house.planner_on(Overheard(plans, "planner", heard)),
            executor=house.executor_on(Overheard(acts, "executor", heard), Tagged()),
            judge=judge,
            record=Unrecorded(),
        )

    return partial(collecting.lived, cast=cast, roles=roles)


def _done(asked: Sequence[Question], collection: Collection) -> int:
    done = collection.done()
    return sum(question.id in done for question in asked)


class _Bar:
    """What a person sees meanwhile."""

    def __init__(self, asked: Sequence[Question], collection: Collection, *, shown: bool) -> None:

        before = _done(asked, collection)
        if before:
            note(f"{before} of {len(asked)} are collected; going on")
        self._bar = progress(shown)
        self._task = self._bar.add_task("", total=len(asked), completed=before)
        self._made = self._failed = 0
        self._usage = Usage()

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def add(self, collected: Collected) -> None:
        """Counts a question."""
        self._made += 1
        self._failed += collected.exercise is None
        self._usage += collected.usage
        each = f"{self._usage.tokens / self._made:,.0f} tokens each"
        failed = f"{self._failed} failed · " if self._failed else ""
        self._bar.update(self._task, advance=1, description=f"{failed}{each}")


def _written(place: Path, asked: Sequence[Question], collection: Collection) -> Came:
    """Writes what there is, in the order of the questions, and says what it comes to. Raises
    ModelError where it comes to nothing."""
    came = Came(exercises=str(place), questions=len(asked))
    for each in filter(None, map(collection.of, asked)):
        came = came.plus(each)
    if not came.collected:
        raise ModelError(f"nothing could be collected; {came.faults[0]}")
    every = filter(None, map(collection.of, asked))
    write_exercises(place, (each.exercise for each in every if each.exercise is not None))
    return came


def _tell(came: Came, as_json: bool) -> None:
    if as_json:
        print_json(came)
        return
    for fault in came.faults[:_SHOWN]:
        note(f"failed: {fault}")
    if came.failed:
        note(f"{came.failed} of {came.questions} failed; the same command tries them again")
    right = f", {came.correct} of {came.judged} judged runs right" if came.judged else ""
    said = f", {came.exchanges:,} exchanges" if came.exchanges else ""
    print(f"{came.collected:,} exercises in {came.exercises}{right}{said}")
