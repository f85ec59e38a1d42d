"""PopQA (Mallen et al., 2023): one relation of things both well and little known."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold, written_out
from mia.errors import InputError


class _Columns(msgspec.Struct, frozen=True):
    id: int | str
    question: str
    possible_answers: str | list[str]
    """A list; in the published table as JSON text."""
    prop: str | None = None


def row(raw: Raw, number: int) -> Row:
    """`answers` are the possible answers; `family` is the relation."""
    given = columns(raw, _Columns)
    return Row(
        question=given.question,
        id=f"popqa:{given.id}",
        answers=gold(_listed(given.possible_answers)),
        family=given.prop,
    )


def _listed(answers: str | list[str]) -> list[str]:
    if isinstance(answers, list):
        return answers
    try:
        return msgspec.convert(written_out(answers), list[str])
    except msgspec.ValidationError as error:
        raise InputError(f"possible_answers: {error}") from error


POPQA = DataSet(
    name="popqa",
    what="obscure things",
    licence="MIT",
    splits=(Split(name="test", questions=14_267),),
    row=row,
    repo="akariasai/PopQA",
)
