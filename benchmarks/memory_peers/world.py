"""The records that every store keeps, the questions it is asked, and the right answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mia.memories.workflow.recall import Rules
from mia.types import Workflow, WorkflowStep, encode

SEED = 0
DIMENSIONS = 384
FAMILIES = 200
NAMESPACES = tuple(f"tenant-{number}" for number in range(4))
RULES = Rules()
"""MIA's defaults: how many of each outcome, how near, and how scored. The same for everybody."""
WANTED = RULES.k_successes + RULES.k_failures
QUESTIONS = 105
ASKED = {
    "location": "Where was the director of film Item born?",
    "human": "Who directed the film Item?",
    "time": "When did the director of film Item die?",
    "property": "How many people live in Item?",
    "definition": "What does the word item mean?",
}
"""A question of each category, as MIA's own rules see it."""
CATEGORIES = tuple(ASKED)
_SPARE = 2000
"""Vectors that may become questions."""
_WAYS = ("director", "composer", "founder", "author", "mother")

Vector = NDArray[np.float32]
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Record:
    """What every store keeps."""

    number: int
    vector: Vector
    namespace: str
    category: str
    outcome: str
    uses: int
    wins: int

    @property
    def fields(self) -> dict[str, str | int]:
        """What can be filtered by, and what the score needs."""
        return {
            "namespace": self.namespace,
            "category": self.category,
            "outcome": self.outcome,
            "key": f"{self.namespace}|{self.category}|{self.outcome}",
            "uses": self.uses,
            "wins": self.wins,
        }

    @property
    def workflow(self) -> Workflow:
        """A workflow of the usual size, about 1.2 kB of JSON."""
        way = _WAYS[self.number % len(_WAYS)]
        steps = tuple(
            WorkflowStep(
                tool="search",
                purpose=f"Who is the {way} of [A], looked up in way {self.number}?",
                query=f"{way} of [A] {self.number}; who is the {way} of [A]",
                yielded="a person" if at < 2 else "a date",
            )
            for at in range(3)
        )
        return Workflow(
            id=f"w{self.number:08d}",
            namespace=self.namespace,
            question=f"{ASKED[self.category]} ({self.number})",
            question_template=ASKED[self.category].replace("Item", "[A]"),
            category=self.category,
            steps=steps,
            summary="\n".join(f"#{n} {s.purpose} -> {s.yielded}" for n, s in enumerate(steps, 1)),
            plan="\n".join(f"#{n} {s.purpose}" for n, s in enumerate(steps, 1)) + "\nanswer #3",
            outcome="success" if self.outcome == "success" else "failure",
            verdict_kind="exact_match",
            confidence=1.0,
            question_id=f"q{self.number}",
            uses=self.uses,
            wins=self.wins,
            created="2026-01-01T00:00:00.000+00:00",
            source_episode=f"e{self.number}",
            source_domains=("corpus",),
        )

    @property
    def body(self) -> str:
        """The workflow as JSON."""
        return encode(self.workflow).decode()


@dataclass(frozen=True, slots=True)
class Asked:
    """What a store is asked for: the best of a namespace and a category."""

    vector: Vector
    namespace: str
    category: str


def floor_of(nearest: float) -> float:
    """Similarity from which a workflow counts, when this is the nearest one."""
    return max(RULES.floor, nearest - RULES.margin)


