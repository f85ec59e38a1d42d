"""What a data set is: where it lies, and how one of its rows becomes a line of our JSONL."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from mia.errors import InputError
from mia.types import Noun

Raw = dict[str, object]
"""A row as its file has it."""
_Columns = TypeVar("_Columns", bound=msgspec.Struct)


class Row(Noun, frozen=True):
    """One question in the form of our JSONL, its pictures still in the hand."""

    question: str
    id: str | None = None
    """None for one made of the words."""
    answers: tuple[str, ...] = ()
    """Gold answers, each one enough; none where the set tells none."""
    family: str | None = None
    task: str | None = None
    caption: str | None = None
    pictures: tuple[bytes | str, ...] = ()
    """The bytes of a picture, or its URL, or its path beside the source."""


class LeftOut(Noun, frozen=True):
    """A row that is no question of the set. Such rows are counted."""

    why: str


class Split(Noun, frozen=True):
    """A part of a data set."""

    name: str
    questions: int | None = None
    """As published; None where nothing was."""
    file: str | None = None
    """The Parquet file of the hub's repository that has it; None where the hub knows it by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A published set of questions."""

    name: str
    what: str
    licence: str
    splits: tuple[Split, ...]
    """The first is the one that is asked by default."""
    row: Callable[[Raw, int], Row | LeftOut]
    """The mapping, given the row and its number from 1. Raises InputError for one that does not
    fit."""
    repo: str | None = None
    """On the hub; None where the place of the file is not known."""
    config: str | None = None
    gated: bool = False
    """Whether the hub gives it only to those who have accepted its terms."""

    def split(self, name: str | None) -> Split:
        """Raises InputError for one that it does not have."""
        if name is None:
            return self.splits[0]
        for split in self.splits:
            if split.name == name:
                return split
        names = ", ".join(split.name for split in self.splits)
        raise InputError(f"{self.name} has no split {name!r}; it has: {names}")


def columns(raw: Raw, form: type[_Columns]) -> _Columns:
    """The columns that a mapping reads. Raises InputError that names one that is missing or is of
    another kind."""
    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        raise InputError(str(error)) from error


def gold(answers: Iterable[str | None]) -> tuple[str, ...]:
    """The answers without blanks and repetitions."""
    told = (answer.strip() for answer in answers if answer is not None)
    return tuple(dict.fromkeys(filter(None, told)))


def written_out(text: str) -> object:
    """A list or a mapping that a table has as text, in JSON or as Python prints it. Raises
    InputError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise InputError(f"{text[:80]!r} is neither JSON nor a Python literal") from error
