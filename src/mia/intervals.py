"""How sure a share is, and how sure the difference of two."""

from __future__ import annotations

import math


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a share (1927), 95 % by default; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def difference(
    successes: tuple[int, int], trials: tuple[int, int], z: float = 1.959964
) -> tuple[float, float]:
    """Newcombe's hybrid score interval of the first share less the second (1998, method 10), 95 %
    by default; (-1, 1) when either has no trials."""
    if 0 in trials:
        return -1.0, 1.0
    first, second = (won / tried for won, tried in zip(successes, trials, strict=True))
    (low1, high1), (low2, high2) = (
        wilson(won, tried, z) for won, tried in zip(successes, trials, strict=True)
    )
    apart = first - second
    return (
        apart - math.hypot(first - low1, high2 - second),
        apart + math.hypot(high1 - first, second - low2),
    )
