"""The rollouts of one question: the episodes that memory keeps of them, and which of them each rule
would have answered with.

What chance decides depends on the rollouts only, so that a request that is sent again decides the
same.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from mia.errors import ModelError
from mia.planners.routed import PAIRS
from mia.router import PlanMemory, Router
from mia.servers import reference_memory_wire as memory_wire
from mia.servers.reference_agent_wire import Reviewed, Rollout, plans_apart
from mia.servers.reference_episode import episode, plan_of, run
from mia.servers.reference_memory_wire import readable
from mia.servers.reference_trace import revised
from mia.types import Episode, Recollection

_STEP = re.compile(r"^\W{0,4}(?:step )?\d+\b", re.MULTILINE | re.IGNORECASE)
"""A line that begins with a number."""


class Kept(NamedTuple):
    """What memory is to keep of a group: the shortest that was right, and one that was wrong."""

    success: Rollout | None
    failure: Rollout | None
    mostly_right: bool
    """Which of the two what was recalled is credited by: it counts once for a group."""


def kept(rollouts: Sequence[Rollout]) -> Kept:
    """Of a group. Raises InputError for a judgement that is none."""
    right = [one for one in rollouts if one.right]
    wrong = [one for one in rollouts if not one.right]
    return Kept(
        success=min(right, key=lambda one: len(one.chat), default=None),
        failure=_lot(rollouts).choice(wrong) if wrong else None,
        mostly_right=len(right) > len(wrong),
    )


def episode_of(rollout: Rollout, recollection: Recollection, since: int) -> Episode:
    """The episode that a rollout tells of; `since` says what memory begins with. Raises InputError
    for one that cannot be read."""
    made = episode(_saving(rollout), recollection, since)
    chat = rollout.chat
    place = revised(chat)
    if place is None:
        return made
    return replace(
        made,
        trajectory=run(chat[:place]),
        replan=plan_of(chat[place].text),
        retrajectory=made.trajectory,
    )


def _saving(rollout: Rollout) -> memory_wire.Saving:
    about: dict[str, Any] = {
        "question": rollout.question, "data_id": rollout.data_id,
        "image_caption": rollout.image_caption, "messages": rollout.chat, "plan": rollout.plan,
        "judgement": "correct" if rollout.right else "incorrect",
        "used_memory_indices": rollout.used_memory_indices,
    }  # fmt: skip
    if not isinstance(rollout, Reviewed):
        return memory_wire.Saving(**about)
    opinion = rollout.judgement_data
    return memory_wire.Reviewed(
        **about,
        evaluator_1_feedback=opinion.evaluator_1_feedback,
        evaluator_2_feedback=opinion.evaluator_2_feedback,
        evaluator_3_feedback=opinion.evaluator_3_feedback,
    )


async def by_each_rule(
    rollouts: Sequence[Rollout], router: Router, plan_memory: PlanMemory
) -> dict[str, Rollout]:
    """Which rollout each rule answers with."""
    by_length = sorted(rollouts, key=lambda one: _length(one.plan))
    brief = [one for one in rollouts if revised(one.chat) is None]
    picked = await _picked(rollouts, router, plan_memory)
    few = picked
    if brief and len(brief) < len(rollouts):
        few = await _picked(brief, router, plan_memory)
    slow = next((one.slow_plan for one in reversed(rollouts) if one.slow_plan), None)
    return {
        "random": _lot(rollouts).choice(list(rollouts)),
        "choice": picked,
        "short": by_length[0],
        "long": by_length[-1],
        "slow": next((one for one in rollouts if one.plan == slow), rollouts[-1]),
        "first": rollouts[0],
        "choice-few-reflect": few,
    }


def approved(rollouts: Sequence[Reviewed]) -> Reviewed:
    """One of those that the chair called right; of all where there is none."""
    return _lot(rollouts).choice([one for one in rollouts if one.right] or list(rollouts))


def answer(rollout: Rollout) -> str | None:
    """What a rollout came to."""
    return run(rollout.chat).answer


def line(rollout: Rollout, **more: Any) -> bytes:
    """A line of a file that says which rollout a rule answered with."""
    chat = rollout.chat
    messages = [{"role": each.role, "content": each.text} for each in chat]
    told = {
        "id": rollout.id, "data_id": rollout.id, "question": readable(rollout.question),
        "image_caption": rollout.asked.caption or "", "prediction": answer(rollout) or "",
        "plan": rollout.plan, "slow_plan": rollout.slow_plan or "", "messages": messages,
        "rounds": len(run(chat).turns), "replanned": revised(chat) is not None,
        "used_memory_indices": rollout.used_memory_indices or [],
        "judgement": "correct" if rollout.right else "incorrect",
    }  # fmt: skip
    return msgspec.json.encode(told | more) + b"\n"


async def _picked(rollouts: Sequence[Rollout], router: Router, plan_memory: PlanMemory) -> Rollout:
    """The one whose plan the router picks. It is not asked where there is no choice, and one that
    cannot tell leaves the first."""
    places = list(plans_apart([one.plan for one in rollouts]).values())
    if len(places) < 2:
        return rollouts[0]
    question = rollouts[0].asked
    candidates = [plan_of(rollouts[place].plan) for place in places]
    try:
        pairs = await plan_memory.pairs(question, PAIRS)
        choice = await router.pick(question, candidates, pairs)
    except ModelError:
        return rollouts[0]
    return rollouts[places[choice.index]]


def _length(plan: str) -> tuple[int, int]:
    """Of a plan: its steps, then its words."""
    return len(_STEP.findall(plan)), len(plan.split())


def _lot(rollouts: Sequence[Rollout]) -> random.Random:
    return random.Random(msgspec.json.encode(list(rollouts), order="deterministic"))
