"""Workflows of one kind in memory: a matrix that grows by doubling, and what else scores need."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mia.memories.workflow.session import Row
from mia.memories.workflow.store import Query
from mia.memories.workflow.vectors import Indexed

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Bools = NDArray[np.bool_]
A = TypeVar("A", np.float32, np.int64, np.bool_)
_FIRST = 64
"""Rows of a new matrix."""
SLACK = 1e-4
"""More than single precision gets wrong in a score."""


class Bucket:
    """Workflows of one namespace, modality, outcome and category."""

    def __init__(self, dimension: int, room: int = _FIRST) -> None:
        """`room` is how many workflows to expect."""
        self.ids: list[str] = []
        self.question_ids: list[str] = []
        self.tasks: list[str | None] = []
        self.places: dict[str, int] = {}
        """Where in the lists and matrices each workflow is."""
        self._templates_ND = np.zeros((room, dimension), np.float32)
        self._captions_ND: NDArray[np.float32] | None = None
        """None while no workflow has a caption."""
        self._captioned_N = np.zeros(room, np.bool_)
        self._uses_N = np.zeros(room, np.int64)
        self._wins_N = np.zeros(room, np.int64)
        self._absorbed_N = np.zeros(room, np.bool_)

    def add(self, item: Indexed) -> None:
        """Puts a workflow in that is not in yet."""
        at = len(self.ids)
        if at == len(self._uses_N):
            self._grow()
        columns = item.columns
        self.places[columns.id] = at
        self.ids.append(columns.id)
        self.question_ids.append(columns.question_id)
        self.tasks.append(columns.task)
        self.count(at, columns.uses, columns.wins)
        self._absorbed_N[at] = columns.absorbed is not None
        self._templates_ND[at] = item.template
        self._captioned_N[at] = item.caption is not None
        if item.caption is not None:
            if self._captions_ND is None:
                self._captions_ND = np.zeros_like(self._templates_ND)
            self._captions_ND[at] = item.caption

    def count(self, at: int, uses: int, wins: int) -> None:
        """Sets the counters of a place."""
        self._uses_N[at], self._wins_N[at] = uses, wins

    def counts(self, at: int) -> tuple[int, int]:
        """Uses and wins of a place."""
        return int(self._uses_N[at]), int(self._wins_N[at])

    def remove(self, id: str) -> None:
        """Takes a workflow away; the last one takes its place."""
        last = len(self.ids) - 1
        at = self.places[self.ids[last]] = self.places[id]
        del self.places[id]
        self.ids[at], self.question_ids[at] = self.ids[last], self.question_ids[last]
        self.tasks[at] = self.tasks[last]
        for names in (self.ids, self.question_ids, self.tasks):
            names.pop()
        for rows in (self._templates_ND, self._captions_ND):
            if rows is not None:
                rows[at] = rows[last]
        self._captioned_N[at] = self._captioned_N[last]
        self._absorbed_N[at] = self._absorbed_N[last]
        self.count(at, *self.counts(last))

    def absorbed(self, places: Places) -> Bools:
        """Which of these places hold what a policy's weights absorbed."""
        return self._absorbed_N[places]

    def is_absorbed(self, at: int) -> bool:
        """The same of one place."""
        return bool(self._absorbed_N[at])

    def template(self, at: int) -> Row:
        """The template's vector of a place."""
        return self._templates_ND[at]

    def caption(self, at: int) -> Row | None:
        """The caption's vector of a place; None where there is none."""
        if self._captions_ND is None or not self._captioned_N[at]:
            return None
        return self._captions_ND[at]

    def scores(self, query: Query) -> tuple[Places, Floats]:
        """The places at or above the floor with their scores, both give or take `SLACK`."""
        count, w = len(self.ids), query.weights
        sim_N = (self._templates_ND[:count] @ query.asked.template).astype(np.float64)
        if query.asked.caption is not None and self._captions_ND is not None:
            captions_N = (self._captions_ND[:count] @ query.asked.caption).astype(np.float64)
            mixed_N = w.question * sim_N + (1 - w.question) * captions_N
            sim_N = np.where(self._captioned_N[:count], mixed_N, sim_N)
        near = np.flatnonzero(sim_N >= query.floor - SLACK)
        uses, wins = self._uses_N[near], self._wins_N[near]
        val = (wins + w.prior_wins) / (uses + w.prior_wins + w.prior_losses)
        freq = 1.0 / (uses + 1)
        return near, w.similarity * sim_N[near] + w.value * val + w.frequency * freq

    def _grow(self) -> None:
        self._templates_ND = _doubled(self._templates_ND)
        self._captioned_N = _doubled(self._captioned_N)
        self._absorbed_N = _doubled(self._absorbed_N)
        self._uses_N, self._wins_N = _doubled(self._uses_N), _doubled(self._wins_N)
        if self._captions_ND is not None:
            self._captions_ND = _doubled(self._captions_ND)


def _doubled(rows: NDArray[A]) -> NDArray[A]:
    grown = np.zeros((2 * len(rows), *rows.shape[1:]), rows.dtype)
    grown[: len(rows)] = rows
    return grown
