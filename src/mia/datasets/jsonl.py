"""Questions in a JSONL file: `{question, id?, answers? | answer?, family?, task?, caption?,
image? | images?}`."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path

import msgspec

from mia.errors import InputError
from mia.types import Picture, Question

MAX_CHARS = 20_000
"""A longer question is a mistake: a document where a question was meant."""


Taken = Callable[[str, str], Picture]
"""The picture behind a path or a URL as a row has it, under the row's id. Raises InputError."""


class Line(msgspec.Struct, frozen=True):
    """What a line says."""

    question: str
    id: str | int | None = None
    answers: list[str] | None = None
    answer: str | None = None
    family: str | None = None
    task: str | None = None
    caption: str | None = None
    image: str | None = None
    images: list[str] | None = None

    @property
    def gold(self) -> list[str]:
        """The answers, or the answer."""
        return self.answers or ([self.answer] if self.answer is not None else [])

    @property
    def pictured(self) -> list[str]:
        """The paths or URLs of its pictures."""
        return self.images or ([self.image] if self.image is not None else [])


def load(path: Path, taken: Taken | None = None) -> tuple[Question, ...]:
    """All questions of a file, or InputError naming the first line that cannot be used. Without
    `taken`, pictures cannot be used."""
    if not path.is_file():
        raise InputError(f"no questions at {path}")
    questions: list[Question] = []
    seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            question = _question(line, f"{path} line {number}", taken)
            if question.id in seen:
                raise InputError(
                    f"{path} line {number}: the id {question.id!r} stands in line "
                    f"{seen[question.id]} too"
                )
            seen[question.id] = number
            questions.append(question)
    if not questions:
        raise InputError(f"{path} has no questions")
    return tuple(questions)


def _question(line: bytes, where: str, taken: Taken | None) -> Question:
    try:
        row = msgspec.json.decode(line.removeprefix(BOM_UTF8), type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from error
    return question_of(
        row.question,
        where,
        id=None if row.id is None else str(row.id),
        answers=tuple(row.gold) or None,
        family=row.family,
        task=row.task,
        caption=row.caption,
        pictures=_pictures(row, where, taken),
    )


def _pictures(row: Line, where: str, taken: Taken | None) -> tuple[Picture, ...]:
    if not row.pictured:
        return ()
    if taken is None:
        raise InputError(f"{where}: questions with pictures cannot be asked here")
    try:
        return tuple(taken(each, "" if row.id is None else str(row.id)) for each in row.pictured)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def question_of(
    text: str,
    where: str,
    *,
    id: str | None = None,
    answers: tuple[str, ...] | None = None,
    family: str | None = None,
    task: str | None = None,
    caption: str | None = None,
    pictures: tuple[Picture, ...] = (),
) -> Question:
    """A question that can be asked. Raises InputError for an empty or an endless one."""
    asked = text.strip()
    if not asked.isascii() and any("\ud800" <= char <= "\udfff" for char in asked):
        raise InputError(f"{where}: the question is not UTF-8 text")
    if not asked:
        raise InputError(f"{where}: the question is empty")
    if len(asked) > MAX_CHARS:
        raise InputError(
            f"{where}: the question has {len(asked):,} characters; at most {MAX_CHARS:,} are taken"
        )
    # "Where is this?" is another question with every picture
    whole = "\n".join((asked, *(picture.id for picture in pictures)))
    return Question(
        text=asked,
        id=id or hashlib.sha256(whole.encode()).hexdigest()[:16],
        answers=answers,
        task=task,
        family=family,
        caption=caption,
        pictures=pictures,
    )
