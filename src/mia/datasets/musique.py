"""MuSiQue (Trivedi et al., 2022): questions composed of two to four simpler ones."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold
from mia.errors import InputError


class _Columns(msgspec.Struct, frozen=True):
    question: str
    id: str
    answer: str | None = None
    answer_aliases: list[str] = []
    answerable: bool = True


def row(raw: Raw, number: int) -> Row:
    """`answers` is the answer with its aliases; `family` the shape that the id begins with, such
    as 2hop or 3hop1. A question that its own articles do not answer does not fit."""
    given = columns(raw, _Columns)
    if not given.answerable:
        raise InputError("not answerable: what stands as its answer is no gold answer")
    return Row(
        question=given.question,
        id=f"musique:{given.id}",
        answers=gold([given.answer, *given.answer_aliases]),
        family=given.id.partition("__")[0] if "__" in given.id else None,
    )


MUSIQUE = DataSet(
    name="musique",
    what="2 to 4 articles",
    licence="CC BY 4.0",
    splits=(Split(name="validation", questions=2_417), Split(name="train", questions=19_938)),
    row=row,
    repo="dgslibisey/MuSiQue",
)
