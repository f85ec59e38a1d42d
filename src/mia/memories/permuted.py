"""A placebo: what a memory holds for another question, so that a comparison shows what it is worth
that memories fit, beside what it is worth that there is something to read.

Each question has its partner, of another family, for the whole stream and for every run of one
seed. What memory holds for the partner may in the end stem from the question itself, once that was
remembered and is the nearest of what is known; workflows of which that is told are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from msgspec.structs import replace

from mia.errors import ConfigError, InputError
from mia.memory import Memory
from mia.types import Episode, Question, Recalled, Recollection, Remembered


class Permuted:
    """What a memory recalls, dealt out to the wrong questions."""

    def __init__(self, memory: Memory, questions: Sequence[Question], seed: int) -> None:
        """`questions` are those that will be asked. Raises ConfigError when more than half of them
        are of one family, so that not each can have a partner of another one."""
        self._memory = memory
        self._partners = partners(questions, seed)

    async def recall(self, question: Question) -> Recollection:
        """What the memory recalls for the question's partner. Raises InputError for a question that
        has none."""
        partner = self._partners.get(question.id)
        if partner is None:
            raise InputError(f"the placebo was not told that question {question.id!r} is asked")
        found = await self._memory.recall(partner)
        return replace(
            found,
            successes=_of_others(found.successes, question),
            failures=_of_others(found.failures, question),
        )

    async def remember(self, episode: Episode) -> Remembered:
        """Remembers as the memory does."""
        return await self._memory.remember(episode)


def _of_others(items: tuple[Recalled, ...], question: Question) -> tuple[Recalled, ...]:
    return tuple(
        item
        for item in items
        if item.workflow.question_id != question.id
        and (question.task is None or item.workflow.task != question.task)
    )


def partners(questions: Sequence[Question], seed: int) -> Mapping[str, Question]:
    """Another question for each, by id: every one once, none of the same family. Questions without
    a family are families of their own, or of their task. Raises ConfigError when there is no such
    deal."""
    families: dict[str, list[Question]] = {}
    for question in sorted({q.id: q for q in questions}.values(), key=lambda q: q.id):
        families.setdefault(_family(question), []).append(question)
    lot = Random(seed)
    dealt = [lot.sample(families[name], len(families[name])) for name in sorted(families)]
    lot.shuffle(dealt)
    line = [question for family in dealt for question in family]
    # families stand side by side: as many places on as the largest has, everyone is in another one
    step = max(map(len, dealt), default=0)
    if 2 * step > len(line):
        raise ConfigError(
            f"{step} of {len(line)} questions are of one family: not each can have a partner of"
            " another one"
        )
    return {one.id: line[(at + step) % len(line)] for at, one in enumerate(line)}


def _family(question: Question) -> str:
    if question.family is not None:
        return f"family {question.family}"
    return f"task {question.task}" if question.task is not None else f"question {question.id}"
