"""What most attempts at a question answer, in place of a right answer: majority voting (TTRL: Zuo
et al. 2025, https://arxiv.org/abs/2504.16084).

It needs no judge, so it works with the smallest model. It can only teach a policy to say more often
what it says most often already; where that is wrong, it teaches the error. Attempts with the same
plan hardly differ, so agreement is worth less than so many witnesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from mia.judge import unknown
from mia.judges.exact_match import normalise
from mia.training.exploring import Explored
from mia.training.rewards import Parts, Reward, Rollout
from mia.training.rollouts import Attempt
from mia.types import Trajectory, Verdict, VerdictValue

_JUDGE = "vote"


def by_vote(explored: Explored, reward: Reward) -> Explored:
    """The attempts with the verdicts that they give each other, and what each is worth by that."""
    answers = [one.rollout.episode.answer for one in explored.attempts]
    chosen = majority(answers)
    return explored._replace(
        attempts=tuple(_judged(one, chosen, answers, reward) for one in explored.attempts)
    )


def majority(answers: Sequence[str | None]) -> str | None:
    """The answer, normalised, that more attempts give than any other, and two at the least; None
    where there is no such."""
    votes = Counter(normalise(answer) for answer in answers if answer)
    (first, most), (_, second) = (*votes.most_common(2), ("", 0), ("", 0))[:2]
    return first if most >= 2 and most > second else None


def _judged(
    one: Attempt, chosen: str | None, answers: Sequence[str | None], reward: Reward
) -> Attempt:
    episode, first = one.rollout.episode, None
    if episode.final is not episode.trajectory and episode.trajectory.answer is not None:
        first = _verdict(episode.trajectory, chosen, answers)
    episode = replace(episode, verdict=_verdict(episode.final, chosen, answers))
    rollout = replace(one.rollout, episode=episode, first_verdict=first)
    parts = reward(rollout)
    if parts is None:
        return one._replace(rollout=rollout, parts=None, samples=())
    samples = tuple(replace(sample, reward=parts.total) for sample in one.samples)
    return one._replace(rollout=rollout, parts=parts, samples=samples)


def unjudged(_: Rollout) -> Parts:
    """The reward of an attempt that waits for the others': it keeps its samples until then."""
    return Parts(total=0.0)


def _verdict(run: Trajectory, chosen: str | None, answers: Sequence[str | None]) -> Verdict:
    """How sure it is is the share of the attempts that say so."""
    if run.failed:
        return unknown(_JUDGE, f"not judged: {run.outcome}")
    if chosen is None:
        return unknown(_JUDGE, "the attempts do not agree")
    agree = [answer is not None and normalise(answer) == chosen for answer in answers]
    right = run.answer is not None and normalise(run.answer) == chosen
    return Verdict(
        value=VerdictValue.CORRECT if right else VerdictValue.INCORRECT,
        judge=_JUDGE,
        confidence=sum(agree) / len(agree),
        reason=f"{sum(agree)} of {len(agree)} attempts say {chosen!r}",
    )
