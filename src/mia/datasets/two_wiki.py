"""2WikiMultiHopQA (Ho et al., 2020): questions made from templates over Wikidata relations."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold, written_out
from mia.errors import InputError

_UNORDERED = ("comparison", "bridge_comparison")
"""Types whose evidences stand in the order of the two things compared."""
_Triples = list[list[str] | dict[str, str]]
"""Their middle is the relation."""
_Evidences = _Triples | dict[str, list[str]]
"""Row by row, or column by column."""


class _Columns(msgspec.Struct, frozen=True):
    question: str
    type: str
    id: str | None = None
    id_there: str | None = msgspec.field(name="_id", default=None)
    answer: str | None = None
    """The test split has none."""
    evidences: _Evidences | str | None = None
    """The test split has none; a file may have them as JSON text."""


def row(raw: Raw, number: int) -> Row:
    """`family` is the type with the relations that lead to the answer, such as
    "compositional:director|date of death": the procedure that the question asks for."""
    given = columns(raw, _Columns)
    id = given.id or given.id_there
    if not id:
        raise InputError("it has neither id nor _id")
    return Row(
        question=given.question,
        id=f"2wikimultihopqa:{id}",
        answers=gold([given.answer]),
        family=_family(given.type, _relations(given.evidences)),
    )


def _family(kind: str, relations: list[str]) -> str:
    named: Iterable[str] = sorted(set(relations)) if kind in _UNORDERED else relations
    return f"{kind}:{'|'.join(named)}" if relations else kind


def _relations(evidences: _Evidences | str | None) -> list[str]:
    if isinstance(evidences, str):
        try:
            return _relations(msgspec.convert(written_out(evidences), _Triples))
        except msgspec.ValidationError as error:
            raise InputError(f"evidences: {error}") from error
    if isinstance(evidences, dict):
        return evidences.get("relation", [])
    return [_relation(triple) for triple in evidences or ()]


def _relation(triple: list[str] | dict[str, str]) -> str:
    found = triple[1:2] if isinstance(triple, list) else [triple.get("relation", "")]
    if not found or not found[0]:
        raise InputError(f"no relation in the evidence {str(triple)[:80]}")
    return found[0]


TWO_WIKI = DataSet(
    name="2wikimultihopqa",
    what="2 to 4 articles",
    licence="Apache-2.0",
    splits=(Split(name="validation", questions=12_576, file="dev.parquet"),
            Split(name="train", questions=167_454, file="train.parquet"),
            Split(name="test", questions=12_576, file="test.parquet")),
    row=row,
    repo="xanhho/2WikiMultihopQA",
)  # fmt: skip
