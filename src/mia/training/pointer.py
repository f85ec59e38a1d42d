"""Which version of a policy is in use, as the moves of a pointer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from mia.types import Noun


class Move(Noun, frozen=True):
    """One move of the pointer."""

    number: int
    """Where it came to; 0 for what came with MIA."""
    why: Literal["promote", "rollback"]
    at: str
    """ISO 8601, UTC."""


class Pointer(Noun, frozen=True):
    """Every move, the oldest first; the version in use is what they come to."""

    moves: tuple[Move, ...] = ()

    @property
    def before(self) -> list[int]:
        """The numbers that were promoted and not rolled back; the last is the one in use."""
        stack = [0]
        for move in self.moves:
            if move.why == "promote":
                stack.append(move.number)
                continue
            while len(stack) > 1:
                stack.pop()
                if stack[-1] == move.number:
                    break
        return stack

    def back(self, there: Collection[int]) -> int:
        """Where a rollback goes to: what was in use before, of those versions that are there."""
        known = (number for number in reversed(self.before[:-1]) if not number or number in there)
        return next(known, 0)
