"""What a person says of an answer, afterwards: thumbs, the right answer, a number, words."""

from __future__ import annotations

from mia.judge import unknown
from mia.judges.exact_match import f1, same
from mia.types import Episode, Noun, Verdict, VerdictValue

JUDGE = "human"
_LONGEST = 10_000
"""Characters of a text."""


class Feedback(Noun, frozen=True, forbid_unknown_fields=True):
    """Says at least one of these. Where several are given, the right answer decides, then the
    thumb, then the number. Raises ValueError for none, and for what cannot be."""

    up: bool | None = None
    """Thumb up or down."""
    answer: str | None = None
    """The right answer."""
    score: float | None = None
    """0 (wrong) to 1 (right); 0.5 says nothing."""
    text: str | None = None
    """For people who look at the record: no judge reads it."""

    def __post_init__(self) -> None:
        if self.up is None and self.answer is None and self.score is None and not self.text:
            raise ValueError("feedback says something: up, answer, score or text")
        if self.score is not None and not 0 <= self.score <= 1:  # nor is NaN
            raise ValueError(f"a score is a number from 0 to 1, got {self.score}")
        if self.answer is not None and not self.answer.strip():
            raise ValueError("a right answer is not empty")
        if max(len(self.answer or ""), len(self.text or "")) > _LONGEST:
            raise ValueError(f"a text has at most {_LONGEST:,} characters")


def verdict_of(feedback: Feedback, episode: Episode) -> Verdict:
    """What feedback makes of the answer of an episode. Unknown where it says nothing about that,
    and where there is no answer because something was down. A run without an answer is wrong once
    a right answer is known; no thumb makes it right."""
    reason, answer = feedback.text or "", episode.answer or ""
    if episode.final.failed:
        return unknown(JUDGE, f"not judged: {episode.final.outcome}")
    if feedback.answer is not None:
        right = same(answer, feedback.answer)
        return _said(right, 1.0, reason, f1(answer, [feedback.answer]))
    if feedback.up is not None:
        return _said(feedback.up and answer != "", 1.0, reason)
    if feedback.score is not None and feedback.score != 0.5:
        sure = abs(2 * feedback.score - 1)
        return _said(feedback.score > 0.5 and answer != "", sure, reason)
    return unknown(JUDGE, reason or "nothing was said about whether the answer is right")


def _said(right: bool, sure: float, reason: str, overlap: float | None = None) -> Verdict:
    value = VerdictValue.CORRECT if right else VerdictValue.INCORRECT
    return Verdict(value=value, judge=JUDGE, confidence=sure, reason=reason, f1=overlap)


def right_answers(feedback: Feedback, episode: Episode) -> tuple[str, ...]:
    """The right answers that feedback lets know of: the one that it gives, or the one that it
    approves of."""
    if feedback.answer is not None:
        return (feedback.answer,)
    verdict = verdict_of(feedback, episode)
    approved = verdict.value is VerdictValue.CORRECT and verdict.confidence == 1.0
    return (episode.answer,) if approved and episode.answer else ()
