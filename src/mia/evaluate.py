"""Methods beside each other: the same questions in the same order, the same executor, tools, judge
and budget, and nothing but the memory and its way to the planner or executor between them.

An evaluation is a set of arms; an arm is one method over the questions in one order. Each arm is a
run of the journal, so what was killed goes on where it stopped, and nothing is asked twice. While
its memory grows, an arm asks one question at a time, whatever the concurrency: each sees exactly
what came before it. Arms, and questions to memories that do not grow, go on side by side.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from mia.errors import InputError, MIAError, StoreError
from mia.journal import Entry, Journal, RunRecord
from mia.solve import Team, remember, solve
from mia.types import Noun, Question, Remembered, decode, encode

N = TypeVar("N", bound=Noun)

_HEAD = "evaluation.json"
_QUESTIONS = "questions.jsonl"


class Arm(Noun, frozen=True):
    """One method over the questions in one order."""

    method: str
    seed: int
    """Of the order; all arms of a seed have the same."""
    run: str
    """Its name in the journal."""
    order: tuple[str, ...]
    """Question ids as they are asked."""
    warm: int | None = None
    """Questions after which memory no longer grows; None where it always does."""


class Evaluation(Noun, frozen=True):
    """What is compared with what, on what and how: the head of every report."""

    name: str
    data: str
    """What the questions are, for people."""
    digest: str
    """SHA-256 of the questions."""
    arms: tuple[Arm, ...]
    judge: str
    settings: str
    """What decides answers: models, search, budgets, as JSON."""
    machine: str
    started: str
    """ISO 8601, UTC."""
    version: str
    """Of MIA."""


class Size(Noun, frozen=True):
    """How much a memory keeps."""

    memories: int | None
    """None where nobody can tell."""
    bytes: int
    """On the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """Who answers the questions of one arm."""

    team: Team
    grows: bool
    """Whether memory changes with each question, so that they have to be asked one by one."""
    frozen: Team
    """The same with a memory that only recalls."""
    size: Callable[[], Size | None]
    """What its memory keeps; None for none."""


class Done(NamedTuple):
    """What came of one arm."""

    arm: Arm
    entries: tuple[Entry, ...]
    """In the order in which they were asked; fewer than the arm has where it is not at its end."""
    size: Size | None = None
    """What its memory keeps at its end; None where there is none."""


class Results(NamedTuple):
    """All that reports and comparisons are made of."""

    evaluation: Evaluation
    questions: tuple[Question, ...]
    arms: tuple[Done, ...]


Answered = Callable[[Arm, Entry], bool]
"""Is told of each episode and of what memory made of it; whether there is money for more."""


def shuffled(ids: Sequence[str], seed: int, ends: Sequence[int] = ()) -> tuple[str, ...]:
    """An order of a seed. Where `ends` are given, each part that ends there stays in its place, and
    is shuffled by itself."""
    lot, begin = random.Random(seed), 0
    order: list[str] = []
    for end in (*ends, len(ids)):
        order += lot.sample(list(ids[begin:end]), end - begin)
        begin = end
    return tuple(order)


class Folder:
    """Where an evaluation lies: its head, its questions, its journal and its memories."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memories = path / "memories"

    @property
    def begun(self) -> bool:
        """Whether there is an evaluation."""
        return (self.path / _HEAD).is_file()

    def journal(self) -> Journal:
        """Raises StoreError."""
        return Journal(self.path / "journal.db")

    def begin(self, evaluation: Evaluation, questions: Sequence[Question]) -> None:
        """Writes the head of a new evaluation, last of all: what has one is whole."""
        self.memories.mkdir(parents=True, exist_ok=True)
        written = b"".join(encode(question) + b"\n" for question in questions)
        _write(self.path / _QUESTIONS, written)
        self.keep(_HEAD, evaluation)

    def head(self) -> Evaluation:
        """Raises InputError when there is no evaluation, StoreError when it cannot be read."""
        if not self.begun:
            raise InputError(f"there is no evaluation {self.path.name!r}; see: mia eval --list")
        return self.kept(_HEAD, Evaluation)

    def keep(self, name: str, noun: Noun) -> None:
        """Writes a file of the folder, whole or not at all. Raises StoreError."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write(self.path / name, encode(noun))

    def kept(self, name: str, kind: type[N]) -> N:
        """What was kept under that name. Raises StoreError."""
        return _read(self.path / name, kind)

    def questions(self) -> tuple[Question, ...]:
        """Raises StoreError when they cannot be read."""
        path = self.path / _QUESTIONS
        try:
            return tuple(decode(line, Question) for line in path.read_bytes().splitlines())
        except (OSError, msgspec.DecodeError) as error:
            raise StoreError(f"{path}: {error}") from error

    def note_size(self, arm: Arm, size: Size) -> None:
        """Writes down what an arm's memory kept at its end."""
        _write(self._size(arm), encode(size))

    def size(self, arm: Arm) -> Size | None:
        """What an arm's memory kept at its end; None where that is not written. Raises
        StoreError."""
        path = self._size(arm)
        return _read(path, Size) if path.exists() else None

    def results(self) -> Results:
        """All that is written. Raises InputError and StoreError."""
        evaluation = self.head()
        journal = self.journal()
        try:
            arms = tuple(
                Done(arm, entries_of(arm, journal), self.size(arm)) for arm in evaluation.arms
            )
        finally:
            journal.close()
        return Results(evaluation, self.questions(), arms)

    def _size(self, arm: Arm) -> Path:
        return self.memories / f"{arm.run}.size.json"


