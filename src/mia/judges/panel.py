"""Judging without gold: three reviewers side by side, then an area chair."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from mia import render
from mia.errors import JudgeError
from mia.judge import Judge, unknown
from mia.model import Message, Model, Sampling, Schema, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.types import Plan, Question, Review, Trajectory, Usage, Verdict, VerdictValue

_PACKAGE = "mia.judges"
_ANSWER_WORDS = 500
_SAMPLING = Sampling(max_tokens=2048)
_REASON_WORDS = 50


@dataclass(frozen=True, slots=True)
class Aspect:
    """What one reviewer looks at, and how much the chair is to make of it."""

    name: str
    prompt: str
    weight: float
    sees_run: bool = True
    """Whether the reviewer is shown the trajectory, or only question and answer."""


ASPECTS = (
    Aspect("reasoning and logic", "panel_reasoning.txt", 0.5),
    Aspect("sourcing and credibility", "panel_sourcing.txt", 0.3),
    Aspect("result validity", "panel_validity.txt", 0.2, sees_run=False),
)


class _Reviewed(msgspec.Struct, forbid_unknown_fields=True):
    score: Annotated[int, msgspec.Meta(ge=1, le=10)]
    reason: str
    evidence: list[str]


class _Ruled(msgspec.Struct, forbid_unknown_fields=True):
    verdict: Literal["correct", "incorrect"]
    confidence: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    reason: str


def _shape(name: str, properties: dict[str, dict[str, object]]) -> Schema:
    schema = {"properties": properties, "required": list(properties)}
    return Schema(name=name, schema={"type": "object", **schema, "additionalProperties": False})


_REVIEW = _shape(
    "review",
    {
        "reason": {"type": "string"},
        "evidence": {"type": "array", "items": {"type": "string"}},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
    },
)
_RULING = _shape(
    "ruling",
    {
        "reason": {"type": "string"},
        "verdict": {"type": "string", "enum": ["correct", "incorrect"]},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    },
)


class Panel(Judge):
    """Looks at how an answer came about, since nobody knows the right one."""

    def __init__(self, model: Model, sampling: Sampling = _SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Incorrect, without asking, when there is no answer; unknown for a failed run. Raises
        JudgeError when a review or the ruling cannot be read."""
        if trajectory.failed:
            return unknown("panel", f"not judged: {trajectory.outcome}")
        if trajectory.answer is None:
            reason = "no answer was given"
            return Verdict(value=VerdictValue.INCORRECT, judge="panel", reason=reason)
        run, answer = render.trajectory(trajectory), _answer(trajectory.answer)
        asked = render.question(question)
        reviewed = await self._reviews(asked, run, answer, _said(trajectory))
        reviews = tuple(review for review, _ in reviewed)
        ruled, usage = await self._rule(asked, run, answer, reviews)
        return Verdict(
            value=VerdictValue(ruled.verdict),
            judge="panel",
            confidence=ruled.confidence,
            reason=ruled.reason,
            reviews=reviews,
            usage=sum((spent for _, spent in reviewed), usage),
        )

    async def _reviews(
        self, asked: str, run: str, answer: str, said: str
    ) -> list[tuple[Review, Usage]]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._review(aspect, asked, run, answer, said))
                    for aspect in ASPECTS
                ]
        except ExceptionGroup as failures:  # without one reviewer there is no panel
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    async def _review(
        self, aspect: Aspect, asked: str, run: str, answer: str, said: str
    ) -> tuple[Review, Usage]:
        slots = {"question": asked, "answer": answer, "words": str(_REASON_WORDS)}
        if aspect.sees_run:
            slots["trajectory"] = run
        messages = (_system(), Message(role="user", content=fill(_PACKAGE, aspect.prompt, **slots)))
        reviewed, usage = await ask(
            self._model, messages, _reviewed, sampling=self._sampling, shape=_REVIEW
        )
        review = Review(
            aspect=aspect.name,
            score=reviewed.score,
            reason=render.clip(reviewed.reason, _REASON_WORDS),
            evidence=tuple(quote for quote in reviewed.evidence if _quoted(quote, said)),
        )
        return review, usage

    async def _rule(
        self, asked: str, run: str, answer: str, reviews: tuple[Review, ...]
    ) -> tuple[_Ruled, Usage]:
        text = fill(
            _PACKAGE,
            "panel_chair.txt",
            question=asked,
            trajectory=run,
            answer=answer,
            reviews=render.fence("\n".join(map(_review_text, ASPECTS, reviews))),
        )
        messages = (_system(), Message(role="user", content=text))
        return await ask(self._model, messages, _ruled, sampling=self._sampling, shape=_RULING)


def _system() -> Message:
    return Message(role="system", content=fill(_PACKAGE, "panel_system.txt"))


def _answer(answer: str) -> str:
    return render.fence(render.clip(answer, _ANSWER_WORDS))


def _review_text(aspect: Aspect, review: Review) -> str:
    quotes = "; ".join(f'"{quote}"' for quote in review.evidence) or "none"
    return (
        f"{aspect.name} (weight {aspect.weight}): {review.score} of 10. {review.reason} "
        f"Quotes: {quotes}"
    )


def _said(trajectory: Trajectory) -> str:
    """All that was thought, observed and answered, for looking up quotes."""
    parts: list[str] = []
    for turn in trajectory.turns:
        parts += [turn.thought, turn.observation.text if turn.observation else ""]
        parts.append(turn.answer or "")
    return _folded("\n".join(parts))


def _quoted(quote: str, said: str) -> bool:
    """Whether a quote stands in the run. Reviewers see neutralised text and quote that."""
    wanted = _folded(quote)
    return wanted != "" and wanted in said


def _folded(text: str) -> str:
    return " ".join(render.neutralise(text).casefold().split())


def _reviewed(text: str) -> _Reviewed:
    return read_json(text, _Reviewed, JudgeError)


def _ruled(text: str) -> _Ruled:
    return read_json(text, _Ruled, JudgeError)
