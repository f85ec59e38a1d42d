"""What goes when a memory is full: the least valuable first, and why. Pure.

A workflow is worth its posterior win rate, times how much it is used, times how fresh it is. What a
policy's weights absorbed goes before all others. The
only success of its kind (its category and plan) stays as long as anything else can go.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mia.memory import Weights, value
from mia.types import Noun

HALF_LIFE_DAYS = 90.0
"""After so many days without use a workflow is worth half."""
_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a decision to evict needs to know of a workflow."""

    id: str
    category: str
    outcome: str
    plan: str
    uses: int
    wins: int
    created: str
    used: str | None
    absorbed: str | None = None

    @property
    def kind(self) -> tuple[str, str]:
        return self.category, self.plan


class Evicted(Noun, frozen=True):
    """One workflow that went, and why."""

    id: str
    worth: float
    reason: str


def worth(candidate: Candidate, now: datetime, weights: Weights) -> float:
    """Posterior win rate x (1 + log of the uses) x freshness; 0 to about 10."""
    seen = _when(candidate.used or candidate.created, now)
    days = max(0.0, (now - seen).total_seconds() / _SECONDS_PER_DAY)
    use = 1.0 + math.log1p(candidate.uses)
    return value(candidate.uses, candidate.wins, weights) * use * 0.5 ** (days / HALF_LIFE_DAYS)


def evictions(
    candidates: Iterable[Candidate], capacity: int, now: datetime, weights: Weights
) -> list[Evicted]:
    """Whom to let go so that `capacity` stay: what was absorbed first, and the least valuable of
    it; the older of equals."""
    ranked = sorted(candidates, key=lambda c: _place(c, now, weights))
    excess = len(ranked) - capacity
    if excess <= 0:
        return []
    successes = Counter(c.kind for c in ranked if c.outcome == "success")
    gone: list[Evicted] = []
    kept_for_now: list[Candidate] = []
    for candidate in ranked:
        if len(gone) == excess:
            return gone
        if candidate.outcome == "success" and successes[candidate.kind] == 1:
            kept_for_now.append(candidate)
            continue
        if candidate.outcome == "success":
            successes[candidate.kind] -= 1
        gone.append(_evicted(candidate, now, weights, ""))
    # only successes without a second of their kind are left: the bound still holds
    only = "; the only success of its kind, but nothing else was left to go"
    return gone + [_evicted(c, now, weights, only) for c in kept_for_now[: excess - len(gone)]]


def _place(
    candidate: Candidate, now: datetime, weights: Weights
) -> tuple[bool, float, str, str, str]:
    c = candidate
    return c.absorbed is None, worth(c, now, weights), c.used or c.created, c.created, c.id


def _evicted(candidate: Candidate, now: datetime, weights: Weights, note: str) -> Evicted:
    worth_now = worth(candidate, now, weights)
    full = f"the memory is full, {candidate.absorbed} does without it" if candidate.absorbed else ""
    did = f"won {candidate.wins} of {candidate.uses} uses" if candidate.uses else "never used"
    last = (candidate.used or candidate.created)[:10] or "unknown"
    return Evicted(
        id=candidate.id,
        worth=worth_now,
        reason=f"{full or 'the memory is full'} and it was worth {worth_now:.2f}: {did},"
        f" last on {last}{note}",
    )


def _when(stamp: str, now: datetime) -> datetime:
    """A time stamp; now for one that is none, which gives it the benefit of the doubt."""
    try:
        seen = datetime.fromisoformat(stamp)
    except ValueError:
        return now
    return seen if seen.tzinfo else seen.replace(tzinfo=now.tzinfo)
