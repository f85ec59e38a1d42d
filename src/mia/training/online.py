"""Learning while answering, question by question (test-time learning; the paper's Alg. 3).

For each question of a stream: recall; several plans of the policy as it is now; a router picks one;
its answer counts; the others are explored; memory keeps the shortest success and one failure, plan
memory the contrast of both; and when a batch of questions is full the policy is updated. Question i
sees the memory and the weights that the questions before it left, and nothing else.

Without a learner (a model whose weights are not ours) all is the same but the last: what is learned
is then in memory and plan memory alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from mia.captioner import Captioner
from mia.journal import RunRecord
from mia.memory import Memory
from mia.router import PlanMemory, Router
from mia.training.buffer import Buffer, Kept, Outcome
from mia.training.collect import prepared
from mia.training.exercises import Exercise
from mia.training.exploring import Explored, explore, selections
from mia.training.grpo import advantages
from mia.training.learner import Learner, Update
from mia.training.presets import Preset
from mia.training.rollouts import Actor, Attempt
from mia.types import Episode, Noun, Question, Usage, VerdictValue

Watch = Callable[[Noun], None]


class Learned(Noun, frozen=True, omit_defaults=False):
    """One update of the policy."""

    questions: int
    """Of its batch."""
    dropped: int
    """Those that taught nothing: all attempts fared alike."""
    update: Update
    seconds: float


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
    _written: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The questions that have an episode, by run."""

    async def learn(self, stream: Sequence[Question], watch: Watch) -> None:
        """Answers a stream, epoch after epoch, from where it was left. `watch` is shown every
        Outcome and Learned. Raises StoreError, TrainingError, and what a reward of somebody's own
        raises."""
        if self.learner is not None:
            self.learner.restore(self.checkpoint)
        for outcome, keep in self.buffer.unsettled():
            watch(await self._remember(outcome, keep))
        done = len(self.buffer.outcomes())
        for place in range(done, max(1, round(self.preset.epochs)) * len(stream)):
            self._update(watch, partial=False)
            outcome, keep = await self._answer(stream, place)
            watch(await self._remember(outcome, keep))
        self._update(watch, partial=False)
        self._update(watch, partial=True)

    async def _answer(self, stream: Sequence[Question], place: int) -> tuple[Outcome, Kept]:
        epoch, at = divmod(place, len(stream))
        question, run = stream[at], f" epoch {epoch + 1}" if epoch else ""
        began, version = time.monotonic(), self.learner.version if self.learner else 0
        ready = await prepared(question, self.captioner, self.memory, None)
        seconds = 0.0

        async def answered(one: Attempt) -> None:
            nonlocal seconds
            await self._write_down(run, one.rollout.episode)
            seconds = time.monotonic() - began

        explored = await explore(
            self.actor, ready.exercise or Exercise(question=question),
            attempts=self.preset.attempts, seed=f"{self.preset.seed} {place}",
            temperature=self.preset.temperature, router=self.router,
            plan_memory=self.plan_memory, answered=answered,
        )  # fmt: skip
        for number, one in enumerate(explored.attempts, 1):
            if one is not explored.answer:
                await self._write_down(f"{run} attempt {number}", one.rollout.episode)
        keep = _kept(explored, f"{self.preset.seed} {place}")
        answering, exploring = _costs(explored)
        outcome = Outcome(
            place=place, question=question.id, family=question.family,
            episode=explored.answer.rollout.episode.id,
            answer=explored.answer.rollout.episode.answer,
            rewards=tuple(one.parts.total if one.parts else None for one in explored.attempts),
            selections=selections(explored, f"{self.preset.seed} {place}"),
            reason=explored.choice.reason, version=version,
            answering=ready.usage + answering, exploring=exploring, faults=ready.faults,
            answered=seconds, seconds=time.monotonic() - began,
        )  # fmt: skip
        self.buffer.add(outcome, [s for one in explored.attempts for s in one.samples], keep)
        return outcome, keep

    async def _write_down(self, run: str, episode: Episode) -> None:
        """What was answered before a kill stands."""
        record = self.record(run)
        if run not in self._written:
            self._written[run] = {entry.episode.question.id for entry in record.entries()}
        if episode.question.id not in self._written[run]:
            await record.append(episode)
            self._written[run].add(episode.question.id)

    async def _remember(self, outcome: Outcome, keep: Kept) -> Outcome:
        """Lets memory keep what it is to keep; a second time changes nothing."""
        did: list[str] = []
        for episode in filter(None, (keep.success, keep.failure)):
            remembered = await self.memory.remember(episode)
            did.append(f"{remembered.decision}: {remembered.reason}")
        if keep.success and keep.failure:
            question = keep.success.question
            pair = await self.plan_memory.remember_pair(question, keep.success, keep.failure)
            did.append(f"pair {pair.decision}: {pair.reason}")
        settled = replace(outcome, kept=tuple(did))
        self.buffer.settle(settled)
        return settled

    def _update(self, watch: Watch, *, partial: bool) -> None:
        """Updates the policy where a batch is full, or holds anything at all."""
        learner = self.learner
        if learner is None:
            return
        began, number = time.monotonic(), learner.version + 1
        questions = self.buffer.form(number, self.preset.questions, partial=partial)
        if not questions:
            return
        samples = self.buffer.batch(number)
        known = advantages(samples)
        update = learner.update(samples, known)
        learner.save(self.checkpoint)
        seconds = time.monotonic() - began
        watch(Learned(questions=questions, dropped=known.dropped, update=update, seconds=seconds))


def _kept(explored: Explored, seed: str) -> Kept:
    episodes = [one.rollout.episode for one in explored.attempts]
    right = [each for each in episodes if each.verdict.value is VerdictValue.CORRECT]
    wrong = [each for each in episodes if each.verdict.value is VerdictValue.INCORRECT]
    return Kept(
        success=min(right, key=lambda each: len(each.final.turns), default=None),
        failure=random.Random(seed).choice(wrong) if wrong else None,
    )


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
