"""What is kept of a question that was attempted: its episodes in the journal; in memory the
shortest success and one failure, and in plan memory the contrast of both."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from mia.journal import RunRecord
from mia.memory import Memory
from mia.router import PlanMemory
from mia.training.buffer import Buffer, Kept, Outcome
from mia.types import Episode, VerdictValue


def kept(episodes: Sequence[Episode], seed: str) -> Kept:
    """What memory is to keep of the attempts at one question; `seed` draws the failure."""
    right = [each for each in episodes if each.verdict.value is VerdictValue.CORRECT]
    wrong = [each for each in episodes if each.verdict.value is VerdictValue.INCORRECT]
    return Kept(
        success=min(right, key=lambda each: len(each.final.turns), default=None),
        failure=random.Random(seed).choice(wrong) if wrong else None,
    )


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Tells memory what it is to keep."""

    memory: Memory
    plan_memory: PlanMemory
    buffer: Buffer

    async def keep(self, outcome: Outcome, keep: Kept) -> Outcome:
        """Notes in the buffer what memory did; a second time changes nothing."""
        did: list[str] = []
        made: dict[str, str | None] = {}
        for episode in filter(None, (keep.answer, keep.success, keep.failure)):
            if episode.id in made:
                continue
            remembered = await self.memory.remember(episode)
            did.append(f"{remembered.decision}: {remembered.reason}")
            made[episode.id] = remembered.workflow_id
        if keep.success and keep.failure:
            question = keep.success.question
            pair = await self.plan_memory.remember_pair(question, keep.success, keep.failure)
            did.append(f"pair {pair.decision}: {pair.reason}")
        settled = replace(
            outcome, kept=tuple(did), remembered=tuple(made),
            workflows=tuple(id for id in made.values() if id is not None),
            success=made[keep.success.id] if keep.success else None,
        )  # fmt: skip
        self.buffer.settle(settled)
        return settled


@dataclass(frozen=True)
class Attempted:
    """The journal of what was attempted: a question has one episode in each run."""

    record: Callable[[str], RunRecord]
    """A run of the journal, by what its name ends with."""
    _written: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The questions that have an episode, by run."""

    async def write(self, run: str, episode: Episode) -> None:
        """What was written before a kill stands."""
        record = self.record(run)
        if run not in self._written:
            self._written[run] = {entry.episode.question.id for entry in record.entries()}
        if episode.question.id not in self._written[run]:
            await record.append(episode)
            self._written[run].add(episode.question.id)
