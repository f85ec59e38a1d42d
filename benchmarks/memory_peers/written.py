"""What writers write: a record for every number, the same in every process."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from benchmarks.memory_peers.world import CATEGORIES, DIMENSIONS, NAMESPACES, SEED, Record, unit

KNOWN = 100
"""Records that are there before and get credited."""
CREDITED = 3
NAMESPACE = NAMESPACES[0]


@cache
def known_record(number: int) -> Record:
    """One of the known records, made once: it is not they that are measured."""
    return record(number)


def record(number: int) -> Record:
    """The record of a number."""
    rng = np.random.default_rng([SEED, number])
    return Record(
        number=number,
        vector=unit(rng.standard_normal(DIMENSIONS, dtype=np.float32)),
        namespace=NAMESPACE,
        category=CATEGORIES[number % len(CATEGORIES)],
        outcome="success",
        uses=0,
        wins=0,
    )


def credited(number: int) -> list[int]:
    """Which known records a write credits."""
    return random.Random(number).sample(range(KNOWN), CREDITED)
