"""A wrong answer is known, and no right one."""

from __future__ import annotations

from mia.judge import Judge, unknown
from mia.judges.exact_match import same
from mia.types import Plan, Question, Trajectory, Verdict


class NotThis(Judge):
    """Whoever gives the wrong answer again is wrong; of others, another judge says what it can."""

    def __init__(self, answer: str | None, verdict: Verdict, otherwise: Judge | None) -> None:
        """`verdict` is what was said of that answer; None is a run without one."""
        self._answer = answer
        self._verdict = verdict
        self._otherwise = otherwise

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Unknown for another answer where there is nobody to ask, and for a failed run."""
        if trajectory.failed:
            return unknown(self._verdict.judge, f"not judged: {trajectory.outcome}")
        again, known = trajectory.answer, self._answer
        if again is known or (again is not None and known is not None and same(again, known)):
            return self._verdict
        if self._otherwise is None:
            return unknown(self._verdict.judge, "only another answer is known to be wrong")
        return await self._otherwise.judge(question, plan, trajectory)
