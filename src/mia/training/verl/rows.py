"""Exercises as verl reads them: rows of Parquet, each with the exercise itself as JSON.

verl shows `prompt` to its own progress reports only. What a policy is really asked is made by our
planners and executors when the episode runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from mia.errors import ConfigError, InputError, MissingError, StoreError, adding
from mia.training.exercises import Exercise
from mia.types import decode, encode

SOURCE = "mia"
"""What the rows say they come from."""
COLUMN = "exercise"
"""Where the exercise is."""


class Row(msgspec.Struct, frozen=True):
    """One row, in verl's columns."""

    data_source: str
    agent_name: str
    """Which episodes to run for it."""
    prompt: list[Said]
    exercise: str
    """JSON."""
    reward_model: Truth
    extra_info: Extra


class Said(msgspec.Struct, frozen=True):
    """A message."""

    role: str
    content: str


class Truth(msgspec.Struct, frozen=True):
    """What verl prints beside an answer; the reward is the episode's."""

    style: str
    ground_truth: list[str]


class Extra(msgspec.Struct, frozen=True):
    """How verl tells rows apart."""

    index: int
    id: str
    """Of the question."""


def rows_of(exercises: Iterable[Exercise], agent: str) -> list[Row]:
    """A row each. Raises InputError for a question with pictures that nobody put in words: a policy
    in training reads text."""
    return [_row(index, exercise, agent) for index, exercise in enumerate(exercises)]


def exercise_in(text: object) -> Exercise:
    """The exercise of a row. Raises ConfigError for what is none: the rows are not ours."""
    if not isinstance(text, str):
        raise ConfigError(f"a row for verl has its exercise as JSON, got {text!r}")
    try:
        return decode(text.encode(), Exercise)
    except msgspec.DecodeError as error:
        raise ConfigError(f"a row for verl has an exercise that cannot be read: {error}") from error


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """A Parquet file, all of it or none. Raises StoreError, and MissingError without pyarrow."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingError(f"Parquet needs pyarrow; run: {adding('data')}") from error
    half = path.with_name(f"{path.name}.half")
    try:
        table = arrow.Table.from_pylist(msgspec.to_builtins(rows), schema=_schema(arrow))
        parquet.write_table(table, half)
        half.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: {error}") from error


def _row(index: int, exercise: Exercise, agent: str) -> Row:
    question = exercise.question
    if question.pictures and question.caption is None:
        raise InputError(
            f"{question.id!r} has pictures that nobody described; describe them with:"
            " mia train collect"
        )
    return Row(
        data_source=SOURCE,
        agent_name=agent,
        prompt=[Said(role="user", content=question.text)],
        # the exchanges are for a warm-up, and by far the longest part
        exercise=encode(replace(exercise, exchanges=())).decode(),
        reward_model=Truth(style="rule", ground_truth=list(question.answers or ())),
        extra_info=Extra(index=index, id=question.id),
    )


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    return arrow.schema(
        {
            "data_source": text,
            "agent_name": text,
            "prompt": arrow.list_(arrow.struct({"role": text, "content": text})),
            COLUMN: text,
            "reward_model": arrow.struct({"style": text, "ground_truth": arrow.list_(text)}),
            "extra_info": arrow.struct({"index": arrow.int64(), "id": text}),
        }
    )
