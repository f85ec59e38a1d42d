"""mem0: the vector store that its `Memory()` makes, qdrant's local mode on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import UUID

from benchmarks.memory_peers.store import OVERFETCH, Found, Kept, Peer
from benchmarks.memory_peers.world import DIMENSIONS, Asked, Record
from benchmarks.memory_peers.written import KNOWN, credited, record
from mem0.configs.vector_stores.qdrant import QdrantConfig
from mem0.vector_stores.qdrant import Qdrant


class Mem0(Peer):
    """To credit records it reads and writes them back, one by one."""

    batch = 500

    def __init__(self, folder: Path) -> None:
        config = QdrantConfig(embedding_model_dims=DIMENSIONS, path=str(folder))
        self._store: Any = Qdrant(**{key: item for key, item in config if item is not None})

    def add(self, records: Sequence[Record]) -> None:
        self._store.insert(
            vectors=[record.vector.tolist() for record in records],
            payloads=[record.fields | {"data": record.body} for record in records],
            ids=[_id(record.number) for record in records],
        )

    def nearest(self, asked: Asked, outcome: str) -> list[Found]:
        filters = {"namespace": asked.namespace, "category": asked.category, "outcome": outcome}
        points = self._store.search("", asked.vector.tolist(), top_k=OVERFETCH, filters=filters)
        return [
            Found(UUID(p.id).int, p.score, p.payload["uses"], p.payload["wins"], p.payload["data"])
            for p in points
        ]

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            for id in map(_id, credited(number)):
                uses = self._store.get(id).payload["uses"]
                self._store.update(id, payload={"uses": uses + 1})

    def kept(self, numbers: Sequence[int]) -> Kept:
        there = sum(self._store.get(_id(number)) is not None for number in numbers)
        known = (self._store.get(_id(number)) for number in range(KNOWN))
        return Kept(there, sum(point.payload["uses"] for point in known))


class LockedMem0(Mem0):
    """Its threads take turns, as a careful caller's would."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._turn = Lock()

    def remember(self, number: int, full: bool) -> None:
        with self._turn:
            super().remember(number, full)


def _id(number: int) -> str:
    return str(UUID(int=number))
