"""chromadb: a persistent client, HNSW by its defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from benchmarks.memory_peers.store import OVERFETCH, Found, Kept, Peer
from benchmarks.memory_peers.world import Asked, Record
from benchmarks.memory_peers.written import KNOWN, credited, record


class Chroma(Peer):
    """One metadata filter a field. To credit records it reads and writes them back."""

    def __init__(self, folder: Path) -> None:
        client = chromadb.PersistentClient(str(folder))
        self._collection: Any = client.get_or_create_collection("memory", embedding_function=None)

    def add(self, records: Sequence[Record]) -> None:
        self._collection.add(
            ids=[str(record.number) for record in records],
            embeddings=np.stack([record.vector for record in records]),
            documents=[record.body for record in records],
            metadatas=[record.fields for record in records],
        )

    def nearest(self, asked: Asked, outcome: str) -> list[Found]:
        found = self._collection.query(
            query_embeddings=[asked.vector],
            n_results=OVERFETCH,
            where=self.where(asked, outcome),
            include=["metadatas", "distances", "documents"],
        )
        names = ("ids", "distances", "metadatas", "documents")
        return [
            # squared L2 of unit vectors, its default
            Found(int(id), 1 - distance / 2, fields["uses"], fields["wins"], body)
            for id, distance, fields, body in zip(*(found[n][0] for n in names), strict=True)
        ]

    def where(self, asked: Asked, outcome: str) -> dict[str, Any]:
        """The filter of a question."""
        fields = {"namespace": asked.namespace, "category": asked.category, "outcome": outcome}
        return {"$and": [{name: wanted} for name, wanted in fields.items()]}

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            ids = [str(known) for known in credited(number)]
            found = self._collection.get(ids=ids, include=["metadatas"])
            uses = [{"uses": fields["uses"] + 1} for fields in found["metadatas"]]
            self._collection.update(ids=found["ids"], metadatas=uses)

    def kept(self, numbers: Sequence[int]) -> Kept:
        there = set(self._collection.get(include=[])["ids"])
        known = self._collection.get(ids=[str(number) for number in range(KNOWN)])
        uses = sum(fields["uses"] for fields in known["metadatas"])
        return Kept(sum(str(number) in there for number in numbers), uses)


class ChromaKey(Chroma):
    """Asked by one combined metadata field."""

    def where(self, asked: Asked, outcome: str) -> dict[str, Any]:
        return {"key": f"{asked.namespace}|{asked.category}|{outcome}"}
