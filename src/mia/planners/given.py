"""A planner that is given its plan: for questions whose plan was collected before."""

from __future__ import annotations

from mia.planner import Planner
from mia.types import Plan, Question, Recollection, Reflection, Trajectory


class GivenPlanner(Planner):
    """One plan, whatever the question, and another planner's word on how it went."""

    def __init__(self, plan: Plan | None, planner: Planner) -> None:
        """None where no plan was collected: the other planner then makes one."""
        self._plan = plan
        self._planner = planner

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """What was given. Raises ModelError where the other planner has to be asked."""
        if self._plan is not None:
            return self._plan
        return await self._planner.plan(question, recollection)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """The other planner's. Raises ModelError."""
        return await self._planner.reflect(question, plan, trajectory)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """The other planner's. Raises ModelError."""
        return await self._planner.replan(question, recollection, plan, trajectory, reflection)
