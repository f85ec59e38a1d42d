"""The Router's contract: it picks one of several plans before any of them is carried out, by what
plan memory knows of plans that led to a right answer and plans that did not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec.structs import replace

from mia.errors import ModelError
from mia.planner import Planner
from mia.types import Episode, Noun, Plan, Question, Recollection, Usage


class PlanPair(Noun, frozen=True):
    """Two plans for one question, as templates: the one that led to a right answer, and the one
    that did not."""

    id: str
    namespace: str
    question: str
    question_template: str
    right: str
    wrong: str
    right_episode: str
    wrong_episode: str
    created: str
    """ISO 8601, UTC."""
    question_id: str = ""
    task: str | None = None
    seen: int = 1
    """How many couples of episodes showed it."""


class Choice(Noun, frozen=True):
    """Which candidate a router picked, and why."""

    index: int
    """Counted from zero."""
    reason: str
    usage: Usage = Usage()


class Router(Protocol):
    """Picks one of several plans."""

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        """Raises ModelError when it cannot tell which one it picked."""
        ...


class PairRemembered(Noun, frozen=True):
    """What plan memory decided to do with two episodes."""

    decision: Literal["stored", "merged", "ignored"]
    reason: str
    pair_id: str | None = None


class PlanMemory(Protocol):
    """Plans that worked beside plans that did not, by question."""

    async def pairs(self, question: Question, k: int) -> tuple[PlanPair, ...]:
        """At most `k` pairs that bear on the question, the most relevant first; often none."""
        ...

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        """Keeps the contrast of two episodes of one question that were judged correct and
        incorrect. Doing it twice changes nothing."""
        ...


async def draw(
    planner: Planner, explorer: Planner, question: Question, recollection: Recollection, count: int
) -> tuple[Plan, ...]:
    """Candidate plans: the planner's own, then those of `count - 1` tries of the explorer, which
    is the same planner at a higher temperature. Plans of one text count once, at the cost of all.

    A try that cannot be read is no candidate; raises ModelError when none could be read. The
    explorer's come in the order of their texts: it does not matter which was there first, so a
    replayed run draws what the recorded one drew.
    """
    tries = [planner, *[explorer] * (count - 1)]
    drawn = await asyncio.gather(*(_try(each, question, recollection) for each in tries))
    own, *others = drawn
    plans = sorted((plan for plan in others if isinstance(plan, Plan)), key=lambda plan: plan.text)
    if isinstance(own, Plan):
        plans.insert(0, own)
    elif not plans:
        raise own
    return _distinct(plans)


async def _try(
    planner: Planner, question: Question, recollection: Recollection
) -> Plan | ModelError:
    try:
        return await planner.plan(question, recollection)
    except ModelError as error:
        return error


def _distinct(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """One plan a text, blanks aside."""
    kept: dict[str, Plan] = {}
    for plan in plans:
        key = " ".join(plan.text.split())
        known = kept.get(key)
        kept[key] = replace(known, usage=known.usage + plan.usage) if known else plan
    return tuple(kept.values())