def unit(rows: Vector) -> Vector:
    """Rows of length 1."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


class World:
    """The records of one size, the questions and their right answers, from a folder."""

    def __init__(self, folder: Path) -> None:
        self._vectors_ND: Vector = np.load(folder / "vectors.npy", mmap_mode="r")
        self._columns = _read(folder / "columns.npz")
        self._queries = _read(folder / "queries.npz")

    def __len__(self) -> int:
        return len(self._vectors_ND)

    def records(self) -> Iterator[Record]:
        """All records, in the order of their numbers."""
        names = ("space", "kind", "won", "uses", "wins")
        rows: Any = zip(*(self._columns[name].tolist() for name in names), strict=True)
        for number, (space, kind, won, uses, wins) in enumerate(rows):
            yield Record(
                number=number,
                vector=np.array(self._vectors_ND[number]),
                namespace=NAMESPACES[int(space)],
                category=CATEGORIES[int(kind)],
                outcome="success" if won else "failure",
                uses=uses,
                wins=wins,
            )

    def questions(self) -> Iterator[tuple[Asked, frozenset[int]]]:
        """What is asked, with the numbers of the right answers."""
        names = ("vectors", "space", "kind", "right")
        rows: Any = zip(*(self._queries[name] for name in names), strict=True)
        for vector, space, kind, right in rows:
            asked = Asked(vector, NAMESPACES[int(space)], CATEGORIES[int(kind)])
            yield asked, frozenset(right.tolist())


def make_world(folder: Path, size: int, given: Vector | None = None) -> None:
    """Writes the records, and those questions that have three right answers; of given vectors, when
    there are any. Ends the program when there are too few of either."""
    rng = np.random.default_rng([SEED, size])
    spare = _SPARE if given is None else min(_SPARE, len(given) - size)
    if spare < QUESTIONS:
        raise SystemExit(f"{size} records need at least {size + QUESTIONS} vectors")
    vectors_ND, family = _drawn(rng, size, spare, given)
    space = rng.integers(0, len(NAMESPACES), size + spare)
    kind = family % len(CATEGORIES)
    won = rng.random(size) < 0.6
    uses = np.minimum(rng.geometric(0.15, size) - 1, 60)
    wins = rng.binomial(uses, rng.beta(2, 2, size))
    exact = Exact(vectors_ND[:size], space[:size], kind[:size], won, _earned(uses, wins))
    rows: list[int] = []
    right: list[list[int]] = []
    for row in range(size, size + spare):
        picked = exact.best(vectors_ND[row], space[row], kind[row])
        if len(picked) == WANTED:
            rows.append(row)
            right.append(picked)
        if len(rows) == QUESTIONS:
            break
    else:
        raise SystemExit(f"only {len(rows)} of {spare} vectors have three relevant records")
    folder.mkdir(parents=True)
    np.save(folder / "vectors.npy", vectors_ND[:size])
    np.savez(folder / "columns.npz", space=space[:size], kind=kind[:size], won=won,
             uses=uses, wins=wins)  # fmt: skip
    np.savez(folder / "queries.npz", vectors=vectors_ND[rows], space=space[rows], kind=kind[rows],
             right=np.array(right))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exact:
    """The right answers: numpy over all records, by none of MIA's code."""

    vectors_ND: Vector
    space_N: Column
    kind_N: Column
    won_N: Column
    earned_N: Column
    """What a record's score has from its uses and wins."""

    def best(self, vector: Vector, space: int, kind: int) -> list[int]:
        """Numbers of the best successes and failures among those that are near enough."""
        cell = np.flatnonzero((self.space_N == space) & (self.kind_N == kind))
        sims = self.vectors_ND[cell].astype(np.float64) @ vector.astype(np.float64)
        near = sims >= floor_of(float(sims.max(initial=0.0)))
        # rounded, so that equal vectors come in the order of their numbers
        marks = (RULES.weights.similarity * sims + self.earned_N[cell]).round(12)
        picked: list[int] = []
        for outcome, most in ((True, RULES.k_successes), (False, RULES.k_failures)):
            candidates = np.flatnonzero(near & (self.won_N[cell] == outcome))
            order = candidates[np.argsort(-marks[candidates], kind="stable")][:most]
            picked += cell[order].tolist()
        return picked


def _drawn(
    rng: np.random.Generator, size: int, spare: int, given: Vector | None
) -> tuple[Vector, Column]:
    """Vectors and the families they belong to: seeded clusters, or given vectors by the nearest of
    200 of them. Two of one synthetic family have a cosine of about .64 to .94."""
    whole = size + spare
    if given is not None:
        picked = given[rng.permutation(len(given))[:whole]].astype(np.float32)
        return picked, np.argmax(picked @ picked[:FAMILIES].T, axis=1)
    families = min(FAMILIES, size // 10)  # of fewer records, too few questions have three answers
    centres = unit(rng.standard_normal((families, DIMENSIONS), dtype=np.float32))
    family = rng.integers(0, families, whole)
    noise = unit(rng.standard_normal((whole, DIMENSIONS), dtype=np.float32))
    near = rng.uniform(0.80, 0.97, (whole, 1)).astype(np.float32)
    return unit(centres[family] * near + noise * np.sqrt(1 - near**2)), family


def _earned(uses_N: Column, wins_N: Column) -> Column:
    weights = RULES.weights
    prior = weights.prior_wins + weights.prior_losses
    value_N = (wins_N + weights.prior_wins) / (uses_N + prior)
    return weights.value * value_N + weights.frequency / (uses_N + 1)


def _read(path: Path) -> dict[str, Column]:
    with np.load(path) as columns:
        return {name: columns[name] for name in columns.files}
