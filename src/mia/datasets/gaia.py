"""GAIA (Mialon et al., 2023), its questions without files: tasks for an assistant with tools."""

from __future__ import annotations

import msgspec

from mia.datasets.dataset import DataSet, LeftOut, Raw, Row, Split, columns, gold

_UNTOLD = "?"
"""Stands for the answers of the test split."""


class _Columns(msgspec.Struct, frozen=True):
    task_id: str
    question: str = msgspec.field(name="Question")
    level: int | str = msgspec.field(name="Level")
    answer: str | None = msgspec.field(name="Final answer", default=None)
    file_name: str | None = None


def row(raw: Raw, number: int) -> Row | LeftOut:
    """`family` is the level. A task about a file is left out: its file is no part of a question."""
    given = columns(raw, _Columns)
    if given.file_name and given.file_name.strip():
        return LeftOut(why="about a file")
    return Row(
        question=given.question,
        id=f"gaia:{given.task_id}",
        answers=gold([None if given.answer == _UNTOLD else given.answer]),
        family=f"level {given.level}",
    )


GAIA = DataSet(
    name="gaia",
    what="tasks, text only",
    licence="its own terms",
    splits=(Split(name="validation", questions=165), Split(name="test", questions=301)),
    row=row,
    repo="gaia-benchmark/GAIA",
    config="2023_all",
    gated=True,
)
