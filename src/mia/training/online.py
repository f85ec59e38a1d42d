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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from mia.captioner import Captioner
from mia.errors import JudgeError, ModelError
from mia.journal import RunRecord
from mia.judge import Judge
from mia.judges.exact_match import same
from mia.memory import Memory
from mia.router import PlanMemory, Router
from mia.training.buffer import Buffer, Kept, Learned, Outcome
from mia.training.collect import prepared
from mia.training.exercises import Exercise
from mia.training.exploring import Explored, explore, judged_right, selections
from mia.training.grpo import advantages
from mia.training.guards import (
    Alarm,
    Limits,
    as_good,
    collapsed,
    contradicted,
    drifted,
    fresh,
    sure,
    worse,
)
from mia.training.learner import Learner, Update
from mia.training.presets import Preset
from mia.training.rewards import Reward
from mia.training.rollouts import Actor, Attempt, group
from mia.training.samples import Sample
from mia.training.voting import by_vote
from mia.types import Episode, Noun, Question, Usage, VerdictValue

Watch = Callable[[Noun], None]


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
    _written: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """The questions that have an episode, by run."""

    async def learn(self, stream: Sequence[Question], watch: Watch) -> None:
        """Answers a stream, epoch after epoch, from where it was left. `watch` is shown every
        Outcome and Learned. Raises StoreError, TrainingError, and what a reward of somebody's own
        raises."""
        if self.learner is not None:
            self.learner.restore(self.checkpoint)
        await self._begin()
        for outcome, keep in self.buffer.unsettled():
            watch(await self._remember(outcome, keep))
        done = len(self.buffer.outcomes())
        for place in range(done, max(1, round(self.preset.epochs)) * len(stream)):
            await self._update(watch, partial=False)
            outcome, keep = await self._answer(stream, place)
            watch(await self._remember(outcome, keep))
        await self._update(watch, partial=False)
        await self._update(watch, partial=True)
        await self._conclude(watch)

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
        if self.vote is not None:
            explored = by_vote(explored, self.vote)
        keep = _kept(explored, f"{self.preset.seed} {place}")
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
        sured = [one for one in explored.attempts if sure(one.rollout.episode, self.limits)]
        self.buffer.add(outcome, [sample for one in sured for sample in one.samples], keep)
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
        if self.audit is None or lot >= self.limits.audit or episode.final_plan is None:
            return None
        try:
            verdict = await self.audit.judge(episode.question, episode.final_plan, episode.final)
        except (JudgeError, ModelError):
            return None
        if verdict.value is VerdictValue.UNKNOWN:
            return None
        return verdict.value is VerdictValue.CORRECT

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

    async def _update(self, watch: Watch, *, partial: bool) -> None:
        """Updates the policy where a batch is full, or holds anything at all, unless a guard froze
        learning."""
        learner, before = self.learner, self.buffer.learned()
        if learner is None or any(_froze(each) for each in before):
            return
        began, number = time.monotonic(), learner.version + 1
        questions = self.buffer.form(number, self.preset.questions, partial=partial)
        if not questions:
            return
        samples = fresh(self.buffer.batch(number), learner.version, self.limits)
        known = advantages(samples)
        update = learner.update(samples, known)
        learned = Learned(
            update=update, questions=questions, dropped=known.dropped, length=_length(samples),
            drift=learner.drift(samples),
        )  # fmt: skip
        if self.canary and number % self.limits.canary_every == 0:
            learned = replace(learned, canary=await self._canary())
        learned = self._weighed(learner, learned, before)
        learned = replace(learned, seconds=time.monotonic() - began)
        self.buffer.note(learned)
        watch(learned)

    async def _conclude(self, watch: Watch) -> None:
        """Looks at the canary questions a last time, where the last update did not, and leaves the
        policy that was last found good."""
        learner, updates = self.learner, self.buffer.learned()
        if learner is None or not updates:
            return
        *before, last = updates
        if self.canary and not last.canary and last.alarm is None:
            last = replace(last, canary=await self._canary())
            last = self._weighed(learner, last, before)
            self.buffer.note(last)
            watch(last)
        if not last.good:
            learner.go_back()

    def _weighed(self, learner: Learner, now: Learned, before: Sequence[Learned]) -> Learned:
        """What the guards make of a policy, and of what the learner holds to be good."""
        alarm = self._alarm(now, before)
        good = alarm is None and self._good(now, before)
        if good:
            learner.found_good()
        elif alarm is not None and alarm.action == "roll back":
            learner.go_back()
        learner.save(self.checkpoint)
        return replace(now, good=good, alarm=alarm)

    def _good(self, now: Learned, before: Sequence[Learned]) -> bool:
        """Whether a policy is one to go back to."""
        looks = [each for each in before if each.canary and each.good]
        if not looks:
            return True
        return bool(now.canary) and as_good(looks[-1].canary, now.canary, self.limits)

    def _alarm(self, now: Learned, before: Sequence[Learned]) -> Alarm | None:
        """What the guards say, the gravest first."""
        told = [each for each in (*before, now) if each.update.samples]
        audits = [each for each in self.buffer.outcomes() if each.audited is not None]
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

    async def _canary(self) -> tuple[bool, ...]:
        """Which canary questions the policy answers, always taking the likeliest token."""
        groups = await group(self.actor, self.canary, attempts=1, seed="canary", temperature=0.0)
        verdicts = [one.rollout.episode.verdict.value for (one,) in groups]
        return tuple(value is VerdictValue.CORRECT for value in verdicts)

    async def _begin(self) -> None:
        """Looks at the canary questions before anything is learned."""
        if self.learner is None or self.learner.version or self.buffer.learned():
            return
        if self.canary:
            nothing = Update(version=0, samples=0, rows=0, tokens=0)
            self.buffer.note(Learned(update=nothing, canary=await self._canary()))


def _froze(learned: Learned) -> bool:
    return learned.alarm is not None and learned.alarm.action == "freeze"


def _length(samples: Sequence[Sample]) -> float:
    return sum(sum(sample.mask) for sample in samples) / len(samples) if samples else 0.0


def _lost(now: Learned, before: Sequence[Learned], limits: Limits) -> Alarm | None:
    """Whether the canary questions say that the policy got worse since it was last found good."""
    looks = [each for each in before if each.canary]
    good = [each.canary for each in looks if each.good]
    if not now.canary or not good:
        return None
    return worse(good[-1], None if looks[-1].good else looks[-1].canary, now.canary, limits)


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
