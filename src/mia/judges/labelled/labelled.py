"""Loads labelled answers, and puts them before a judge.

A row says what was asked, what was answered, how the run came to it, and whether that is right. The
label is about the answer alone: a right answer that nothing in its run supports is right.
"""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia.calibration import Judged, Label
from mia.errors import InputError, JudgeError, ModelError
from mia.judge import Judge, unknown
from mia.types import Noun, Observation, Plan, Question, ToolCall, Trajectory, Turn, decode

_BUILT_IN = "rows.jsonl"
_NO_PLAN = Plan(text="")
_PATIENCE = 8
"""Answers in a row that could not be put to the model, after which nobody is taken to be there."""


class Look(Noun, frozen=True, forbid_unknown_fields=True):
    """One search of a run: what for, and what it returned."""

    query: str
    observed: str
    thought: str = ""


class Labelled(Noun, frozen=True, forbid_unknown_fields=True):
    """An answer to a question, with how it came about and whether it is right."""

    question: str
    answer: str | None
    """None for a run that gave none."""
    label: Label
    answers: tuple[str, ...] = ()
    """Gold answers; none where a judge has to do without."""
    turns: tuple[Look, ...] = ()
    conclusion: str = ""
    """The thought that the answer was given with."""
    kind: str = "unsorted"
    """What makes it hard, or easy."""
    id: str = ""
    why: str = ""
    """The label's reason, for people; no judge sees it."""

    @property
    def asked(self) -> Question:
        return Question(text=self.question, id=self.id, answers=self.answers or None)

    @property
    def trajectory(self) -> Trajectory:
        """The run as an executor would have written it down."""
        looked = [
            Turn(
                thought=look.thought,
                call=ToolCall(name="search", arguments={"query_list": [look.query]}),
                observation=Observation(text=look.observed),
            )
            for look in self.turns
        ]
        outcome = "abstained" if self.answer is None else "answered"
        ended = Turn(thought=self.conclusion, answer=self.answer)
        return Trajectory(turns=(*looked, ended), outcome=outcome)


def built_in() -> tuple[Labelled, ...]:
    """The answers that come with MIA, mixed: the first so many are a fair sample of all."""
    raw = files("mia.judges.labelled").joinpath(_BUILT_IN).read_bytes()
    return _read(raw.splitlines(), _BUILT_IN)


def load(path: Path) -> tuple[Labelled, ...]:
    """All rows of a JSONL file, or InputError naming the first line that cannot be used. A row
    without an id is called by its line number."""
    if not path.is_file():
        raise InputError(f"no labelled answers at {path}")
    return _read(path.read_bytes().splitlines(), str(path))


def _read(lines: Iterable[bytes], source: str) -> tuple[Labelled, ...]:
    rows: dict[str, Labelled] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{source} line {number}"
        row = _row(line.removeprefix(BOM_UTF8), where)
        named = replace(row, id=row.id or str(number))
        if named.id in rows:
            raise InputError(f"{where}: the id {named.id!r} stands in an earlier line too")
        rows[named.id] = named
    if not rows:
        raise InputError(f"{source} has no labelled answers")
    return tuple(rows.values())


def _row(line: bytes, where: str) -> Labelled:
    try:
        row = decode(line, Labelled)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: {error}") from error
    if not row.question.strip():
        raise InputError(f"{where}: the question is empty")
    return row


async def judged(
    judge: Judge, rows: Sequence[Labelled], *, concurrency: int, each: Callable[[Judged], None]
) -> tuple[Judged, ...]:
    """What a judge says of each row, in their order; `each` is told as soon as one is done.

    A verdict that cannot be read is unknown, as in `solve`. So is one of a model that could not be
    asked, but after eight of them in a row, or when there are no others, ModelError is raised.
    """
    patience = min(_PATIENCE, sum(row.answer is not None for row in rows))
    slots, unheard = asyncio.Semaphore(concurrency), 0

    async def one(row: Labelled) -> Judged:
        nonlocal unheard
        async with slots:
            try:
                verdict = await judge.judge(row.asked, _NO_PLAN, row.trajectory)
                unheard = 0 if verdict.usage.calls else unheard
            except JudgeError as error:
                verdict, unheard = unknown(type(judge).__name__, str(error)), 0
            except ModelError as error:
                verdict, unheard = unknown(type(judge).__name__, str(error)), unheard + 1
                if unheard >= patience:
                    raise
        done = Judged(id=row.id, kind=row.kind, label=row.label, verdict=verdict)
        each(done)
        return done

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(row)) for row in rows]
    except* ModelError as errors:
        raise errors.exceptions[0] from None
    return tuple(task.result() for task in tasks)
