"""Questions of one's own, in a file of any kind that can be read, with the fields of our JSONL."""

from __future__ import annotations

import re

from mia.datasets.dataset import DataSet, Raw, Row, Split, columns, gold, written_out
from mia.datasets.jsonl import Line
from mia.errors import ConfigError

ALL = Split(name="all")
"""Where nobody has named a split."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def row(raw: Raw, number: int) -> Row:
    """Field by field; `answer` and `image` are one of several. A table has several answers as a
    list in text, JSON's or Python's."""
    told = raw.get("answers")
    if isinstance(told, str):
        listed = written_out(told) if told.lstrip().startswith("[") else [told]
        raw = {**raw, "answers": listed}
    given = columns(raw, Line)
    return Row(
        question=given.question,
        id=None if given.id is None else str(given.id),
        answers=gold(given.gold),
        family=given.family,
        task=given.task,
        caption=given.caption,
        pictures=tuple(given.pictured),
    )


def own(name: str, like: DataSet | None = None, split: str | None = None) -> DataSet:
    """A set under a name of one's own, its rows those of another set where it is like that. Raises
    ConfigError for names that no file should have."""
    for each in (name, *filter(None, [split])):
        if not _NAME.fullmatch(each):
            raise ConfigError(f"{each!r} is no name: small letters, digits and _ . - are")
    return DataSet(
        name=name,
        what="your own",
        licence=like.licence if like else "yours",
        splits=(Split(name=split) if split else ALL,),
        row=like.row if like else row,
    )
