"""What training reads: questions, with what was collected for them beforehand.

An exercise comes from one of three kinds of rows, told apart by their fields: ours, a line of JSON
an exercise; those of `mia.datasets`, which ask and no more; and those of the published training
sets, for the Executor (with `plan` and `images`) or for the Planner. What the published columns
have no room for (the exchanges, whether the run was right, the question's task, workflows as
workflows) stays behind in `write_parquet`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from mia import render
from mia.datasets import files, own, published
from mia.datasets.dataset import Raw, Row, columns
from mia.datasets.jsonl import Taken, question_of
from mia.errors import InputError, MissingError, ModelError, StoreError, adding
from mia.model import Message
from mia.planner import parse_plan
from mia.training.rewards import Stage
from mia.types import Note, Noun, Picture, Plan, Question, Recollection, encode

_PUBLISHED = frozenset({"data_id", "ids", "prompt", "reward_model", "image_caption"})
"""A row with one of these columns is one of the published system."""
_SOURCE = "mia"
"""What `data_source` says of the rows we write."""
_MARK = "<image>"
"""Stands in a prompt for each picture that goes with it."""
_CONTEXTS = 2
"""Columns for what memory returned."""
_ROWS = 64
"""That are written at once: with pictures, one is some megabytes."""


class Exchange(Noun, frozen=True):
    """One call to a model, and what it said."""

    role: Literal["planner", "executor"]
    stage: Stage
    messages: tuple[Message, ...]
    reply: str


class Exercise(Noun, frozen=True):
    """A question to train on."""

    question: Question
    recollection: Recollection = Recollection()
    """What memory returned for it."""
    plan: Plan | None = None
    """The frozen Planner's, for training an Executor."""
    exchanges: tuple[Exchange, ...] = ()
    """What the models of the collected run were asked and said, for a supervised warm-up."""
    correct: bool | None = None
    """Whether the collected run's answer was right; None where nobody could tell, or there was no
    run."""


