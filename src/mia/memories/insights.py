"""ExpeL's insights: what a model may do to the list, read strictly and carried out. Pure.

An insight begins with an importance of 2; confirming or editing it adds 1, doubting it takes 1, or
3 while the list is full; at 0 it goes. So says the paper, and the last two numbers its code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from mia import render
from mia.errors import ModelError
from mia.memories.asking import schema, shape_of
from mia.reading import read_json
from mia.types import Noun

BORN = 2
"""The importance of a new insight."""
MOST_OPERATIONS = 4
"""At a time, as in the authors' prompt."""
_FULL_DOWNVOTE = 3
_WORDS = 80

Kind = Literal["ADD", "EDIT", "UPVOTE", "DOWNVOTE"]
_KINDS: tuple[Kind, ...] = ("ADD", "EDIT", "UPVOTE", "DOWNVOTE")

_OPERATION = shape_of(
    {
        "operation": {"type": "string", "enum": list(_KINDS)},
        "number": {"type": "integer", "minimum": 0},
        "text": {"type": "string"},
    }
)
SHAPE = schema(
    "insights",
    {
        "reason": {"type": "string"},
        "operations": {"type": "array", "items": _OPERATION, "maxItems": MOST_OPERATIONS},
    },
)


class Insight(Noun, frozen=True):
    """A rule, and how much it counts."""

    text: str
    importance: int = BORN


class Operation(Noun, frozen=True):
    """What is done to one insight."""

    kind: Kind
    id: str
    """Of the insight; of a new one, the id it gets."""
    text: str = ""
    """For ADD and EDIT."""


class _Operation(msgspec.Struct, forbid_unknown_fields=True):
    operation: Kind
    number: int
    text: str


class _Operations(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    operations: Annotated[list[_Operation], msgspec.Meta(max_length=MOST_OPERATIONS)]


def read_operations(text: str, *, shown: Sequence[str], born: str) -> tuple[Operation, ...]:
    """What a model's reply does to the insights that it was shown, given by their ids in the order
    of their numbers, which count from 1. New ones are called `born`, a slash and a number.

    Raises ModelError for a number that was not shown, for two operations on one insight and for one
    that lacks its text.
    """
    reply = read_json(text, _Operations, ModelError)
    done: list[Operation] = []
    for at, one in enumerate(reply.operations, 1):
        said = render.clip(one.text.strip(), _WORDS)
        if one.operation in ("ADD", "EDIT") and not said:
            raise ModelError(f"operation {at}, {one.operation}, has no text")
        if one.operation == "ADD":
            done.append(Operation(kind="ADD", id=f"{born}/{at}", text=said))
            continue
        if not 1 <= one.number <= len(shown):
            raise ModelError(f"operation {at}: there is no insight {one.number}")
        kept = said if one.operation == "EDIT" else ""
        done.append(Operation(kind=one.operation, id=shown[one.number - 1], text=kept))
    if len({one.id for one in done}) < len(done):
        raise ModelError("an insight is touched by two operations")
    return tuple(done)


def carried_out(
    insights: Mapping[str, Insight], operations: Sequence[Operation], most: int
) -> dict[str, Insight]:
    """The insights by id after the operations. `most` is how many make the list full. An operation
    on an insight that is gone does nothing."""
    after = dict(insights)
    doubt = _FULL_DOWNVOTE if len(insights) >= most else 1
    for one in operations:
        if one.kind == "ADD":
            after[one.id] = Insight(text=one.text)
            continue
        old = after.get(one.id)
        if old is None:
            continue
        step = -doubt if one.kind == "DOWNVOTE" else 1
        after[one.id] = replace(old, text=one.text or old.text, importance=old.importance + step)
    return {id: one for id, one in after.items() if one.importance > 0}


def ranked(insights: Mapping[str, Insight]) -> tuple[str, ...]:
    """Their ids, the most important first; of equals the oldest."""
    return tuple(sorted(insights, key=lambda id: -insights[id].importance))


def listed(insights: Sequence[Insight]) -> str:
    """Numbered lines, with how much each counts."""
    lines = (
        f"{number}. {one.text} (counts {one.importance})" for number, one in enumerate(insights, 1)
    )
    return "\n".join(lines) or "none yet"
