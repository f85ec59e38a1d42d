"""Learning while answering, question by question (test-time learning; the paper's Alg. 3).

For each question of a stream: recall; several plans of the policy as it is now; a router picks one;
its answer counts; the others are explored; memory keeps the shortest success and one failure, plan
memory the contrast of both; and when a batch of questions is full the policy is updated. Question i
sees the memory and the weights that the questions before it left, and nothing else.

Without a learner (a model whose weights are not ours) all is the same but the last: what is learned
is then in memory and plan memory alone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace

from mia.captioner import Captioner
from mia.journal import RunRecord
from mia.judge import Judge
from mia.judges.exact_match import same
from mia.memory import Memory
from mia.router import PlanMemory, Router
from mia.training.buffer import Buffer, Kept, Outcome
from mia.training.collect import prepared
from mia.training.exercises import Exercise
from mia.training.exploring import Explored, explore, judged_right, selections
from mia.training.guards import Limits
from mia.training.keeping import Attempted, Keeper, kept
from mia.training.learner import Learner
from mia.training.presets import Preset
from mia.training.rewards import Reward
from mia.training.rollouts import Actor, Attempt
from mia.training.study import Study, Watch, lessons
from mia.training.trying import opinion
from mia.training.voting import by_vote
from mia.types import Episode, Question, Usage, VerdictValue


@dataclass(frozen=True, kw_only=True)
class Online:
    """Who answers a stream, and learns."""

    actor: Actor
    captioner: Captioner
    memory: Memory
    plan_memory: PlanMemory
    router: Router
    record: Callable[[str], RunRecord]
    """A run of the journal, by what its name ends with: the answers have one for each epoch, and so
    has each place of those that were explored."""
    preset: Preset
    buffer: Buffer
    learner: Learner | None
    checkpoint: Path
    """A folder."""
    limits: Limits = field(default_factory=Limits)
    canary: Sequence[Exercise] = ()
    """Never learned from; with answers."""
    audit: Judge | None = None
    """Another judge, for a share of the answers."""
    vote: Reward | None = None
    """Where attempts judge each other: what one is worth when they have. What the actor's own
    judge and reward say does not count then."""
    gold: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Right answers by question, for the record: nobody who takes part is told of them."""

    async def learn(self, stream: Sequence[Question], watch: Watch) -> None:
        """Answers a stream, epoch after epoch, from where it was left. `watch` is shown every
        Outcome and Learned. Raises StoreError, TrainingError, and what a reward of somebody's own
        raises."""
        study, keeper = self._study, self._keeper
        if study is not None:
            study.restore()
            await study.begin()
        for outcome, keep in self.buffer.unsettled():
            watch(await keeper.keep(outcome, keep))
        done = len(self.buffer.outcomes())
        for place in range(done, max(1, round(self.preset.epochs)) * len(stream)):
            if study is not None:
                await study.update(watch, partial=False)
            outcome, keep = await self._answer(stream, place)
            watch(await keeper.keep(outcome, keep))
        if study is not None:
            await study.update(watch, partial=False)
            await study.update(watch, partial=True)
            await study.conclude(watch)

    @cached_property
    def _study(self) -> Study | None:
        """Whoever learns from what is attempted; None where no weights do."""
        if self.learner is None:
            return None
        return Study(
            actor=self.actor, preset=self.preset, buffer=self.buffer, learner=self.learner,
            checkpoint=self.checkpoint, limits=self.limits, canary=self.canary,
        )  # fmt: skip

    @cached_property
    def _keeper(self) -> Keeper:
        return Keeper(memory=self.memory, plan_memory=self.plan_memory, buffer=self.buffer)

    @cached_property
    def _attempted(self) -> Attempted:
        return Attempted(self.record)

    async def _answer(self, stream: Sequence[Question], place: int) -> tuple[Outcome, Kept]:
        epoch, at = divmod(place, len(stream))
        question, run = stream[at], f" epoch {epoch + 1}" if epoch else ""
        began, version = time.monotonic(), self.learner.version if self.learner else 0
        ready = await prepared(question, self.captioner, self.memory, None)
        seconds = 0.0

        async def answered(one: Attempt) -> None:
            nonlocal seconds
            await self._attempted.write(run, one.rollout.episode)
            seconds = time.monotonic() - began

        explored = await explore(
            self.actor, ready.exercise or Exercise(question=question),
            attempts=self.preset.attempts, seed=f"{self.preset.seed} {place}",
            temperature=self.preset.temperature, router=self.router,
            plan_memory=self.plan_memory, answered=answered,
        )  # fmt: skip
        for number, one in enumerate(explored.attempts, 1):
            if one is not explored.answer:
                await self._attempted.write(f"{run} attempt {number}", one.rollout.episode)
        if self.vote is not None:
            explored = await asyncio.to_thread(by_vote, explored, self.vote)
        episodes = [one.rollout.episode for one in explored.attempts]
        keep = kept(episodes, f"{self.preset.seed} {place}")
        answering, exploring = _costs(explored)
        judged = [judged_right(one) for one in explored.attempts]
        right = self._right(explored, judged)
        outcome = Outcome(
            place=place, question=question.id, family=question.family,
            episode=explored.answer.rollout.episode.id,
            answer=explored.answer.rollout.episode.answer,
            rewards=tuple(one.parts.total if one.parts else None for one in explored.attempts),
            right=right[explored.picked], judged=judged[explored.picked],
            selections=selections(explored, f"{self.preset.seed} {place}", right),
            reason=explored.choice.reason, version=version,
            audited=await self._audited(explored.answer.rollout.episode, place),
            answering=ready.usage + answering, exploring=exploring, faults=ready.faults,
            answered=seconds, seconds=time.monotonic() - began,
        )  # fmt: skip
        self.buffer.add(outcome, lessons(explored.attempts, self.limits), keep)
        return outcome, keep

    def _right(self, explored: Explored, judged: Sequence[bool | None]) -> Sequence[bool | None]:
        """Of each attempt."""
        gold = self.gold.get(explored.answer.rollout.episode.question.id)
        if gold is None:
            return judged
        answers = [one.rollout.episode.answer or "" for one in explored.attempts]
        return [any(same(answer, each) for each in gold) for answer in answers]

    async def _audited(self, episode: Episode, place: int) -> bool | None:
        """What the other judge says of an answer, where it falls to its share."""
        lot = random.Random(f"audit {self.preset.seed} {place}").random()
        if self.audit is None or lot >= self.limits.audit:
            return None
        verdict = await opinion(self.audit, episode)
        if verdict.value is VerdictValue.UNKNOWN:
            return None
        return verdict.value is VerdictValue.CORRECT


def _costs(explored: Explored) -> tuple[Usage, Usage]:
    """Of the answer, with all plans and the router; and of carrying out the other plans."""
    answering, exploring = explored.choice.usage, Usage()
    for one in explored.attempts:
        episode = one.rollout.episode
        carried_out = replace(episode, plan=None).usage
        answering += episode.plan.usage if episode.plan else Usage()
        if one is explored.answer:
            answering += carried_out
        else:
            exploring += carried_out
    return answering, exploring
