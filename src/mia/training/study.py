"""What is learned from what was attempted: an update whenever a batch is full, under the eyes of
the guards, from where it was left.

What an update came to is noted before the checkpoint is written. Whoever is killed between the two
does the same update again, or what its alarm asks for, so that no alarm is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial as given
from pathlib import Path

from msgspec.structs import replace

from mia.training.buffer import Buffer, Learned
from mia.training.exercises import Exercise
from mia.training.grpo import advantages
from mia.training.guards import (
    Alarm,
    Limits,
    admitted,
    as_good,
    best,
    collapsed,
    contradicted,
    drifted,
    fresh,
    sure,
    worse,
)
from mia.training.learner import Learner, Update
from mia.training.presets import Preset
from mia.training.rollouts import Actor, Attempt, group
from mia.training.samples import Sample
from mia.types import Noun, VerdictValue

Watch = Callable[[Noun], None]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A policy that learns from a buffer."""

    actor: Actor
    """Whom the canary questions are asked."""
    preset: Preset
    buffer: Buffer
    learner: Learner
    checkpoint: Path
    """A folder."""
    limits: Limits
    canary: Sequence[Exercise] = ()
    """Never learned from; with answers."""

    def restore(self) -> None:
        """Goes on from the checkpoint, where there is one. Raises InputError and StoreError."""
        self.learner.restore(self.checkpoint)
        for each in self.buffer.learned():
            if each.update.version == self.learner.version:
                self._obey(each)

    async def begin(self) -> None:
        """Looks at the canary questions before anything is learned."""
        if self.canary and not self.learner.version and not self.buffer.learned():
            self.buffer.note(await self.look())

    async def look(self) -> Learned:
        """What the canary questions, where there are any, say of the policy as it is; as of an
        update that learned nothing."""
        nothing = Update(version=self.learner.version, samples=0, rows=0, tokens=0)
        return Learned(update=nothing, canary=await self._asked() if self.canary else ())

    def frozen(self, since: Learned | None = None) -> Alarm | None:
        """Why learning stopped, after the policy of `since` where somebody let it go on there."""
        alarms = (each.alarm for each in self._before(self.learner.version + 1, since))
        return next((alarm for alarm in alarms if alarm and alarm.action == "freeze"), None)

    def ready(self, *, partial: bool, since: Learned | None = None) -> int:
        """How many questions the next update learns from: as many as a batch has, or those that
        there are; none where they are too few, or learning stopped."""
        if self.frozen(since) is not None:
            return 0
        batch = self.preset.questions
        admit = given(admitted, batch=batch, limits=self.limits)
        return self.buffer.form(self.learner.version + 1, batch, partial=partial, admit=admit)

    async def update(self, watch: Watch, *, partial: bool, since: Learned | None = None) -> bool:
        """Updates the policy where a batch is full, or holds anything at all, unless a guard froze
        learning; whether it did. What was before `since` counts for no guard: somebody looked at
        it, and took up that policy. Raises TrainingError and StoreError."""
        began, learner = time.monotonic(), self.learner
        questions, number = self.ready(partial=partial, since=since), learner.version + 1
        if not questions:
            return False
        samples = fresh(self.buffer.batch(number), learner.version, self.limits)
        known = advantages(samples)
        update = learner.update(samples, known)
        learned = Learned(
            update=update, questions=questions, dropped=known.dropped, length=_length(samples),
            drift=learner.drift(samples),
        )  # fmt: skip
        if self.canary and number % self.limits.canary_every == 0:
            learned = replace(learned, canary=await self._asked())
        learned = self._weighed(learned, since)
        learned = replace(learned, seconds=time.monotonic() - began)
        self._note(learned)
        watch(learned)
        return True

    async def look_again(self, watch: Watch, since: Learned | None = None) -> Learned | None:
        """Looks at the canary questions where the last update did not; the last update then, None
        where there is none."""
        updates = self.buffer.learned()
        if not updates:
            return None
        last = updates[-1]
        if self.canary and not last.canary and last.alarm is None:
            last = self._weighed(replace(last, canary=await self._asked()), since)
            self._note(last)
            watch(last)
        return last

    async def conclude(self, watch: Watch) -> None:
        """Looks at the canary questions a last time, and leaves the policy that was last found
        good."""
        last = await self.look_again(watch)
        if last is not None and not last.good:
            self.learner.go_back()

    def save(self) -> None:
        """Writes the checkpoint. Raises StoreError."""
        self.learner.save(self.checkpoint)

    def _before(self, number: int, since: Learned | None) -> list[Learned]:
        """The updates before one, since somebody let learning go on."""
        every = [each for each in self.buffer.learned() if each.update.version < number]
        if since is None:
            return every
        return [since, *(each for each in every if each.update.version > since.update.version)]

    def _note(self, learned: Learned) -> None:
        self.buffer.note(learned)
        self.save()

    def _weighed(self, now: Learned, since: Learned | None) -> Learned:
        """What the guards make of a policy, and of what the learner holds to be good."""
        before = self._before(now.update.version, since)
        alarm = self._alarm(now, before, since)
        now = replace(now, good=alarm is None and self._good(now, before), alarm=alarm)
        self._obey(now)
        return now

    def _obey(self, learned: Learned) -> None:
        if learned.good:
            self.learner.found_good()
        elif learned.alarm is not None and learned.alarm.action == "roll back":
            self.learner.go_back()

    def _good(self, now: Learned, before: Sequence[Learned]) -> bool:
        """Whether a policy is one to go back to."""
        looks = [each.canary for each in before if each.canary and each.good]
        if not looks:
            return True
        return bool(now.canary) and as_good(best(looks), now.canary, self.limits)

    def _alarm(
        self, now: Learned, before: Sequence[Learned], since: Learned | None
    ) -> Alarm | None:
        """What the guards say, the gravest first."""
        told = [each for each in (*before, now) if each.update.samples]
        first = 0 if since is None else since.update.version
        audits = [each for each in self.buffer.outcomes()
                  if each.audited is not None and each.version >= first]  # fmt: skip
        alarms = (
            _lost(now, before, self.limits),
            drifted(now.drift, self.limits),
            collapsed(
                [each.update.entropy for each in told], [each.length for each in told], self.limits
            ),
            contradicted(
                [each.judged is True for each in audits],
                [each.audited is True for each in audits],
                self.limits,
            ),
        )
        return next((alarm for alarm in alarms if alarm is not None), None)

    async def _asked(self) -> tuple[bool, ...]:
        """Which canary questions the policy answers, always taking the likeliest token."""
        groups = await group(self.actor, self.canary, attempts=1, seed="canary", temperature=0.0)
        verdicts = [one.rollout.episode.verdict.value for (one,) in groups]
        return tuple(value is VerdictValue.CORRECT for value in verdicts)


def lessons(attempts: Sequence[Attempt], limits: Limits) -> list[Sample]:
    """What can be learned from attempts at one question: the samples of those whose verdict is
    sure."""
    taught = [one for one in attempts if sure(one.rollout.episode, limits)]
    return [sample for one in taught for sample in one.samples]


def _length(samples: Sequence[Sample]) -> float:
    return sum(sum(sample.mask) for sample in samples) / len(samples) if samples else 0.0


def _lost(now: Learned, before: Sequence[Learned], limits: Limits) -> Alarm | None:
    """Whether the canary questions say that the policy got worse than it was found good."""
    looks = [each for each in before if each.canary]
    good = [each.canary for each in looks if each.good]
    if not now.canary or not good:
        return None
    return worse(best(good), None if looks[-1].good else looks[-1].canary, now.canary, limits)
