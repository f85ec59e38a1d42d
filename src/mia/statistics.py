"""How sure a share is, a difference of two methods, and an agreement of two judges. Pure.

Several answers to one question (one for each seed) are no independent evidence. What takes
`clusters` keeps the answers of a cluster together, so that asking again makes nothing surer than
it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mia.types import Noun

Z = 1.959964
"""Of 95 %, two-sided."""
_DRAWS = 10_000
_AT_ONCE = 4_000_000
"""Numbers drawn at a time: 32 MB."""


class Interval(NamedTuple):
    """Where a figure lies with so much certainty."""

    low: float
    high: float


class Share(Noun, frozen=True):
    """How many of how many, with the 95 % interval of the share."""

    successes: int
    trials: int
    value: float | None
    """None without trials."""
    low: float
    high: float


class Difference(NamedTuple):
    """What one method has more than another, on average, with the 95 % interval."""

    value: float
    low: float
    high: float


class Discordant(NamedTuple):
    """Where two methods part, and how likely so uneven a parting is by chance."""

    first: int
    """Clusters in which the first did better."""
    second: int
    p: float
    """Two-sided."""


class Detection(NamedTuple):
    """How far one can trust what says `yes`."""

    precision: Share
    """Of what it said `yes` to."""
    recall: Share
    """Of what it should have said `yes` to."""


def wilson(successes: float, trials: float, z: float = Z) -> Interval:
    """The Wilson score interval of a share (1927), 95 % by default; (0, 1) without trials."""
    if trials == 0:
        return Interval(0.0, 1.0)
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return Interval(max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def newcombe(successes: tuple[int, int], trials: tuple[int, int], z: float = Z) -> Interval:
    """Newcombe's hybrid score interval of the first share less the second, which are of different
    trials (1998, method 10), 95 % by default; (-1, 1) when either has no trials."""
    if 0 in trials:
        return Interval(-1.0, 1.0)
    first, second = (won / tried for won, tried in zip(successes, trials, strict=True))
    (low1, high1), (low2, high2) = (
        wilson(won, tried, z) for won, tried in zip(successes, trials, strict=True)
    )
    apart = first - second
    return Interval(
        apart - math.hypot(first - low1, high2 - second),
        apart + math.hypot(high1 - first, second - low2),
    )


def share(scores: Sequence[bool], clusters: Sequence[Hashable] | None = None) -> Share:
    """The share of what is so, with its Wilson interval: of as many trials as there are, or, where
    clusters are given, of as many as they are worth (Korn and Graubard 1998)."""
    successes, trials = sum(scores), len(scores)
    if not trials:
        return Share(successes=0, trials=0, value=None, low=0.0, high=1.0)
    value = successes / trials
    worth = trials if clusters is None else effective_size(scores, clusters)
    low, high = wilson(value * worth, worth)
    return Share(successes=successes, trials=trials, value=value, low=low, high=high)


def effective_size(scores: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """How many independent scores would tell as much: their number over the design effect (Kish
    1965). Never more than there are, nor fewer than if all of a cluster said the same."""
    values_N, places_N = np.asarray(scores, dtype=float), _places(clusters)
    sizes_K = np.bincount(places_N).astype(float)
    total, fewest = len(values_N), len(values_N) ** 2 / float((sizes_K**2).sum())
    mean = float(values_N.mean())
    alone = float(((values_N - mean) ** 2).mean()) / total
    if alone == 0 or len(sizes_K) == 1:
        return fewest
    off_K = np.bincount(places_N, weights=values_N) - sizes_K * mean
    together = len(sizes_K) / (len(sizes_K) - 1) * float((off_K**2).sum()) / total**2
    return min(total, max(fewest, total * alone / together)) if together else float(total)


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Difference | None:
    """How much higher the first scores are than the second, pair by pair, with the 95 % percentile
    interval over resampled pairs (Efron and Tibshirani 1993, chapter 13) or resampled clusters
    (Davison and Hinkley 1997, section 3.8). None without pairs."""
    apart_N = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if not len(apart_N):
        return None
    places_N = np.arange(len(apart_N)) if clusters is None else _places(clusters)
    sums_K = np.bincount(places_N, weights=apart_N)
    sizes_K = np.bincount(places_N).astype(float)
    rng, count = np.random.default_rng(seed), len(sums_K)
    means: list[NDArray[np.float64]] = []
    for begin in range(0, draws, step := max(1, _AT_ONCE // count)):
        drawn_DK = rng.integers(0, count, (min(step, draws - begin), count))
        means.append(sums_K[drawn_DK].sum(axis=1) / sizes_K[drawn_DK].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Difference(float(apart_N.mean()), float(low), float(high))


def mcnemar(first_only: int, second_only: int) -> float:
    """How likely so uneven a split of the discordant pairs is when neither method is better: the
    exact two-sided test (McNemar 1947, by the binomial distribution)."""
    trials, fewer = first_only + second_only, min(first_only, second_only)
    return min(1.0, 2 * sum(math.comb(trials, k) for k in range(fewer + 1)) / 2**trials)


def discordant(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable]
) -> Discordant:
    """In how many clusters each did better, and McNemar's p of that. With one pair a cluster this
    is McNemar's test; with more it is the sign test over clusters (Dixon and Mood 1946), since
    pairs of one cluster are not independent."""
    apart: dict[Hashable, float] = {}
    for one, other, cluster in zip(first, second, clusters, strict=True):
        apart[cluster] = apart.get(cluster, 0.0) + one - other
    # means of several seeds add up with errors of rounding, and an even cluster must stay even
    better = sum(value > 1e-9 for value in apart.values())
    worse = sum(value < -1e-9 for value in apart.values())
    return Discordant(better, worse, mcnemar(better, worse))


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """The p of several comparisons, each as large as it has to be for all of them together (Holm
    1979), in the order given."""
    adjusted, floor = [0.0] * len(ps), 0.0
    for rank, place in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        floor = max(floor, min(1.0, (len(ps) - rank) * ps[place]))
        adjusted[place] = floor
    return tuple(adjusted)


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """How far two agree beyond chance, -1 to 1 (Cohen 1960). None where chance alone makes them
    agree: nothing was labelled, or everything alike by both."""
    pairs = len(first)
    agreed = sum(one == other for one, other in zip(first, second, strict=True))
    ours, theirs = Counter(first), Counter(second)
    by_chance = sum(count * theirs[label] for label, count in ours.items())
    if by_chance == pairs * pairs:
        return None
    return (agreed * pairs - by_chance) / (pairs * pairs - by_chance)


def detection(said: Sequence[bool], true: Sequence[bool]) -> Detection:
    """Precision and recall of `said`, where `true` is so."""
    both = list(zip(said, true, strict=True))
    return Detection(
        precision=share([actual for claimed, actual in both if claimed]),
        recall=share([claimed for claimed, actual in both if actual]),
    )


def _places(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    """The number of each one's cluster, counted from 0."""
    numbers: dict[Hashable, int] = {}
    places = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    return np.asarray(places, dtype=np.intp)
