"""Bamboogle (Press et al., 2022): two-hop questions that a search engine answers wrongly."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold


class _Columns(msgspec.Struct, frozen=True, rename="pascal"):
    question: str
    answer: str


def row(raw: Raw, number: int) -> Row:
    """The set has no ids: `id` is the row's place, from 0."""
    given = columns(raw, _Columns)
    id = f"bamboogle:{number - 1}"
    return Row(question=given.question, id=id, answers=gold([given.answer]))


BAMBOOGLE = DataSet(
    name="bamboogle",
    what="two hops",
    licence="MIT",
    splits=(Split(name="test", questions=125),),
    row=row,
    repo="chiayewken/bamboogle",
)
