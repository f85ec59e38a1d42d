"""Search by meaning: the passages whose vectors are nearest to the query's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from threading import Lock

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ConfigError, MissingError
from mia.model import Embedder
from mia.search.bm25 import BM25
from mia.search.dense_faiss import Lists
from mia.search.dense_vectors import LIST, Kept, digests_of, kept, place, rows_of
from mia.search.indexes_reader import Generation, Reader, Stamp, stamp_of
from mia.types import Passage

_BLOCK = 16_384
"""25 MB of MiniLM's rows."""
_SPARE = 4
"""Candidates for each passage wanted: the lists name them in half precision."""


class Dense:
    """A corpus on disk and its vectors. Safe to share between tasks and threads; takes up new
    passages and vectors by itself.

    A passage that came after the last `mia index embed` is not found.
    """

    def __init__(self, folder: Path, embedder: Embedder, block: int = _BLOCK) -> None:
        """`block` rows are compared at a time. Raises MissingError where there is no index or it
        was not embedded to the end, and ConfigError where another embedder made its vectors."""
        self._folder = folder
        self._embedder = embedder
        self._block = block
        self._reader = Reader(folder)
        self._pages = BM25(folder)
        self._place = place(folder, embedder.name)
        self._lock = Lock()
        self._vectors = self._opened()

    @property
    def complete(self) -> bool:
        """Whether every passage of the index has its vector."""
        return self._now().kept.generation == self._reader.now().manifest.generation

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The nearest passages, with the cosine as their score. Raises ModelError when the embedder
        does not answer."""
        if not query.strip():
            return ()
        vector = (await self._embedder.embed([query]))[0]
        return await asyncio.to_thread(self._nearest, vector, limit)

    async def page(self, address: str) -> Passage | None:
        """The passage with this id, this URL or exactly this title."""
        return await self._pages.page(address)

    def _nearest(self, vector: NDArray[np.float32], limit: int) -> tuple[Passage, ...]:
        vectors, index = self._now(), self._reader.now()
        if vector.shape != (vectors.kept.dimensions,):
            raise ConfigError(
                f"{self._embedder.name} makes {vector.size} dimensions, and the vectors of "
                f"{self._folder} have {vectors.kept.dimensions}; remove {self._place} and run: "
                f"mia index embed {self._folder}"
            )
        count = limit
        while True:
            found = _living(vectors.nearest(vector, count, self._block), index)
            if len(found) >= limit or count >= vectors.kept.rows:
                return tuple(found[:limit])
            count *= 4  # the nearest were deleted since

    def _now(self) -> _Vectors:
        stamp = stamp_of(self._place / LIST)
        if stamp is not None and stamp != self._vectors.stamp:
            with self._lock:
                if stamp != self._vectors.stamp:
                    self._vectors = self._opened()
        return self._vectors

    def _opened(self) -> _Vectors:
        while True:
            stamp = stamp_of(self._place / LIST)
            try:
                return _Vectors.opened(self._place, self._checked(), stamp)
            except FileNotFoundError:
                if stamp_of(self._place / LIST) == stamp:
                    raise
                # they were replaced, and what the old list named is gone

    def _checked(self) -> Kept:
        """What there is of this embedder's vectors."""
        command = f"run: mia index embed {self._folder}"
        made = {found.embedder: found for found in kept(self._folder)}
        mine = made.pop(self._embedder.name, None)
        if mine is None and made:
            raise ConfigError(
                f"{self._folder} has vectors of {', '.join(made)}, not of {self._embedder.name}; "
                f"{command}"
            )
        if mine is None or not mine.generation:
            raise MissingError(f"{self._folder} is not embedded to the end; {command}")
        return mine


def _living(hits: list[tuple[float, int]], index: Generation) -> list[Passage]:
    """The passages that vectors belong to, but for those that are gone."""
    found = ((score, index.first("digest", digest)) for score, digest in hits)
    return [replace(passage, score=score) for score, passage in found if passage is not None]


@dataclass(frozen=True, slots=True)
class _Vectors:
    """One state of the vectors on disk."""

    kept: Kept
    rows: tuple[NDArray[np.float32], ...]
    digests: tuple[NDArray[np.uint64], ...]
    begins: NDArray[np.int64]
    """The number of the first row of each shard, and of none beyond the last one."""
    lists: Lists | None
    stamp: Stamp | None

    @staticmethod
    def opened(here: Path, kept: Kept, stamp: Stamp | None) -> _Vectors:
        return _Vectors(
            kept=kept,
            rows=tuple(rows_of(here, shard) for shard in kept.shards),
            digests=tuple(digests_of(here, shard) for shard in kept.shards),
            begins=np.array([0, *accumulate(shard.rows for shard in kept.shards)]),
            lists=Lists(here / kept.lists) if kept.lists else None,
            stamp=stamp,
        )

    def nearest(
        self, query: NDArray[np.float32], count: int, block: int
    ) -> list[tuple[float, int]]:
        """The cosines and digests of the nearest rows, nearest first."""
        scores, numbers = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        if self.lists is not None:
            chosen = self.lists.candidates(query, _SPARE * count)
            near = [self.rows[shard][row] for shard, row in self._at(chosen)]
            scores.append(np.array([row @ query for row in near], dtype=np.float32))
            numbers.append(chosen)
        for shard in range(self.kept.listed, len(self.rows)):
            for start in range(0, len(self.rows[shard]), block):
                cosines = self.rows[shard][start : start + block] @ query
                best = _top(cosines, count)
                scores.append(cosines[best])
                numbers.append(self.begins[shard] + start + best)
        everything, every = np.concatenate(scores), np.concatenate(numbers)
        order = np.argsort(-everything, kind="stable")[:count]
        whose = [int(self.digests[shard][row]) for shard, row in self._at(every[order])]
        return list(zip(everything[order].tolist(), whose, strict=True))

    def _at(self, numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
        """The shards of rows, and their places in them."""
        shards = np.searchsorted(self.begins, numbers, side="right") - 1
        places = numbers - self.begins[shards]
        return list(zip(shards.tolist(), places.tolist(), strict=True))


def _top(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Where the largest are, in any order."""
    if len(scores) <= count:
        return np.arange(len(scores))
    return np.argpartition(scores, -count)[-count:]