def _read(path: Path, kind: type[N]) -> N:
    try:
        return decode(path.read_bytes(), kind)
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path}: {error}") from error


def _write(path: Path, raw: bytes) -> None:
    """Whole or not at all."""
    try:
        half = path.with_name(f"{path.name}.half")
        half.write_bytes(raw)
        half.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error


async def evaluate(
    evaluation: Evaluation,
    questions: Sequence[Question],
    field: Callable[[Arm, RunRecord], Contestant],
    folder: Folder,
    journal: Journal,
    *,
    concurrency: int,
    answered: Answered,
) -> None:
    """Asks what has not been asked yet, on all arms at once, at most `concurrency` questions at a
    time. `field` makes the contestant of an arm that is not at its end. Raises what a contestant
    or the journal raises; a bad run is data on its episode."""
    by_id = {question.id: question for question in questions}
    slots = asyncio.Semaphore(concurrency)
    stop = asyncio.Event()

    async def one(arm: Arm, team: Team, question: Question) -> None:
        async with slots:
            if stop.is_set():
                return
            kept: list[Remembered] = []
            episode = await solve(question, team, partial(_keep, kept))
        if not answered(arm, Entry(episode=episode, remembered=kept[-1])):
            stop.set()

    async def whole(arm: Arm) -> None:
        record = journal.open_run(arm.run, _about(evaluation))
        if _ended(arm, folder, journal):
            return
        contestant = field(arm, record)
        growing = _growing(arm, contestant)
        done = await _done(arm, contestant, growing, journal)
        for id in arm.order[:growing]:
            if id not in done:
                await one(arm, contestant.team, by_id[id])
        async with asyncio.TaskGroup() as group:
            for id in arm.order[growing:]:
                if id not in done:
                    group.create_task(one(arm, contestant.frozen, by_id[id]))
        if stop.is_set():
            return
        size = await asyncio.to_thread(contestant.size)
        if size is not None:
            folder.note_size(arm, size)

    try:
        async with asyncio.TaskGroup() as group:
            for arm in evaluation.arms:
                group.create_task(whole(arm))
    except* MIAError as errors:
        raise _first(errors) from None


def _keep(kept: list[Remembered], noun: Noun) -> None:
    if isinstance(noun, Remembered):
        kept.append(noun)


def entries_of(arm: Arm, journal: Journal) -> tuple[Entry, ...]:
    """What is written of an arm, in the order in which it asks."""
    written = {entry.episode.question.id: entry for entry in journal.entries(arm.run)}
    return tuple(written[id] for id in arm.order if id in written)


def _ended(arm: Arm, folder: Folder, journal: Journal) -> bool:
    """Whether nothing of an arm is left to do, so that it need not be fielded: its method may be a
    file that is gone by then."""
    entries = entries_of(arm, journal)
    settled = all(entry.remembered is not None for entry in entries)
    return settled and len(entries) == len(arm.order) and folder.size(arm) is not None


async def _done(arm: Arm, contestant: Contestant, growing: int, journal: Journal) -> set[str]:
    """The questions that have their episodes. Those that the process did not live to remember are
    remembered first."""
    grown = set(arm.order[:growing])
    entries = entries_of(arm, journal)
    for entry in entries:
        if entry.remembered is None:
            in_growth = entry.episode.question.id in grown
            await remember(entry.episode, contestant.team if in_growth else contestant.frozen)
    return {entry.episode.question.id for entry in entries}


def _growing(arm: Arm, contestant: Contestant) -> int:
    """How many of the questions, the first ones, are asked while memory grows."""
    if not contestant.grows:
        return 0
    return len(arm.order) if arm.warm is None else min(arm.warm, len(arm.order))


def _about(evaluation: Evaluation) -> str:
    """What a resumed arm must have in common with its beginning."""
    return f"{evaluation.digest} {evaluation.judge} {evaluation.settings}"


def _first(errors: BaseExceptionGroup[MIAError]) -> MIAError:
    """The first error of a group, which may hold groups."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
