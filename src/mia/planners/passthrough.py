"""No planning: what memory returned is the plan. For baselines, and for teams without a planner."""

from __future__ import annotations

from mia import render
from mia.planner import Planner
from mia.prompts import fill
from mia.types import Plan, Question, Recollection, Reflection, Trajectory


class Passthrough(Planner):
    """Hands the recollection to the executor and is content with any run."""

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """The recollection; without one, to search and then answer."""
        if recollection.empty:
            return Plan(text=fill("mia.planners", "passthrough_bare.txt").strip())
        memory = render.recollection(recollection)
        return Plan(text=fill("mia.planners", "passthrough.txt", memory=memory).strip())

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """There is no second thought."""
        return Reflection(goal_met=True, reason="no planner reflects on this run")

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """The same as before."""
        return await self.plan(question, recollection)
