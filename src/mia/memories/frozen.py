"""A memory that only recalls: for questions on which what it knows is measured and does not
grow."""

from __future__ import annotations

from mia.memory import Memory
from mia.types import Episode, Question, Recollection, Remembered


class Frozen:
    """What another memory knows, as it is."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, question: Question) -> Recollection:
        """What the memory recalls."""
        return await self._memory.recall(question)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps nothing."""
        return Remembered(decision="ignored", reason="the memory is frozen")
