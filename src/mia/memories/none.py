"""No memory: the baseline that every other memory is measured against."""

from __future__ import annotations

from mia.router import PairRemembered, PlanPair
from mia.types import Episode, Question, Recollection, Remembered


class NoMemory:
    """Recalls nothing and remembers nothing."""

    async def recall(self, question: Question) -> Recollection:
        """Nothing."""
        return Recollection()

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps nothing."""
        return Remembered(decision="ignored", reason="there is no memory")


class NoPlanMemory:
    """Knows no plans and remembers none."""

    async def pairs(self, question: Question, k: int) -> tuple[PlanPair, ...]:
        """Nothing."""
        return ()

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        """Keeps nothing."""
        return PairRemembered(decision="ignored", reason="there is no memory")
