"""A memory that is given what it recalls: for questions whose recollection was collected before."""

from __future__ import annotations

from mia.types import Episode, Question, Recollection, Remembered


class GivenMemory:
    """One recollection, whatever the question. Made anew for each."""

    def __init__(self, recollection: Recollection) -> None:
        self._recollection = recollection

    async def recall(self, question: Question) -> Recollection:
        """What was given."""
        return self._recollection

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps nothing."""
        return Remembered(decision="ignored", reason="what this memory recalls is given")
