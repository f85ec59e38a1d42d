"""The Captioner's contract: says what a question's pictures show, before memory is asked."""

from __future__ import annotations

import re
from typing import Protocol

from msgspec.structs import replace

from mia.types import Question, Turn

_PLACE = r"(?:image|picture|photo|photograph|figure|illustration|painting|drawing|screenshot)"
_SHOWN = r"(?:shown|seen|depicted|pictured|displayed|visible|featured|portrayed)"
_IN_IT = rf"(?: {_SHOWN})?(?: (?:in|on) (?:this|the|that) {_PLACE}\b)"
_NAMED = r"(?:(?!the\b|this\b|that\b|an?\b|of\b|in\b|on\b|whose\b|who\b|which\b)[\w'-]+)"
_THING = rf"(?:the|this|that) {_NAMED}(?: {_NAMED}){{0,3}}?"
_POINTS = (
    re.compile(rf"\b{_THING}(?:{_IN_IT}| {_SHOWN}\b)", re.IGNORECASE),
    re.compile(rf"\bthis (?!{_PLACE}\b){_NAMED}", re.IGNORECASE),
)
"""Words that stand for what a picture shows: `the cat in this image`, `this cat`."""
_OWNER = re.compile(
    rf"\b(?:the|this|that) {_NAMED} whose (\w+) (?:is|are)(?:{_IN_IT}| {_SHOWN}\b)", re.IGNORECASE
)
"""`the country whose flag is shown in this image`."""


class Captioner(Protocol):
    """Looks at pictures for those who cannot see, and for memory, which is found by words."""

    async def look(self, question: Question) -> tuple[Turn, ...]:
        """The turns it took. The last one's `found` is the caption, None where nobody can say.
        What went wrong stands in the turns: a run goes on without a caption."""
        ...


def needs_caption(question: Question) -> bool:
    """Whether there is something to look at of which nobody has said yet what it shows."""
    return bool(question.pictures) and question.caption is None


def captioned(question: Question, looked: tuple[Turn, ...]) -> Question:
    """The question with what was seen."""
    return replace(question, caption=looked[-1].found) if looked else question


def in_words(question: Question) -> str:
    """The question for those who go by words alone: what points at its pictures is replaced by
    what they show, or else that is said before the question."""
    text, shows = question.text, question.caption
    if not question.pictures or not shows:
        return text
    owner = _OWNER.search(text)
    if owner is not None:
        of = re.fullmatch(rf"(?:the )?{owner[1]} of (.+)", shows, re.IGNORECASE)
        return _put(text, owner, of[1] if of else shows)
    for points in _POINTS:
        if found := points.search(text):
            return _put(text, found, shows)
    return f"{shows}: {text}"


def _put(text: str, found: re.Match[str], name: str) -> str:
    return text[: found.start()] + name + text[found.end() :]
