"""A model that holds an answer beside the gold answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from mia import render
from mia.errors import JudgeError
from mia.judge import Judge, unknown
from mia.judges.exact_match import f1
from mia.model import Message, Model, Sampling, Schema, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.types import Plan, Question, Trajectory, Verdict, VerdictValue

_GRADES = ["CORRECT", "INCORRECT", "NOT_ATTEMPTED"]
_SHAPE = Schema(
    name="grade",
    schema={
        "type": "object",
        "properties": {
            "reason": {"type": "string"},
            "grade": {"type": "string", "enum": _GRADES},
        },
        "required": ["reason", "grade"],
        "additionalProperties": False,
    },
)
_ANSWER_WORDS = 500
_SAMPLING = Sampling(max_tokens=2048)


class _Graded(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    grade: Literal["CORRECT", "INCORRECT", "NOT_ATTEMPTED"]


class Reference(Judge):
    """Grades by meaning, so that another wording of the gold answer counts."""

    def __init__(self, model: Model, sampling: Sampling = _SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Incorrect, without asking, when there is no answer; unknown without gold or for a failed
        run. Raises JudgeError when the grade cannot be read."""
        if not question.answers:
            return unknown("reference", "there is no gold answer")
        if trajectory.failed:
            return unknown("reference", f"not judged: {trajectory.outcome}")
        if trajectory.answer is None:
            reason = "no answer was given"
            return Verdict(value=VerdictValue.INCORRECT, judge="reference", reason=reason, f1=0.0)
        messages = _messages(question, question.answers, trajectory.answer)
        graded, usage = await ask(
            self._model, messages, _graded, sampling=self._sampling, shape=_SHAPE
        )
        right = graded.grade == "CORRECT"
        attempted = graded.grade != "NOT_ATTEMPTED"
        return Verdict(
            value=VerdictValue.CORRECT if right else VerdictValue.INCORRECT,
            judge="reference",
            reason=graded.reason if attempted else f"not attempted: {graded.reason}",
            f1=f1(trajectory.answer, question.answers),
            usage=usage,
        )


def _messages(question: Question, golds: tuple[str, ...], answer: str) -> tuple[Message, ...]:
    text = fill(
        "mia.judges",
        "reference.txt",
        question=render.question(question),
        golds=render.fence("\n".join(golds)),
        answer=render.fence(render.clip(answer, _ANSWER_WORDS)),
    )
    return (Message(role="user", content=text),)


def _graded(text: str) -> _Graded:
    return read_json(text, _Graded, JudgeError)
