"""SimpleQA (Wei et al., 2024): short questions of fact with one answer each."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold, written_out
from mia.errors import InputError


class _Metadata(msgspec.Struct, frozen=True):
    topic: str | None = None


class _Columns(msgspec.Struct, frozen=True):
    problem: str
    answer: str
    metadata: dict[str, object] | str | None = None
    """In the published table as Python prints it."""


def row(raw: Raw, number: int) -> Row:
    """`family` is the topic. The set has no ids: `id` is the row's place, from 0."""
    given = columns(raw, _Columns)
    return Row(
        question=given.problem,
        id=f"simpleqa:{number - 1}",
        answers=gold([given.answer]),
        family=_topic(given.metadata),
    )


def _topic(metadata: dict[str, object] | str | None) -> str | None:
    if not metadata:
        return None
    told = written_out(metadata) if isinstance(metadata, str) else metadata
    try:
        return msgspec.convert(told, _Metadata).topic
    except msgspec.ValidationError as error:
        raise InputError(f"metadata: {error}") from error


SIMPLEQA = DataSet(
    name="simpleqa",
    what="single facts",
    licence="MIT",
    splits=(Split(name="test", questions=4_326),),
    row=row,
    repo="basicv8vc/SimpleQA",
)
