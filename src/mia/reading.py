"""What a model's reply says: its thoughts apart from what it means to say, and strict JSON."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from mia.errors import MIAError

T = TypeVar("T")

_THINK = re.compile(r"<\s*(/?)\s*think(?:ing)?\s*>", re.IGNORECASE)
_WRAPPED = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL)


def split_thought(text: str) -> tuple[str, str]:
    """The thoughts and the rest of a reply.

    Thoughts stand in `<think>…</think>`. One that is not closed runs to the end; a reply that
    closes one before it opens any began inside it, as some chat templates have it; in nested ones
    only the outermost end counts. So a thought is never taken for what the model said.
    """
    tags = list(_THINK.finditer(text))
    depth = 1 if tags and tags[0][1] else 0
    thoughts: list[str] = []
    said: list[str] = []
    at = 0
    for tag in tags:
        (thoughts if depth else said).append(text[at : tag.start()])
        depth = max(0, depth - 1) if tag[1] else depth + 1
        at = tag.end()
    (thoughts if depth else said).append(text[at:])
    return _joined(thoughts), _joined(said)


def _joined(parts: list[str]) -> str:
    return "\n".join(part.strip() for part in parts if part.strip())


def read_json(text: str, kind: type[T], error: type[MIAError]) -> T:
    """The JSON that a reply consists of, thoughts and a code fence around the whole aside.

    Raises `error` for anything else: prose around it, other types, missing fields.
    """
    said = split_thought(text)[1]
    wrapped = _WRAPPED.fullmatch(said)
    raw = (wrapped[1] if wrapped else said).encode("utf-8", "replace")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as reason:
        raise error(f"the reply should be JSON of the schema asked for: {reason}") from reason
