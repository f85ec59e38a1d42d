"""The Judge's contract."""

from __future__ import annotations

from typing import Protocol

from mia.types import Plan, Question, Trajectory, Verdict, VerdictValue


class Judge(Protocol):
    """Decides whether an answer is right. With and without gold answers are two judges."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Raises JudgeError when no verdict could be read, even after asking again; ModelError
        when the judge could not be asked."""
        ...


def unknown(judge: str, reason: str) -> Verdict:
    """The verdict when nobody can say: stores nothing, counts for nothing."""
    return Verdict(value=VerdictValue.UNKNOWN, judge=judge, confidence=0.0, reason=reason)