def chosen(exercises: Sequence[Exercise], seed: int, step: int, count: int) -> tuple[Exercise, ...]:
    """The exercises that a step takes, `step` from 0: the next `count` of one shuffle of all of
    them after the other. So each comes once in every epoch, and a step depends on the seed and its
    number only. A step that begins in one epoch and ends in the next may take one twice."""
    size, places = len(exercises), range(step * count, (step + 1) * count)
    orders = {epoch: _shuffle(seed, epoch, size) for epoch in {place // size for place in places}}
    return tuple(exercises[orders[place // size][place % size]] for place in places)


def _shuffle(seed: int, epoch: int, size: int) -> list[int]:
    lot = random.Random(hashlib.sha256(f"{seed} {epoch}".encode()).digest())
    return lot.sample(range(size), size)


def read_exercises(
    path: Path, picture: Taken | None = None, *, gold: bool = False
) -> tuple[Exercise, ...]:
    """All exercises of a file: Parquet, JSONL, JSON, CSV or TSV.

    Of a published row, the first note is `memories_context`, which the Planner and the Executor
    are shown, and the second `memories_context_2`, which the published Executor's training sends
    along when it asks for a replan. `picture` takes pictures in, as `House.beside` does.

    Raises InputError that names the first row (from 1) which cannot be used: damaged, of other
    columns, with a picture that cannot be read, with an id that came before, or, where `gold` is
    asked for, without a right answer. Raises MissingError for Parquet without pyarrow.
    """
    exercises: list[Exercise] = []
    seen: dict[str, int] = {}
    for number, raw in enumerate(files.rows([path]), 1):
        where = f"{path} row {number}"
        exercise = _exercise(raw, number, where, picture)
        question = exercise.question
        if question.id in seen:
            raise InputError(
                f"{where}: the id {question.id!r} stands in row {seen[question.id]} too"
            )
        if gold and not question.answers:
            raise InputError(f"{where}: {question.id!r} has no gold answer")
        seen[question.id] = number
        exercises.append(exercise)
    if not exercises:
        raise InputError(f"{path} has no exercises")
    return tuple(exercises)


class _Collected(msgspec.Struct, frozen=True):
    """Those columns of a published row that are no part of the question."""

    plan: str | None = None
    memories_context: str | None = None
    memories_context_2: str | None = None


def _exercise(raw: Raw | files.Broken, number: int, where: str, picture: Taken | None) -> Exercise:
    try:
        if isinstance(raw, files.Broken):
            raise InputError(raw.why)
        if isinstance(raw.get("question"), dict):
            return columns(raw, Exercise)
        if not _PUBLISHED & raw.keys():
            return Exercise(question=_question(own.row(raw, number), picture))
        given = columns(raw, _Collected)
        return Exercise(
            question=_question(published.row(raw, number), picture),
            recollection=_recollection(given.memories_context, given.memories_context_2),
            plan=_plan(given.plan),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _question(row: Row, picture: Taken | None) -> Question:
    if row.pictures and picture is None:
        raise InputError("questions with pictures cannot be asked here")
    return question_of(
        row.question,
        "its words",
        id=row.id,
        answers=row.answers or None,
        family=row.family,
        task=row.task,
        caption=row.caption,
        pictures=tuple(
            picture(_reference(each), row.id or "") for each in row.pictures if picture is not None
        ),
    )


def _reference(given: bytes | str) -> str:
    """How whoever takes pictures in is told of one: bytes travel as a data URL."""
    if isinstance(given, str):
        return given
    return f"data:image/jpeg;base64,{base64.b64encode(given).decode()}"


def _recollection(*contexts: str | None) -> Recollection:
    return Recollection(notes=tuple(Note(text=each) for each in contexts if each and each.strip()))


def _plan(text: str | None) -> Plan | None:
    """Typed, where the text is a typed plan: an Executor that goes by steps needs them."""
    if text is None or not text.strip():
        return None
    try:
        return parse_plan(text)
    except ModelError:
        return Plan(text=text)


def write_exercises(path: Path, exercises: Iterable[Exercise]) -> None:
    """A line of JSON each, all of it or none. Raises StoreError."""
    with _whole(path) as file:
        for exercise in exercises:
            file.write(encode(exercise) + b"\n")


def write_parquet(
    path: Path, exercises: Iterable[Exercise], jpeg: Callable[[Picture], bytes]
) -> None:
    """The published columns, all of it or none; `jpeg` tells the bytes of a picture, as
    `Pictures.bytes` does. A recollection that is more than two bare notes becomes one text, as a
    Planner reads it. Raises StoreError, and MissingError without pyarrow."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingError(f"Parquet needs pyarrow; run: {adding('data')}") from error
    schema = _schema(arrow)
    with _whole(path) as file, parquet.ParquetWriter(file, schema) as writer:
        rows: list[Raw] = []
        for exercise in exercises:
            rows.append(_row(exercise, jpeg))
            if len(rows) == _ROWS:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows = []
        if rows:
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    message = arrow.struct({"role": text, "content": text})
    image = arrow.struct({"bytes": arrow.binary(), "path": text})
    reward = arrow.struct({"ground_truth": text, "candidate_answers": arrow.list_(text)})
    told = ("data_id", "data_source", "question", "category", "modality", "plan",
            "memories_context", "memories_context_2", "image_caption")  # fmt: skip
    return arrow.schema(
        {
            **dict.fromkeys(told, text),
            "prompt": arrow.list_(message),
            "images": arrow.list_(image),
            "reward_model": reward,
        }
    )


def _row(exercise: Exercise, jpeg: Callable[[Picture], bytes]) -> Raw:
    question = exercise.question
    first, second = _contexts(exercise.recollection)
    answers = question.answers or ()
    asked = f"{_MARK}\n" * len(question.pictures) + question.text
    return {
        "data_id": question.id,
        "data_source": _SOURCE,
        "question": question.text,
        "prompt": [{"role": "user", "content": asked}],
        "category": question.family,
        "modality": question.modality,
        "plan": exercise.plan and exercise.plan.text,
        "memories_context": first,
        "memories_context_2": second,
        "image_caption": question.caption,
        "images": [{"bytes": jpeg(each), "path": None} for each in question.pictures],
        "reward_model": {
            "ground_truth": next(iter(answers), None),
            "candidate_answers": list(answers[1:]),
        },
    }


def _contexts(recollection: Recollection) -> tuple[str | None, str | None]:
    if recollection.empty:
        return None, None
    texts = [note.text for note in recollection.notes]
    bare = Recollection(notes=tuple(Note(text=text) for text in texts))
    if recollection != bare or len(texts) > _CONTEXTS:
        return render.recollection(recollection), None
    return texts[0], next(iter(texts[1:]), None)


@contextmanager
def _whole(path: Path) -> Generator[IO[bytes]]:
    """A file that takes its place when the block is done."""
    half = path.with_name(f".{path.name}.half")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}") from error
    finally:
        with suppress(OSError):
            half.unlink()
