"""A question that was answered before is tried out: several attempts of the policy as it is, to
find out what they come to. No router picks among them: whoever asked has an answer.

Who says what was right: people, where they said something; else a judge, or the attempts and the
answer among each other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from mia.captioner import Captioner
from mia.errors import JudgeError, ModelError
from mia.judge import Judge, unknown
from mia.judges.exact_match import ExactMatch
from mia.judges.gold_first import GoldFirst
from mia.judges.not_this import NotThis
from mia.memory import Memory
from mia.model import Model
from mia.router import Choice
from mia.solve import Team
from mia.training.buffer import Kept, Outcome
from mia.training.collect import prepared
from mia.training.exercises import Exercise
from mia.training.exploring import Explored, judged_right, selections
from mia.training.guards import Limits
from mia.training.heeding import Said
from mia.training.inbox import Asked
from mia.training.keeping import Attempted, kept
from mia.training.presets import Preset
from mia.training.rewards import Reward, Rollout
from mia.training.rollouts import Actor, Attempt, group
from mia.training.samples import Sample
from mia.training.study import lessons
from mia.training.voting import by_vote, unjudged
from mia.types import Episode, Usage, Verdict, VerdictValue

_ANSWERED = "the question was answered before"


class Asking(NamedTuple):
    """A question that was answered, and what is known of that."""

    asked: Asked
    episode: Episode
    said: Said | None
    """By people; None where they said nothing that decides."""
    withdrawn: bool
    """Whether memory forgot the answer: it is not told of it again."""


class Tried(NamedTuple):
    """What came of a question."""

    outcome: Outcome
    samples: tuple[Sample, ...]
    """Of those attempts whose verdict is sure."""
    keep: Kept


@dataclass(frozen=True, kw_only=True)
class Trying:
    """Who tries questions out."""

    actor: Actor
    captioner: Captioner
    memory: Memory
    """Only asked."""
    attempted: Attempted
    preset: Preset
    limits: Limits
    by_answer: Reward
    """Where there is a right answer or a wrong one."""
    by_judge: Reward
    """Where there is none."""
    judge: Judge | None = None
    """Judges without right answers; None for nobody."""
    always: bool = False
    """Whether questions are tried out of which people say nothing."""
    vote: bool = False
    """Whether the attempts at those judge each other."""

    def can(self, said: Said | None) -> bool:
        """Whether anybody could tell which attempts are right, or that one is wrong."""
        if self.always:
            return True
        return said is not None and (
            bool(said.right) or said.verdict.value is VerdictValue.INCORRECT
        )

    async def attempt(self, asking: Asking, version: int) -> Tried:
        """Attempts a question; `version` is the policy's. What chance decides depends on the
        preset's seed and the question's place. Raises what a reward of somebody's own raises, and
        StoreError."""
        began, seed = time.monotonic(), f"{self.preset.seed} {asking.asked.place}"
        episode, said = asking.episode, asking.said
        question = replace(episode.question, answers=(said.right or None) if said else None)
        ready = await prepared(question, self.captioner, self.memory, None)
        exercise = ready.exercise or Exercise(question=question)
        (drawn,) = await group(
            self._judged(asking), [exercise], attempts=self.preset.attempts, seed=seed,
            temperature=self.preset.temperature,
        )  # fmt: skip
        for number, one in enumerate(drawn, 1):
            await self.attempted.write(f" attempt {number}", one.rollout.episode)
        given = await self._given(asking)
        if said is None and self.vote:
            explored = Explored((given, *drawn), 0, Choice(index=0, reason=_ANSWERED))
            given, *drawn = (await asyncio.to_thread(by_vote, explored, self.by_judge)).attempts
        answer = given.rollout.episode
        every = [one.rollout.episode for one in drawn]
        keep = kept(every if asking.withdrawn else [answer, *every], seed)
        tellable = answer.verdict.value is not VerdictValue.UNKNOWN and not asking.withdrawn
        outcome = self._outcome(asking, answer, tuple(drawn), seed)
        return Tried(
            replace(
                outcome, version=version, exploring=outcome.exploring + ready.usage,
                faults=ready.faults, seconds=time.monotonic() - began,
            ),
            tuple(lessons(drawn, self.limits)),
            replace(keep, answer=answer) if tellable else keep,
        )  # fmt: skip

    def _outcome(
        self, asking: Asking, answer: Episode, drawn: tuple[Attempt, ...], seed: str
    ) -> Outcome:
        right, asked = _right(answer), asking.asked
        explored = Explored(drawn, 0, Choice(index=0, reason=_ANSWERED))
        rules = selections(explored, seed, [judged_right(one) for one in drawn])
        return Outcome(
            place=asked.place, question=answer.question.id, family=answer.question.family,
            episode=answer.id, answer=answer.answer,
            rewards=tuple(one.parts.total if one.parts else None for one in drawn),
            right=right, judged=right if asking.said is None else None,
            selections=replace(rules, router=right), reason=_ANSWERED, version=0,
            answering=answer.usage,
            exploring=sum((one.rollout.episode.usage for one in drawn), Usage()),
            user=asked.user, answered=answer.seconds,
        )  # fmt: skip

    def _judged(self, asking: Asking) -> Actor:
        """The actor, with whoever says what is right of this question."""
        said, actor = asking.said, self.actor
        if said is None and self.vote:
            return actor._replace(reward=unjudged)
        judge = self.judge
        if said is not None and said.verdict.value is VerdictValue.INCORRECT:
            judge = NotThis(asking.episode.answer, said.verdict, self.judge)
        decides = GoldFirst(ExactMatch(), judge)

        def cast(model: Model, exercise: Exercise) -> Team:
            return dataclasses.replace(actor.cast(model, exercise), judge=decides)

        reward = self.by_judge if said is None else self.by_answer
        return actor._replace(cast=cast, reward=reward)

    async def _given(self, asking: Asking) -> Attempt:
        """The answer that was given, as an attempt of which nobody learns."""
        episode = asking.episode
        if asking.said is not None:
            episode = replace(episode, verdict=asking.said.verdict)
        elif self.judge is not None and not self.vote:
            episode = replace(episode, verdict=await opinion(self.judge, episode))
        return Attempt(Rollout(episode=episode), None, (), 0, truncated=False)


async def opinion(judge: Judge, episode: Episode) -> Verdict:
    """What a judge says of an answer; unknown where it cannot be asked or read, and where there is
    nothing to judge."""
    if episode.final_plan is None or episode.final.failed:
        return unknown("none", f"not judged: {episode.final.outcome}")
    try:
        return await judge.judge(episode.question, episode.final_plan, episode.final)
    except (JudgeError, ModelError) as error:
        return unknown(type(judge).__name__, str(error))


def _right(answer: Episode) -> bool | None:
    value = answer.verdict.value
    return None if value is VerdictValue.UNKNOWN else value is VerdictValue.CORRECT
