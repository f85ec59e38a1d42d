"""Exact match and token F1 after SQuAD's normalisation. No model.

As in HotpotQA's script, `yes`, `no` and `noanswer` have no partial credit. Unlike SQuAD's, a text
that normalises to nothing (the band "The The", the grade "A") is compared as it stands.

The metric is the field's. The judge, whose word memory keeps, is stricter where dropped punctuation
changes what is said: 1.5 is not 15, -40 not 40, C++ not C.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable

from mia.judge import Judge, unknown
from mia.types import Plan, Question, Trajectory, Verdict, VerdictValue

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TELLING = re.compile(r"(?:(?<!\w)[-−])?\d+(?:,\d{3})*(?:\.\d+)?|(?<=[^\W\d_])(?:\+\+|#)(?!\w)")
"""Numbers with their signs and points, and what tells C++ and C# from C."""
_ALL_OR_NOTHING = frozenset({"yes", "no", "noanswer"})


def normalise(text: str) -> str:
    """Lower case, without punctuation, articles and surplus spaces."""
    lowered = text.lower()
    bare = _ARTICLES.sub(" ", lowered.translate(_PUNCTUATION))
    return " ".join(bare.split()) or " ".join(lowered.split())


def exact(answer: str, golds: Iterable[str]) -> bool:
    """Whether the answer is one of the gold answers, normalisation aside. An empty one never is."""
    wanted = normalise(answer)
    return wanted != "" and any(wanted == normalise(gold) for gold in golds)


def f1(answer: str, golds: Iterable[str]) -> float:
    """Token overlap with the gold answer that is nearest, 0 to 1."""
    return max((_overlap(normalise(answer), normalise(gold)) for gold in golds), default=0.0)


def _overlap(answer: str, gold: str) -> float:
    if answer != gold and (answer in _ALL_OR_NOTHING or gold in _ALL_OR_NOTHING):
        return 0.0
    ours, theirs = answer.split(), gold.split()
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def same(answer: str, gold: str) -> bool:
    """Whether the answer is the gold answer, and says the same in its figures."""
    return exact(answer, [gold]) and _telling(answer) == _telling(gold)


def _telling(text: str) -> list[str]:
    return [mark.replace(",", "").replace("−", "-") for mark in _TELLING.findall(text)]


class ExactMatch(Judge):
    """Correct iff the answer is a gold answer; unknown where there is no gold."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        """An abstention is incorrect; a failed run is unknown: nothing was answered."""
        if not question.answers:
            return unknown("exact_match", "there is no gold answer")
        if trajectory.failed:
            return unknown("exact_match", f"not judged: {trajectory.outcome}")
        answer = trajectory.answer or ""
        right = any(same(answer, gold) for gold in question.answers)
        return Verdict(
            value=VerdictValue.CORRECT if right else VerdictValue.INCORRECT,
            judge="exact_match",
            reason="" if answer else "no answer was given",
            f1=f1(answer, question.answers),
        )
