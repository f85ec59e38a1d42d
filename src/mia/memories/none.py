"""No memory: the baseline that every other memory is measured against."""

from __future__ import annotations

from mia.types import Episode, Question, Recollection, Remembered


class NoMemory:
    """Recalls nothing and remembers nothing."""

    async def recall(self, question: Question) -> Recollection:
        """Nothing."""
        return Recollection()

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps nothing."""
        return Remembered(decision="ignored", reason="there is no memory")
