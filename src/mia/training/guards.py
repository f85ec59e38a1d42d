"""What keeps learning from doing harm (RELIABILITY 2.5): each guard looks at one thing, and says
what is to be done. Pure; who calls them decides nothing by itself.

A verdict that is not sure teaches nothing. No source fills a batch. Samples of a policy that has
moved on are dropped. A policy that drifts too far, falls silent, becomes talkative or says always
the same, a judge that another judge contradicts: learning stops until somebody looks. A policy that
answers fewer canary questions than the last good one goes back to that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from mia.statistics import kappa, mcnemar
from mia.training.samples import Sample
from mia.types import Episode, Noun, VerdictValue

_ROUNDING = 1e-9
Action = Literal["freeze", "roll back"]


class Limits(Noun, frozen=True, forbid_unknown_fields=True):
    """Where each guard trips. Raises ValueError for limits that none could keep."""

    margin: float = 0.6
    """Confidence below which a verdict teaches nothing."""
    per_source: float = 0.25
    """The share of a batch that one source may fill."""
    stale: int = 1
    """Updates that a sample may be older than the policy it teaches."""
    kl: float = 0.05
    """Nats a token between the policy and what it was when it was last found good."""
    entropy: float = 0.3
    """The share of its first entropy that a policy must keep."""
    length: float = 0.5
    """How much longer or shorter replies may become, as a share."""
    canary_every: int = 10
    """Updates between two looks at the canary questions."""
    canary_points: float = 0.02
    """A drop that counts when it is seen twice in a row."""
    p: float = 0.05
    """Of McNemar's test: a drop that counts at once."""
    audit: float = 0.05
    """The share of verdicts that another judge gives too."""
    kappa: float = 0.6
    """Agreement of the two below which learning stops."""
    audited: int = 20
    """Verdicts without which agreement says nothing."""
    absorb: int = 20
    """Questions that a new version is asked again without memory; 0 for none."""

    def __post_init__(self) -> None:
        shares = (self.margin, self.per_source, self.entropy, self.p, self.audit)
        if not all(0 <= share <= 1 for share in shares) or self.per_source == 0:
            raise ValueError("margin, per_source, entropy, p and audit are shares, 0 to 1")
        if self.absorb < 0:
            raise ValueError("absorb is 0 or more")
        if self.stale < 0 or min(self.kl, self.length, self.canary_every) <= 0 or self.audited < 2:
            raise ValueError(
                "stale is 0 or more, audited 2 or more; kl, length and canary_every are positive"
            )


class Alarm(Noun, frozen=True):
    """A guard that tripped."""

    guard: str
    told: str
    """For people."""
    action: Action


def sure(episode: Episode, limits: Limits) -> bool:
    """Whether a verdict teaches anything."""
    verdict = episode.verdict
    return verdict.value is not VerdictValue.UNKNOWN and verdict.confidence >= limits.margin


def admitted(sources: Sequence[str | None], batch: int, limits: Limits) -> list[bool]:
    """For each group that waits, whether it may be in the next batch of so many: the first of each
    source, up to its share, and one at the least. `sources` stand in the order of waiting; None is
    nobody in particular, who has no share."""
    most = max(1, int(batch * limits.per_source))
    seen: Counter[str] = Counter()
    took: list[bool] = []
    for source in sources:
        took.append(sum(took) < batch and (source is None or seen[source] < most))
        if source is not None:
            seen[source] += took[-1]
    return took


def fresh(samples: Sequence[Sample], version: int, limits: Limits) -> list[Sample]:
    """The samples that a policy of this version may learn from."""
    return [sample for sample in samples if version - sample.version <= limits.stale]


def drifted(kl: float, limits: Limits) -> Alarm | None:
    """Whether a policy has come too far from where it began, by the KL on its own samples."""
    if kl <= limits.kl:
        return None
    told = f"the policy is {kl:.3f} nats a token from where it began; {limits.kl:g} are allowed"
    return Alarm(guard="kl", told=told, action="freeze")


def collapsed(
    entropies: Sequence[float], lengths: Sequence[float], limits: Limits, window: int = 5
) -> Alarm | None:
    """Whether a policy says always the same, falls silent or becomes talkative: the means of the
    last updates against those of the first. Nothing is said before there are two windows."""
    if min(len(entropies), len(lengths)) < 2 * window:
        return None
    first, last = _mean(entropies[:window]), _mean(entropies[-window:])
    if last < limits.entropy * first:
        told = f"the policy's entropy fell from {first:.2f} to {last:.2f} nats a token"
        return Alarm(guard="entropy", told=told, action="freeze")
    before, now = _mean(lengths[:window]), _mean(lengths[-window:])
    if abs(now - before) > limits.length * before:
        told = f"replies were {before:.0f} tokens long and are {now:.0f}"
        return Alarm(guard="length", told=told, action="freeze")
    return None


def best(looks: Iterable[Sequence[bool]]) -> Sequence[bool]:
    """The look at the canary questions that found most of them answered, the first of equals: what
    a policy is held against. Held against the last, policies could become worse little by little.
    Raises ValueError without a look."""
    return max(looks, key=sum)


def as_good(good: Sequence[bool], now: Sequence[bool], limits: Limits) -> bool:
    """Whether a policy answers about as many canary questions as the best of the good ones, so that
    it may be one of them."""
    return _share(good) - _share(now) <= limits.canary_points + _ROUNDING


def worse(
    good: Sequence[bool], before: Sequence[bool] | None, now: Sequence[bool], limits: Limits
) -> Alarm | None:
    """Whether a policy answers fewer canary questions than the best of the good ones: significantly
    fewer (McNemar), or fewer by some points both now and the time before. All are over the same
    questions. Raises ValueError when they are not."""
    lost = [was and not is_now for was, is_now in zip(good, now, strict=True)].count(True)
    won = [is_now and not was for was, is_now in zip(good, now, strict=True)].count(True)
    p = mcnemar(won, lost)
    if lost > won and p < limits.p:
        told = f"{lost} canary questions were lost and {won} won (p = {p:.3f})"
        return Alarm(guard="canary", told=told, action="roll back")
    if before is None:
        return None
    drops = [_share(good) - _share(each) for each in (before, now)]
    if min(drops) > limits.canary_points + _ROUNDING:
        told = f"canary accuracy is {drops[0]:.3f}, then {drops[1]:.3f} below the best good one"
        return Alarm(guard="canary", told=told, action="roll back")
    return None


def contradicted(said: Sequence[bool], audited: Sequence[bool], limits: Limits) -> Alarm | None:
    """Whether another judge, or a person, contradicts the judge too often: Cohen's kappa over the
    verdicts that both gave. Nothing is said of few."""
    if len(said) < limits.audited:
        return None
    agreement = kappa(said, audited)
    if agreement is None:  # both say the same of everything
        return None
    if agreement >= limits.kappa:
        return None
    told = f"the judge and its audit agree by kappa = {agreement:.2f} on {len(said)} verdicts"
    return Alarm(guard="audit", told=told, action="freeze")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right) if right else 0.0
