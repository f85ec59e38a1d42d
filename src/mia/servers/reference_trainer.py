"""What stands behind a learner's routes: questions come in, are attempted, wait, and an update
learns from them when there are enough.

One thing at a time: weights that change while somebody samples from them teach nothing. What was
begun is brought to its end even when nobody waits for the answer any more, so that whoever asks
again finds it done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.errors import ModelError, TrainingError
from mia.memories.given import GivenMemory
from mia.model import Model
from mia.planner import Planner
from mia.servers.reference_partners import Later, Partners, Remembered, Worth
from mia.servers.reference_submitted import Step, Submitted, key_of
from mia.solve import Team
from mia.training.exercises import Exercise
from mia.training.grpo import advantages
from mia.training.guards import Limits, fresh
from mia.training.learner import Learner
from mia.training.presets import Preset
from mia.training.rollouts import Actor, Attempt, Unrecorded, group
from mia.training.samples import Sample
from mia.training.voting import unjudged
from mia.types import Question

_FAULTS = 3
"""That are told where no attempt could be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a trainer works with."""

    actor: Actor
    """The Planner's voice; who else takes part is somewhere else."""
    planner: Callable[[Model], Planner]
    """Makes the planner that speaks through a model."""
    learner: Learner
    preset: Preset
    partners: Partners
    submitted: Submitted
    checkpoint: Path
    """A folder."""
    publish: Callable[[Sequence[Step]], object]
    """Makes a version of the policy as it is after these updates, once. Blocks."""
    limits: Limits = field(default_factory=Limits)


class Trainer:
    """Attempts and learns, from where it was left."""

    def __init__(self, parts: Parts) -> None:
        """Raises what a checkpoint raises that cannot be read."""
        self.preset = parts.preset
        self._parts = parts
        self._alone = asyncio.Lock()
        parts.learner.restore(parts.checkpoint)

    @property
    def updates(self) -> int:
        """That are finished."""
        return self._parts.learner.version

    @property
    def waiting(self) -> tuple[int, int]:
        """How many questions wait for an update, and how many attempts at them. Blocks."""
        return self._parts.submitted.waiting()

    async def submit(
        self, asked: Sequence[Question], epoch: int, *, partial: bool, apart: bool = False
    ) -> Step | None:
        """Attempts what is new among these questions; the update that came of it, or that learned
        from them before; None where there are not enough yet. With `partial` few are enough, and
        `apart` learns from these alone. Raises ModelError where nobody could attempt or judge any
        of them, StoreError, and TrainingError."""
        return await asyncio.shield(self._submit(asked, epoch, partial, apart))

    async def publish(self) -> int:
        """Makes a version of the policy as it is; the number of its last update. Raises
        TrainingError before there is one, and StoreError."""
        return await asyncio.shield(self._publish())

    async def _submit(
        self, asked: Sequence[Question], epoch: int, partial: bool, apart: bool
    ) -> Step | None:
        async with self._alone:
            store = self._parts.submitted
            interrupted = await self._update(partial=False)
            keys = {key_of(question, epoch): question for question in asked}
            known = await asyncio.to_thread(store.known, list(keys))
            new = {key: question for key, question in keys.items() if key not in known}
            if new:
                await self._attempt(new, epoch)
            step = await self._update(partial=partial, only=list(keys) if apart else ())
            if step is None and not new:
                step = await asyncio.to_thread(store.step_of, list(keys))
            return step or interrupted

    async def _publish(self) -> int:
        async with self._alone:
            if not self.updates:
                raise TrainingError("there is no finished update yet")
            steps = await asyncio.to_thread(self._parts.submitted.steps)
            await asyncio.to_thread(self._parts.publish, steps)
            return self.updates

    async def _attempt(self, new: Mapping[bytes, Question], epoch: int) -> None:
        """Attempts questions, has the attempts judged and banked, and keeps what they teach."""
        parts = self._parts
        found = await asyncio.gather(*map(parts.partners.recall, new.values()))
        exercises = [
            Exercise(question=question, recollection=one.recollection)
            for question, one in zip(new.values(), found, strict=True)
        ]
        groups = await group(
            parts.actor._replace(cast=self._team, reward=unjudged),
            exercises,
            attempts=parts.preset.attempts,
            seed=f"{parts.preset.seed} {epoch}",
            temperature=parts.preset.temperature,
        )
        worths = await asyncio.gather(
            *(parts.partners.worth(one.rollout) for of_one in groups for one in of_one)
        )
        _check(worths, [one for of_one in groups for one in of_one])
        judged = iter(worths)
        kept: list[tuple[bytes, int, Sequence[Sample]]] = []
        for key, one, attempts in zip(new, found, groups, strict=True):
            valued = [(attempt, next(judged)) for attempt in attempts]
            await self._bank(valued, one)
            kept.append((key, len(attempts), _samples(valued, key.hex())))
        await parts.partners.learn()
        await asyncio.to_thread(parts.submitted.add, kept)

    def _team(self, model: Model, exercise: Exercise) -> Team:
        return Team(
            captioner=Blind(),
            memory=GivenMemory(exercise.recollection),
            planner=self._parts.planner(model),
            executor=self._parts.partners.executor(),
            judge=Later(),
            record=Unrecorded(),
        )

    async def _bank(
        self, valued: Sequence[tuple[Attempt, Worth | None]], recalled: Remembered
    ) -> None:
        for attempt, worth in valued:
            if worth is not None:
                bank, episode = self._parts.partners.bank, attempt.rollout.episode
                await bank(episode, worth, recalled.indices)

    async def _update(self, *, partial: bool, only: Sequence[bytes] = ()) -> Step | None:
        """Updates the policy where a batch is full, or holds anything at all."""
        parts, learner, began = self._parts, self._parts.learner, time.monotonic()
        store, number = parts.submitted, learner.version + 1
        questions = await asyncio.to_thread(
            lambda: store.form(number, parts.preset.questions, partial=partial, only=only)
        )
        if not questions:
            return None
        every = await asyncio.to_thread(store.batch, number)
        samples = fresh(every, learner.version, parts.limits)
        known = advantages(samples)
        update = await asyncio.to_thread(learner.update, samples, known)
        step = Step(
            update=update,
            questions=questions,
            dropped=known.dropped,
            stale=len(every) - len(samples),
            reward=sum(one.reward for one in samples) / max(1, len(samples)),
            drift=await asyncio.to_thread(learner.drift, samples),
            seconds=time.monotonic() - began,
        )
        await asyncio.to_thread(learner.save, parts.checkpoint)
        await asyncio.to_thread(store.note, step)
        if learner.version % parts.preset.save_every == 0:
            steps = await asyncio.to_thread(store.steps)
            await asyncio.to_thread(parts.publish, steps)
        return step


def _check(worths: Sequence[Worth | None], attempts: Sequence[Attempt]) -> None:
    """Raises ModelError where nobody could say what any attempt is worth: what is down would go on
    to cost every update."""
    if any(worth is not None for worth in worths):
        return
    faults = [fault for one in attempts for fault in one.rollout.episode.faults]
    told = "; ".join(list(dict.fromkeys(faults))[:_FAULTS]) or "the reward service knows none"
    raise ModelError(f"no attempt could be carried out and judged: {told}")


def _samples(valued: Sequence[tuple[Attempt, Worth | None]], name: str) -> list[Sample]:
    """What a group teaches, each attempt by what it is worth."""
    return [
        replace(sample, reward=worth.score, group=name)
        for attempt, worth in valued
        if worth is not None
        for sample in attempt.samples
    ]
