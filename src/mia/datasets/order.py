"""In which order questions are asked: a file of ids, for streams in which kinds come back."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

import msgspec

from mia.errors import InputError
from mia.types import Question


class _Place(msgspec.Struct, frozen=True):
    id: str
    pos: int | None = None


def read_order(path: Path, questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions in the order of a JSONL file of `{id, pos?}`. Raises InputError that names the
    line: for an id that no question has or that came before, and for a `pos` that is not its place,
    from 0.
    """
    if not path.is_file():
        raise InputError(f"no order of questions at {path}")
    known = {question.id: question for question in questions}
    ordered: dict[str, Question] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                place = _place(line, f"{path} line {number}", known, len(ordered))
                if place.id in ordered:
                    raise InputError(f"{path} line {number}: {place.id!r} came before")
                ordered[place.id] = known[place.id]
    if not ordered:
        raise InputError(f"{path} has no ids")
    return tuple(ordered.values())


def _place(line: bytes, where: str, known: Container[str], position: int) -> _Place:
    try:
        place = msgspec.json.decode(line, type=_Place)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from error
    if place.id not in known:
        raise InputError(f"{where}: no question has the id {place.id!r}")
    if place.pos is not None and place.pos != position:
        raise InputError(f"{where}: its pos is {place.pos}, its place {position}")
    return place
