"""HotpotQA (Yang et al., 2018): questions over two articles of Wikipedia."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold
from mia.errors import InputError


class _Columns(msgspec.Struct, frozen=True):
    question: str
    id: str | None = None
    """As the hub has it."""
    id_there: str | None = msgspec.field(name="_id", default=None)
    """As the authors' own files have it."""
    answer: str | None = None
    """The test split has none."""
    type: str | None = None


def row(raw: Raw, number: int) -> Row:
    """`family` is the type: bridge or comparison."""
    given = columns(raw, _Columns)
    id = given.id or given.id_there
    if not id:
        raise InputError("it has neither id nor _id")
    return Row(
        question=given.question,
        id=f"hotpotqa:{id}",
        answers=gold([given.answer]),
        family=given.type,
    )


HOTPOTQA = DataSet(
    name="hotpotqa",
    what="two articles",
    licence="CC BY-SA 4.0",
    splits=(Split(name="validation", questions=7_405), Split(name="train", questions=90_447),
            Split(name="test", questions=7_405)),
    row=row,
    repo="hotpotqa/hotpot_qa",
    config="fullwiki",
)  # fmt: skip
