"""lancedb, without an index and with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from benchmarks.memory_peers.store import OVERFETCH, Found, Kept, Peer
from benchmarks.memory_peers.world import DIMENSIONS, Asked, Record
from benchmarks.memory_peers.written import KNOWN, credited, record
from lancedb.index import Bitmap, IvfFlat

_FILTERS = ("namespace", "category", "outcome")
_COUNTS = ("uses", "wins")
_SCHEMA: Any = pa.schema(
    [("number", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSIONS))]
    + [(name, pa.string()) for name in (*_FILTERS, "body")]
    + [(name, pa.int64()) for name in _COUNTS]
)


class Lance(Peer):
    """Every vector is compared. Records are credited by an expression, `uses + 1`."""

    batch = 10_000

    def __init__(self, folder: Path) -> None:
        database = lancedb.connect(folder)
        self._table: Any = database.create_table("memory", schema=_SCHEMA, exist_ok=True)

    def add(self, records: Sequence[Record]) -> None:
        rows = [record.fields for record in records]
        columns: dict[str, Any] = {n: [row[n] for row in rows] for n in (*_FILTERS, *_COUNTS)}
        flat = pa.array(np.concatenate([record.vector for record in records]))
        columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS)
        columns["number"] = [record.number for record in records]
        columns["body"] = [record.body for record in records]
        self._table.add(pa.table(columns, schema=_SCHEMA))

    def nearest(self, asked: Asked, outcome: str) -> list[Found]:
        wanted = zip(_FILTERS, (asked.namespace, asked.category, outcome), strict=True)
        where = " AND ".join(f"{name} = '{what}'" for name, what in wanted)
        search = self._table.search(asked.vector).distance_type("cosine")
        fields = ["number", "uses", "wins", "body", "_distance"]
        found = search.where(where, prefilter=True).select(fields).limit(OVERFETCH)
        return [
            Found(row["number"], 1 - row["_distance"], row["uses"], row["wins"], row["body"])
            for row in found.to_arrow().to_pylist()
        ]

    def remember(self, number: int, full: bool) -> None:
        self.add([record(number)])
        if full:
            where = f"number IN ({', '.join(map(str, credited(number)))})"
            self._table.update(where=where, values_sql={"uses": "uses + 1"})

    def kept(self, numbers: Sequence[int]) -> Kept:
        rows = self._table.search().select(["number", "uses"]).limit(None).to_arrow().to_pydict()
        there = set(rows["number"])
        pairs = zip(rows["number"], rows["uses"], strict=True)
        return Kept(sum(n in there for n in numbers), sum(uses for n, uses in pairs if n < KNOWN))


class LanceIndex(Lance):
    """IVF_FLAT over the vectors, bitmaps over the fields."""

    def fill(self, records: Iterable[Record]) -> None:
        super().fill(records)
        for name in _FILTERS:
            self._table.create_index(name, config=Bitmap())
        self._table.create_index("vector", config=IvfFlat(distance_type="cosine"))
