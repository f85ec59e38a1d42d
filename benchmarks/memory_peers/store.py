"""What every store can do, and what those need that do not rank as MIA does."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.memory_peers.world import RULES, Asked, Record, floor_of

from mia.memory import frequency, score, value

OVERFETCH = 50


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds of what was written."""

    there: int
    uses: int
    """That were counted of the known records."""


@dataclass(frozen=True, slots=True)
class Found:
    """One of the records that are near a question."""

    number: int
    similarity: float
    uses: int
    wins: int
    body: str


class Store(ABC):
    """One way of keeping records in a folder."""

    batch = 1000
    """Records that are added at a time, where there are many."""

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    def fill(self, records: Iterable[Record]) -> None:
        """Adds many records."""
        rest = iter(records)
        while batch := list(islice(rest, self.batch)):
            self.add(batch)

    @abstractmethod
    def add(self, records: Sequence[Record]) -> None:
        """Adds records in one call."""

    @abstractmethod
    def ask(self, asked: Asked) -> list[tuple[int, str]]:
        """Numbers and bodies of the best 2 successes and the best failure."""

    @abstractmethod
    def remember(self, number: int, full: bool) -> None:
        """Adds the record of a number, alone or in full, with one more use for each of three known
        records. Returns once that is acknowledged."""

    @abstractmethod
    def kept(self, numbers: Sequence[int]) -> Kept:
        """What is there of the records of these numbers."""


class Peer(Store):
    """A store that ranks by similarity: it is asked for the nearest of each outcome, which are
    ranked again."""

    def ask(self, asked: Asked) -> list[tuple[int, str]]:
        worked = self.nearest(asked, "success")
        failed = self.nearest(asked, "failure")
        floor = floor_of(max((item.similarity for item in (*worked, *failed)), default=0.0))
        picked = _best(worked, floor, RULES.k_successes) + _best(failed, floor, RULES.k_failures)
        return [(item.number, item.body) for item in picked]

    @abstractmethod
    def nearest(self, asked: Asked, outcome: str) -> list[Found]:
        """The 50 nearest of an outcome."""


def load(kind: str) -> type[Store]:
    """The class of a store, as in "chroma:Chroma". Imports its library and no other's, so that no
    process holds what it does not use."""
    return pkgutil.resolve_name(f"{__package__}.stores.{kind}")


def _best(found: Iterable[Found], floor: float, most: int) -> list[Found]:
    """What MIA would pick of these."""
    weights = RULES.weights

    def mark(item: Found) -> float:
        known = value(item.uses, item.wins, weights)
        return score(item.similarity, known, frequency(item.uses), weights)

    near = (item for item in found if item.similarity >= floor)
    return sorted(near, key=lambda item: (-mark(item), item.number))[:most]
