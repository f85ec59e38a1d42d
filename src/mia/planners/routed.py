"""Draws several plans and lets a router pick one before anything is carried out."""

from __future__ import annotations

from msgspec.structs import replace

from mia.planner import Planner
from mia.router import PlanMemory, Router, draw
from mia.types import Plan, Question, Recollection, Reflection, Trajectory

PAIRS = 2
"""How many pairs a router is shown, as in the published system."""


class Routed(Planner):
    """A planner with second thoughts before the run instead of after it."""

    def __init__(
        self,
        planner: Planner,
        explorer: Planner,
        router: Router,
        plan_memory: PlanMemory,
        candidates: int = 4,
    ) -> None:
        """`explorer` is the planner at a higher temperature: it draws all candidates but one."""
        self._planner = planner
        self._explorer = explorer
        self._router = router
        self._memory = plan_memory
        self._count = candidates

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """The candidate that the router picks, at the cost of all of them. A router that has no
        choice is not asked."""
        candidates = await draw(self._planner, self._explorer, question, recollection, self._count)
        if len(candidates) == 1:
            return candidates[0]
        pairs = await self._memory.pairs(question, PAIRS)
        choice = await self._router.pick(question, candidates, pairs)
        usage = sum((plan.usage for plan in candidates), choice.usage)
        return replace(candidates[choice.index], chosen=choice.reason, usage=usage)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """As the planner does."""
        return await self._planner.reflect(question, plan, trajectory)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """As the planner does."""
        return await self._planner.replan(question, recollection, plan, trajectory, reflection)
