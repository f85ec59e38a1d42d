"""FRAMES (Krishna et al., 2024): questions that take 2 to 15 articles of Wikipedia."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold


class _Columns(msgspec.Struct, frozen=True):
    question: str = msgspec.field(name="Prompt")
    answer: str = msgspec.field(name="Answer")
    place: int | str | None = msgspec.field(name="Unnamed: 0", default=None)
    unnamed: int | str | None = msgspec.field(name="", default=None)
    """The same column where the table is read as it stands: its head is empty."""
    reasoning: str | None = msgspec.field(name="reasoning_types", default=None)


def row(raw: Raw, number: int) -> Row:
    """`family` is the reasoning types."""
    given = columns(raw, _Columns)
    places = (given.place, given.unnamed, number - 1)
    place = next(place for place in places if place is not None)
    return Row(
        question=given.question,
        id=f"frames:{place}",
        answers=gold([given.answer]),
        family=given.reasoning,
    )


FRAMES = DataSet(
    name="frames",
    what="2 to 15 articles",
    licence="Apache-2.0",
    splits=(Split(name="test", questions=824),),
    row=row,
    repo="google/frames-benchmark",
)
