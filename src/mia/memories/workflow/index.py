"""The trusted workflows in memory, for exact search.

The index follows the log: every recall first reads what was committed since, whoever wrote it, so a
transaction that was rolled back never shows here. Scores are computed for a whole bucket at once in
single precision; those that may be among the best are computed again one by one in double
precision, so that a workflow's score does not depend on its place in a matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mia.errors import StoreError
from mia.memories.workflow.bucket import SLACK, Bucket, Floats
from mia.memories.workflow.log import REMOVALS, TEXTS, Entry, Head
from mia.memories.workflow.records import Outcome
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.session import Row
from mia.memories.workflow.store import Own, Query, Scored
from mia.memories.workflow.vectors import Indexed
from mia.memory import frequency, score, similarity, value

_SPARE = 16
"""Candidates beyond the limit that are looked at first: some may be the question's own."""
_ANEW = 5_000
"""Changed workflows from which reading everything anew is quicker."""
_MOVES = TEXTS | REMOVALS | {"embed", "trust", "recount", "demote", "readmit"}
"""Actions after which a workflow may have to come in, go out, or stand elsewhere."""


class _Key(NamedTuple):
    namespace: str
    modality: str
    outcome: Outcome
    category: str


class _Found(NamedTuple):
    """A candidate with its exact score, and where it is."""

    item: Scored
    bucket: Bucket
    at: int


class Index:
    """The trusted workflows that have vectors, as of the newest entry it has read."""

    def __init__(self) -> None:
        self._buckets: dict[_Key, Bucket] = {}
        self._homes: dict[str, Bucket] = {}
        """The bucket of each workflow."""
        self._dimension: int | None = None
        self._seen: Head | None = None
        """None before the first reading."""

    def __len__(self) -> int:
        return len(self._homes)

    def refresh(self, rows: Rows) -> None:
        """Takes in what was committed since. `rows` must be at least as new as those of the last
        time."""
        seen, head = self._seen, rows.log.head()
        if seen == head:
            return
        if seen is None or (seen.seq and rows.log.hash_at(seen.seq) != seen.hash):
            self._load(rows)
        else:
            self._take(rows, list(rows.log.entries(after=seen.seq)))
        self._seen = head

    def check(self, rows: Rows) -> None:
        """Compares the index with what is stored. Raises StoreError."""
        fresh = Index()
        fresh.refresh(rows)
        for key, bucket in fresh._buckets.items():
            mine = self._buckets.get(key)
            for id in bucket.ids:
                if mine is None or self._homes.get(id) is not mine:
                    raise StoreError(f"the index has no workflow {id} where it should be")
                if not _same(id, mine, bucket):
                    raise StoreError(f"the index has another workflow {id} than the database")
        if len(self) != len(fresh):
            raise StoreError("the index has workflows that the database has not")

    def best(self, query: Query, rows: Rows) -> tuple[Scored, ...]:
        """The best of what is in the index; `rows` tells the vectors of questions as asked."""
        dimension = query.asked.template.size
        if self._homes and dimension != self._dimension:
            raise StoreError(
                f"the memory's vectors have {self._dimension} numbers, the question's {dimension}; "
                "to make them anew, run: mia memory reembed"
            )
        kept: list[Scored] = []
        for pool in _Pool.of(query, self._scope(query)).tiers():
            if len(kept) < query.limit:
                kept += _best(pool, replace(query, limit=query.limit - len(kept)), rows)
        return tuple(kept)

    def _scope(self, query: Query) -> list[tuple[_Key, Bucket]]:
        wanted = (query.namespace, query.modality, query.outcome)
        return [
            (key, bucket)
            for key, bucket in self._buckets.items()
            if key[:3] == wanted and query.category in (None, key.category) and bucket.ids
        ]

    def _load(self, rows: Rows) -> None:
        self._buckets, self._homes = {}, {}
        _, self._dimension = rows.vectors.made_by()
        if self._dimension is not None:
            for kind, count in rows.vectors.expected():
                self._buckets[_Key(*kind)] = Bucket(self._dimension, count)
        for item in rows.vectors.indexed():
            self.add(item)

    def _take(self, rows: Rows, entries: Sequence[Entry]) -> None:
        moved = {entry.workflow for entry in entries if entry.action in _MOVES}
        if len(moved) > _ANEW or any(entry.action == "reembed" for entry in entries):
            self._load(rows)
            return
        credited = {entry.workflow for entry in entries if entry.action == "credit"} - moved
        for id in credited:
            self._count(rows, id or "")
        for id in moved:
            if id is not None:
                self._remove(id)
                for item in rows.vectors.indexed(id):
                    self.add(item)

    def add(self, item: Indexed) -> None:
        """Puts a workflow in that is not in yet."""
        c = item.columns
        self._dimension = item.template.size
        key = _Key(c.namespace, c.modality, c.outcome, c.category)
        if key not in self._buckets:
            self._buckets[key] = Bucket(item.template.size)
        self._buckets[key].add(item)
        self._homes[c.id] = self._buckets[key]

    def _count(self, rows: Rows, id: str) -> None:
        home = self._homes.get(id)
        columns = None if home is None else rows.columns(id)
        if home is not None and columns is not None:
            home.count(home.places[id], columns.uses, columns.wins)

    def _remove(self, id: str) -> None:
        home = self._homes.pop(id, None)
        if home is not None:
            home.remove(id)


