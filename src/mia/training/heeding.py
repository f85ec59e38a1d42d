"""What people say of an answer goes to memory: a verdict on its episode, once; or, where it
contradicts what memory was told before, memory forgets the episode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from mia.errors import InputError
from mia.judges.feedback import Feedback, right_answers, verdict_of
from mia.memory import Memory
from mia.training.buffer import Buffer
from mia.training.inbox import Inbox, Told
from mia.types import Episode, Question, Verdict, VerdictValue


class Said(NamedTuple):
    """What all feedback on an answer comes to."""

    verdict: Verdict
    """By the last that decides."""
    right: tuple[str, ...]
    """Right answers; none where nobody gave one."""


def last_word(feedback: Sequence[Feedback], episode: Episode) -> Said | None:
    """What feedback on an episode comes to, the last to decide first: whoever says something else
    takes back what was said before. None where none decides."""
    decided: Verdict | None = None
    for each in reversed(feedback):
        verdict = verdict_of(each, episode)
        if verdict.value is VerdictValue.UNKNOWN:
            continue
        decided = decided or verdict
        if verdict.value is not decided.value:
            break
        if right := right_answers(each, episode):
            return Said(decided, right)
    return None if decided is None else Said(decided, ())


@dataclass(frozen=True, kw_only=True)
class Heeding:
    """Tells memory what people say."""

    inbox: Inbox
    episode: Callable[[str], Episode]
    """Of the journal, by its id; raises InputError where it is not there."""
    memory: Memory
    forget: Callable[[Sequence[str]], None]
    """Makes memory forget all that comes from episodes; a second time changes nothing."""
    buffer: Buffer

    async def heed(self, told: Told) -> str:
        """What came of feedback, which is noted in the inbox; a second time changes nothing.
        Raises ModelError and StoreError."""
        came_to = await self._came_to(told)
        self.inbox.settle(told.place, came_to)
        return came_to

    def said(self, episode: Episode) -> Said | None:
        """What people said of an answer, as far as memory was told."""
        told = self.inbox.of(episode.id)
        return last_word([each.feedback for each in told if each.came_to is not None], episode)

    def question(self, episode: str) -> Question | None:
        """What was asked, with the right answers that people gave; None where it is not in the
        journal any more."""
        try:
            found = self.episode(episode)
        except InputError:
            return None
        said = self.said(found)
        return replace(found.question, answers=(said.right or None) if said else None)

    async def _came_to(self, told: Told) -> str:
        try:
            episode = self.episode(told.episode)
        except InputError as error:
            return f"nothing: {error}"
        verdict = verdict_of(told.feedback, episode)
        if verdict.value is VerdictValue.UNKNOWN:
            return f"nothing: {verdict.reason}"
        right = verdict.value is VerdictValue.CORRECT
        tried = self._audited(told, right)
        stands = self.inbox.rule(told.episode, right)
        if stands == "withdrawn":
            return "nothing: memory forgot this answer when it was contradicted"
        if (stands == "right") is right:
            remembered = await self.memory.remember(replace(episode, verdict=verdict))
            return f"{remembered.decision}: {remembered.reason}"
        await asyncio.to_thread(self.forget, (told.episode, *tried))
        self.inbox.withdraw(told.episode)
        return "forgotten: it contradicts what memory was told of this answer"

    def _audited(self, told: Told, right: bool) -> tuple[str, ...]:
        """Notes what a person says where a judge had decided; the episodes that memory keeps by
        what was known of the question then."""
        asked = self.inbox.about(told.episode)
        outcome = None if asked is None else self.buffer.outcome(asked.place)
        if outcome is None:
            return ()
        if outcome.judged is not None:
            self.buffer.amend(replace(outcome, audited=right))
        return outcome.remembered
