"""For teams in which nobody can see."""

from __future__ import annotations

from mia.types import Question, Turn


class Blind:
    """Says nothing of any picture."""

    async def look(self, question: Question) -> tuple[Turn, ...]:
        """No turns."""
        return ()
