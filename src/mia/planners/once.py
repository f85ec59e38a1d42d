"""A planner that does not reflect: whatever a run comes to is left at that. For comparisons."""

from __future__ import annotations

from mia.planner import Planner
from mia.types import Plan, Question, Recollection, Reflection, Trajectory


class Once(Planner):
    """Another planner's plan, and nothing after it."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """The other planner's. Raises ModelError."""
        return await self._planner.plan(question, recollection)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """There is no second thought."""
        return Reflection(goal_met=True, reason="this planner does not reflect")

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """The other planner's; nobody asks for it."""
        return await self._planner.replan(question, recollection, plan, trajectory, reflection)
