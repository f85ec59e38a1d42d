"""How far a judge can be believed: its verdicts beside labels that are known to be right. Pure.

`unknown` is neither right nor wrong. Its share is told by itself; precision, recall and agreement
are about the answers that got a verdict. Kappa is told both ways: over all of them, where every
unknown is a disagreement, and over those with a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mia.statistics import Share, detection, kappa, share
from mia.types import Noun, Usage, Verdict, VerdictValue

Label = Literal["correct", "incorrect"]


class Judged(Noun, frozen=True):
    """An answer whose truth is known, and what a judge said of it."""

    id: str
    kind: str
    label: Label
    verdict: Verdict

    @property
    def said(self) -> str:
        return self.verdict.value.value

    @property
    def decided(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict.value is not VerdictValue.UNKNOWN

    @property
    def right(self) -> bool:
        return self.said == self.label


class OfKind(Noun, frozen=True, omit_defaults=False):
    """What became of the answers of one kind."""

    kind: str
    right: int
    wrong: int
    unknown: int


class Reliability(Noun, frozen=True, omit_defaults=False):
    """One judge on one set of labelled answers."""

    judge: str
    rows: int
    unknown: Share
    correct_precision: Share
    """Of the answers that it called correct, those that are."""
    correct_recall: Share
    """Of the correct answers that got a verdict, those that it called so."""
    incorrect_precision: Share
    incorrect_recall: Share
    agreement: Share
    """Of the answers that got a verdict, those whose verdict is the label."""
    kappa: float | None
    """Cohen's, between verdict and label, unknown being a third thing to say."""
    kappa_decided: float | None
    """The same over the answers that got a verdict."""
    kinds: tuple[OfKind, ...]
    usage: Usage
    """Replies that could not be read are not in it."""


class Between(Noun, frozen=True, omit_defaults=False):
    """Two judges on the same answers."""

    one: str
    other: str
    agreement: Share
    """Of the answers that both gave a verdict on."""
    kappa: float | None
    kappa_decided: float | None


def reliability(judge: str, judged: Sequence[Judged]) -> Reliability:
    """How a judge did; kinds in the order of their names."""
    decided = [item for item in judged if item.decided]
    correct, incorrect = (
        detection([item.said == word for item in decided], [item.label == word for item in decided])
        for word in ("correct", "incorrect")
    )
    return Reliability(
        judge=judge,
        rows=len(judged),
        unknown=share([not item.decided for item in judged]),
        correct_precision=correct.precision,
        correct_recall=correct.recall,
        incorrect_precision=incorrect.precision,
        incorrect_recall=incorrect.recall,
        agreement=share([item.right for item in decided]),
        kappa=kappa([item.said for item in judged], [item.label for item in judged]),
        kappa_decided=kappa([item.said for item in decided], [item.label for item in decided]),
        kinds=_kinds(judged),
        usage=sum((item.verdict.usage for item in judged), Usage()),
    )


def between(one: str, first: Sequence[Judged], other: str, second: Sequence[Judged]) -> Between:
    """How far two judges say the same, whatever is right. Raises ValueError unless both were given
    the same answers in the same order."""
    if [item.id for item in first] != [item.id for item in second]:
        raise ValueError("the two judges were not given the same answers")
    pairs = zip(first, second, strict=True)
    both = [(a.said, b.said) for a, b in pairs if a.decided and b.decided]
    return Between(
        one=one,
        other=other,
        agreement=share([a == b for a, b in both]),
        kappa=kappa([item.said for item in first], [item.said for item in second]),
        kappa_decided=kappa([a for a, _ in both], [b for _, b in both]),
    )


def _kinds(judged: Sequence[Judged]) -> tuple[OfKind, ...]:
    def count(kind: str) -> OfKind:
        mine = [item for item in judged if item.kind == kind]
        right = sum(item.right for item in mine)
        unknown = sum(not item.decided for item in mine)
        return OfKind(kind=kind, right=right, wrong=len(mine) - right - unknown, unknown=unknown)

    return tuple(count(kind) for kind in sorted({item.kind for item in judged}))
