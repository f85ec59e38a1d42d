"""Reads one passage for one question: an answer that stands in the passage, or nothing."""

from __future__ import annotations

import math
from functools import partial
from typing import Protocol

from mia.executors.stepwise.kinds import Kind, fits, kind_of, may_begin
from mia.grammar import literal, span_rules
from mia.model import Grammar, Message, Model, Sampling
from mia.prompts import fill
from mia.snippets import snippet
from mia.types import Noun, Passage, Usage

NONE = "none"
_PACKAGE = "mia.executors.stepwise"


class Reading(Noun, frozen=True):
    """What a reader found in a passage."""

    answer: str | None
    """A span of the passage; None when the passage does not say."""
    confidence: float = 1.0
    """0 to 1; comparable only between readings of one reader."""
    usage: Usage = Usage()


class Reader(Protocol):
    """Finds the answer to a one-lookup question in a passage."""

    async def read(self, question: str, passage: Passage) -> Reading: ...


class ModelReader:
    """A small model that may only copy a span of the snippet, or say `none`."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def read(self, question: str, passage: Passage) -> Reading:
        """Raises ModelError when the model cannot be asked."""
        cut = snippet(passage, question)
        reply = await self._model.reply(
            reading_messages(cut, question),
            sampling=Sampling(max_tokens=24),
            shape=Grammar(gbnf=span_grammar(cut, kind_of(question))),
        )
        text = reply.text.strip()
        confidence = math.exp(reply.logprob) if reply.logprob is not None else 1.0
        # a model without constrained decoding may say anything: only a span counts
        found = text.lower() != NONE and text in cut and fits(question, text)
        return Reading(answer=text if found else None, confidence=confidence, usage=reply.usage)


def reading_messages(cut: str, question: str) -> tuple[Message, ...]:
    """What a small model is shown to read a snippet; training shows it the same."""
    return (
        Message(role="system", content=fill(_PACKAGE, "read_system.txt")),
        Message(role="user", content=fill(_PACKAGE, "read.txt", snippet=cut, question=question)),
    )


def span_grammar(text: str, kind: Kind = "other") -> str:
    """A GBNF grammar of the spans of a text that may be of a kind, and `none`."""
    spans, rules = span_rules(text, "p", may_begin=partial(may_begin, kind))
    return "\n".join([f"root ::= {literal(NONE)} | {spans}", *rules])