def _best(pool: _Pool, query: Query, rows: Rows) -> list[Scored]:
    take = query.limit + _SPARE
    while True:
        chosen, least = pool.top(take)
        found = sorted(pool.exact(chosen, query), key=_rank)
        kept = [one.item for one in _others(found, query, rows)]
        sure = len(kept) == query.limit and (not kept or kept[-1].score >= least - SLACK / 2)
        if sure or len(chosen) == len(pool.rough_N):
            return kept
        take *= 4


class _Pool:
    """Everything at or above the floor in the buckets of a query, roughly scored."""

    def __init__(
        self,
        buckets: Sequence[tuple[_Key, Bucket]],
        owner_N: NDArray[np.int64],
        place_N: NDArray[np.int64],
        rough_N: Floats,
    ) -> None:
        self.rough_N = rough_N
        self._buckets = buckets
        self._owner_N = owner_N
        self._place_N = place_N

    @classmethod
    def of(cls, query: Query, buckets: Sequence[tuple[_Key, Bucket]]) -> _Pool:
        """Scores the buckets."""
        parts = [bucket.scores(query) for _, bucket in buckets]
        none = np.zeros(0, np.int64)
        return cls(
            buckets,
            np.repeat(np.arange(len(parts)), [len(near) for near, _ in parts]),
            np.concatenate([none, *(near for near, _ in parts)]),
            np.concatenate([np.zeros(0), *(rough for _, rough in parts)]),
        )

    def tiers(self) -> Iterator[_Pool]:
        """What nobody absorbed, then what a policy's weights did."""
        parts = [
            bucket.absorbed(self._place_N[self._owner_N == owner])
            for owner, (_, bucket) in enumerate(self._buckets)
        ]
        absorbed_N = np.concatenate([np.zeros(0, np.bool_), *parts])
        for mask_N in (~absorbed_N, absorbed_N):
            if mask_N.any():
                yield _Pool(
                    self._buckets,
                    self._owner_N[mask_N],
                    self._place_N[mask_N],
                    self.rough_N[mask_N],
                )

    def top(self, take: int) -> tuple[NDArray[np.int64], float]:
        """At least the `take` best by their rough scores, with all that may tie with them; and the
        score that the others are surely below."""
        if take >= len(self.rough_N):
            return np.arange(len(self.rough_N)), -np.inf
        least = float(np.partition(self.rough_N, -take)[-take])
        return np.flatnonzero(self.rough_N >= least - SLACK), least

    def exact(self, chosen: NDArray[np.int64], query: Query) -> Iterator[_Found]:
        """The chosen ones that are at or above the floor, with exact scores."""
        asked, w = _Asked(query), query.weights
        for number in map(int, chosen):
            key, bucket = self._buckets[int(self._owner_N[number])]
            at = int(self._place_N[number])
            question, caption = asked.near(bucket, at)
            sim = similarity(question, caption, w)
            if sim < query.floor:
                continue
            uses, wins = bucket.counts(at)
            val, freq = value(uses, wins, w), frequency(uses)
            item = Scored(
                id=bucket.ids[at],
                outcome=key.outcome,
                category=key.category,
                question_id=bucket.question_ids[at],
                task=bucket.tasks[at],
                score=score(sim, val, freq, w),
                similarity=sim,
                question=question,
                caption=caption,
                value=val,
                frequency=freq,
                absorbed=bucket.is_absorbed(at),
            )
            yield _Found(item, bucket, at)


class _Asked:
    """The question's vectors in double precision."""

    def __init__(self, query: Query) -> None:
        asked = query.asked
        self._template = asked.template.astype(np.float64)
        self._caption = None if asked.caption is None else asked.caption.astype(np.float64)

    def near(self, bucket: Bucket, at: int) -> tuple[float, float | None]:
        """Cosines of the templates and of the captions; None unless both have one."""
        caption = None if self._caption is None else bucket.caption(at)
        question = _cosine(bucket.template(at), self._template)
        if caption is None or self._caption is None:
            return question, None
        return question, _cosine(caption, self._caption)


def _cosine(row: Row, asked: Floats) -> float:
    return float(np.dot(row.astype(np.float64), asked))


def _rank(found: _Found) -> tuple[float, str]:
    return -found.item.score, found.item.id


def _others(found: Sequence[_Found], query: Query, rows: Rows) -> list[_Found]:
    """The first `limit` that do not come from the question itself."""
    kept: list[_Found] = []
    for one in found:
        if len(kept) == query.limit:
            break
        if query.without is None or not _is_own(one.item, query.without, query, rows):
            kept.append(one)
    return kept


def _is_own(item: Scored, own: Own, query: Query, rows: Rows) -> bool:
    if item.question_id == own.question_id or (own.task is not None and item.task == own.task):
        return True
    vectors = rows.vectors.of(item.id)
    return vectors is not None and float(vectors.question @ query.asked.question) >= own.same


def _same(id: str, one: Bucket, other: Bucket) -> bool:
    at, there = one.places[id], other.places[id]
    caption, caption_there = one.caption(at), other.caption(there)
    return (
        one.ids[at] == other.ids[there]
        and one.question_ids[at] == other.question_ids[there]
        and one.tasks[at] == other.tasks[there]
        and one.counts(at) == other.counts(there)
        and one.is_absorbed(at) == other.is_absorbed(there)
        and np.array_equal(one.template(at), other.template(there))
        and (caption is None) == (caption_there is None)
        and (caption is None or caption_there is None or np.array_equal(caption, caption_there))
    )
