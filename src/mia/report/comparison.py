"""Each method against one of them, over the questions that both have answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from mia.errors import InputError
from mia.report.scores import Score, by_method
from mia.statistics import discordant, holm, paired_bootstrap
from mia.types import Noun

_CONTROL = "none"
"""The method without memory, which the others are compared with where it took part."""


class Comparison(Noun, frozen=True):
    """How much more of the questions a method gets right than the baseline."""

    method: str
    baseline: str
    seed: int | None
    """None for all seeds together."""
    pairs: int
    """A question asked of both, in the same order where both know that order."""
    questions: int
    difference: float | None
    """Of accuracies, over all pairs; None without pairs."""
    low: float
    high: float
    """95 %, paired bootstrap over questions."""
    better: int
    """Questions on which the method did better."""
    worse: int
    p: float
    """McNemar's exact test; over several seeds the sign test over questions."""
    p_holm: float
    """The same, corrected for all methods that the baseline is compared with."""


class _Pair(NamedTuple):
    question: str
    ours: float
    theirs: float


def baseline_of(methods: Sequence[str], wanted: str | None) -> str:
    """Which method the others are compared with: the one wanted, `none`, or else the first. Raises
    InputError when the one wanted did not take part."""
    if wanted is not None and wanted not in methods:
        raise InputError(f"no method {wanted!r} took part; there are {', '.join(methods)}")
    return wanted or (_CONTROL if _CONTROL in methods else methods[0])


def comparisons(scores: Sequence[Score], baseline: str) -> tuple[Comparison, ...]:
    """Every other method against the baseline, all seeds together."""
    return _all(scores, baseline, None)


def seed_comparisons(scores: Sequence[Score], baseline: str) -> tuple[Comparison, ...]:
    """The same, a seed at a time; none where there is only one."""
    seeds = sorted({score.seed for score in scores})
    if len(seeds) < 2:
        return ()
    return tuple(
        comparison
        for seed in seeds
        for comparison in _all([s for s in scores if s.seed == seed], baseline, seed)
    )


def _all(scores: Sequence[Score], baseline: str, seed: int | None) -> tuple[Comparison, ...]:
    grouped = by_method(scores)
    theirs = grouped.pop(baseline, [])
    found = [_compare(method, baseline, seed, ours, theirs) for method, ours in grouped.items()]
    adjusted = iter(holm([each.p for each in found if each.pairs]))
    return tuple(replace(each, p_holm=next(adjusted)) if each.pairs else each for each in found)


def _compare(
    method: str, baseline: str, seed: int | None, ours: list[Score], theirs: list[Score]
) -> Comparison:
    pairs = _pairs(ours, theirs)
    questions = [pair.question for pair in pairs]
    first, second = [pair.ours for pair in pairs], [pair.theirs for pair in pairs]
    apart = paired_bootstrap(first, second, questions)
    split = discordant(first, second, questions)
    return Comparison(
        method=method,
        baseline=baseline,
        seed=seed,
        pairs=len(pairs),
        questions=len(set(questions)),
        difference=apart.value if apart else None,
        low=apart.low if apart else -1.0,
        high=apart.high if apart else 1.0,
        better=split.first,
        worse=split.second,
        p=split.p,
        p_holm=split.p,
    )


def _pairs(ours: list[Score], theirs: list[Score]) -> list[_Pair]:
    """What both were asked: in the same order where they share a seed, and else by question, each
    over all its seeds."""
    shared = {score.seed for score in ours} & {score.seed for score in theirs}
    if shared:
        known = {(score.question.id, score.seed): score.right for score in theirs}
        return [
            _Pair(score.question.id, score.right, known[key])
            for score in ours
            if (key := (score.question.id, score.seed)) in known
        ]
    mine, other = _means(ours), _means(theirs)
    return [_Pair(id, mine[id], other[id]) for id in mine if id in other]


def _means(scores: list[Score]) -> dict[str, float]:
    """The share of right answers to each question."""
    said: dict[str, list[bool]] = {}
    for score in scores:
        said.setdefault(score.question.id, []).append(score.right)
    return {id: sum(rights) / len(rights) for id, rights in said.items()}
