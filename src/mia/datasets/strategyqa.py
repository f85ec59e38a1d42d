"""StrategyQA (Geva et al., 2021): yes or no, by steps that the question does not name."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns


class _Columns(msgspec.Struct, frozen=True):
    qid: str
    question: str
    answer: bool | None = None


def row(raw: Raw, number: int) -> Row:
    """`answers` is yes or no."""
    given = columns(raw, _Columns)
    answers = () if given.answer is None else ("yes" if given.answer else "no",)
    return Row(question=given.question, id=f"strategyqa:{given.qid}", answers=answers)


STRATEGYQA = DataSet(
    name="strategyqa",
    what="yes or no",
    licence="MIT",
    splits=(Split(name="test", questions=687), Split(name="train", questions=1_603)),
    row=row,
    repo="ChilleD/StrategyQA",
)
