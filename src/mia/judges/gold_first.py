"""The default judge: a gold answer decides where there is one, another judge elsewhere."""

from __future__ import annotations

from mia.judge import Judge, unknown
from mia.types import Plan, Question, Trajectory, Verdict


class GoldFirst:
    """Two judges, by whether the question has gold answers."""

    def __init__(self, with_gold: Judge, without: Judge | None) -> None:
        self._with_gold = with_gold
        self._without = without

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """Unknown where there is neither gold nor anybody to ask."""
        if question.answers:
            return await self._with_gold.judge(question, plan, trajectory)
        if self._without is None:
            return unknown("none", "no gold answer, and no judge model is configured")
        return await self._without.judge(question, plan, trajectory)
