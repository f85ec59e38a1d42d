"""Episodes of a policy in training: the same `solve` as everywhere, with the policy in the place of
the Planner's or the Executor's model, every one of its calls written down, and a reward at the end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from mia.errors import JudgeError, MIAError, ModelError
from mia.judge import Judge
from mia.model import Model, Policy
from mia.planner import Planner
from mia.solve import Team, solve
from mia.training.exercises import Exercise
from mia.training.policy_model import Chat, PolicyModel, Transcript
from mia.training.rewards import Parts, Reward, Rollout
from mia.training.samples import Sample, samples_of
from mia.training.versions import Role
from mia.types import (
    Episode,
    Plan,
    Question,
    Recollection,
    Reflection,
    Remembered,
    Trajectory,
    Verdict,
)

Cast = Callable[[Model, Exercise], Team]
"""The team of an exercise, with the model that plays the role in training."""
Voice = Callable[[Transcript, float, int], Model]
"""The model that plays the role in one episode, at a temperature and with a seed for its draws;
what it is asked and says is in the transcript."""
UnderWay = Callable[[], AbstractContextManager[None]]
"""Is entered for as long as an episode goes on."""


class Attempt(NamedTuple):
    """One episode of training."""

    rollout: Rollout
    parts: Parts | None
    """None where nothing can be learned from it."""
    samples: tuple[Sample, ...]
    """None where there is no reward."""
    sampled: int
    """Tokens that the policy sampled."""
    truncated: bool
    """Some reply of it ran into its limit."""


def sampled(policy: Policy, chat: Chat, longest: int | None = None) -> Voice:
    """The voice of a policy whose every id is written down; `longest` is how many tokens a reply
    may have at most."""

    def voice(transcript: Transcript, temperature: float, seed: int) -> Model:
        return PolicyModel(
            policy, chat, transcript, temperature=temperature, seed=seed, longest=longest
        )

    return voice


class Actor(NamedTuple):
    """Who is in training, and how it is judged."""

    role: Role
    cast: Cast
    voice: Voice
    reward: Reward
    under_way: UnderWay = nullcontext


class Unrecorded:
    """The Record of episodes that are data of a training run, and of no journal."""

    async def append(self, episode: Episode) -> None:
        """Keeps nothing."""

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        """Keeps nothing."""


async def attempt(
    actor: Actor, exercise: Exercise, *, group: str, seed: int, temperature: float
) -> Attempt:
    """One episode and what it is worth. Raises what a reward of somebody's own raises; a bad run is
    data on its episode."""
    return await _paid(actor, *await _played(actor, exercise, seed, temperature), group)


async def _played(
    actor: Actor, exercise: Exercise, seed: int, temperature: float
) -> tuple[Rollout, Transcript]:
    """One episode, and what the policy was asked and said in it."""
    transcript = Transcript("plan" if actor.role == "planner" else "act")
    team = actor.cast(actor.voice(transcript, temperature, seed), exercise)
    if actor.role == "planner":
        team = dataclasses.replace(team, planner=_Staged(team.planner, transcript))
    episode = await solve(exercise.question, team)
    first = await _first_verdict(episode, team.judge)
    rollout = Rollout(episode=episode, replies=tuple(transcript.replies), first_verdict=first)
    return rollout, transcript


async def _paid(actor: Actor, rollout: Rollout, transcript: Transcript, group: str) -> Attempt:
    """What an episode is worth. In a thread: a reward of somebody's own may take its time, and the
    other episodes go on meanwhile."""
    parts = await asyncio.to_thread(actor.reward, rollout)
    samples: tuple[Sample, ...] = ()
    if parts is not None:
        samples = samples_of(transcript.calls, parts.total, group, rollout.episode.id)
    return Attempt(
        rollout,
        parts,
        samples,
        sampled=sum(len(call.response_ids) for call in transcript.calls),
        truncated=any(call.truncated for call in transcript.calls),
    )


async def group(
    actor: Actor, exercises: Sequence[Exercise], *, attempts: int, seed: str, temperature: float
) -> list[list[Attempt]]:
    """So many attempts at each exercise, all side by side. What chance decides in each depends on
    `seed`, its exercise and its place only. Raises what an attempt raises."""
    all_there = asyncio.Barrier(len(exercises) * attempts)

    async def one(place: int, exercise: Exercise, number: int) -> Attempt:
        with actor.under_way():
            await all_there.wait()
            first_draw = seed_of(seed, place, exercise.question.id, number)
            played = await _played(actor, exercise, first_draw, temperature)
        return await _paid(actor, *played, f"{place} {exercise.question.id}")

    try:
        async with asyncio.TaskGroup() as tasks:
            asked = [
                [tasks.create_task(one(place, exercise, number)) for number in range(attempts)]
                for place, exercise in enumerate(exercises)
            ]
    except* MIAError as errors:
        raise errors.exceptions[0] from None
    return [[task.result() for task in tasks] for tasks in asked]


def seed_of(*parts: object) -> int:
    """A number for the first draw of an episode; its later ones count on from there."""
    raw = "\n".join(map(str, parts)).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=7).digest(), "big") << 6


async def _first_verdict(episode: Episode, judge: Judge) -> Verdict | None:
    """On the first run's answer, where there is another that counts."""
    if episode.final is episode.trajectory or episode.plan is None:
        return None
    if episode.trajectory.answer is None:
        return None
    try:
        return await judge.judge(episode.question, episode.plan, episode.trajectory)
    except (JudgeError, ModelError):
        return None


class _Staged:
    """A Planner that notes in a transcript what it is being asked for."""

    def __init__(self, planner: Planner, transcript: Transcript) -> None:
        self._planner = planner
        self._transcript = transcript

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        self._transcript.stage = "plan"
        return await self._planner.plan(question, recollection)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        self._transcript.stage = "reflection"
        return await self._planner.reflect(question, plan, trajectory)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        self._transcript.stage = "replan"
        return await self._planner.replan(question, recollection, plan, trajectory, reflection)
