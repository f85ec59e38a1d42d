"""faiss over the vectors of a large corpus: inverted lists on disk, of which a query reads a few.

The lists hold half-precision copies, enough to name candidates; whoever asks compares those in full
precision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mia.errors import MissingError, adding

_LISTS = 4
"""Times the square root of the rows: faiss's own advice."""
_LEARNED = 40
"""Rows for each list that the lists are laid out by."""
_BLOCK = 65_536
_SHARE = 7
"""A query reads one list of so many: .965 of the 20 nearest of MiniLM's 49,856 passages are found,
and 32 lists of 893 would find .84."""
_MOST_PROBED = 512
"""Reached with 800,000 rows: a larger share of more lists would take long. What is found beyond
that was not measured."""


def available() -> bool:
    """Whether faiss is installed."""
    return find_spec("faiss") is not None


def build(shards: Sequence[NDArray[np.float32]], path: Path) -> None:
    """Writes the lists of all rows, numbered over the shards from 0."""
    faiss = _faiss()
    rows, dimensions = sum(map(len, shards)), shards[0].shape[1]
    lists = max(1, int(_LISTS * math.sqrt(rows)))
    index = faiss.index_factory(dimensions, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    every = max(1, rows // (_LEARNED * lists))
    index.train(np.concatenate([shard[::every] for shard in shards]))
    for shard in shards:
        for start in range(0, len(shard), _BLOCK):
            index.add(np.ascontiguousarray(shard[start : start + _BLOCK]))
    faiss.write_index(index, str(path))


class Lists:
    """The lists on disk, memory-mapped."""

    def __init__(self, path: Path) -> None:
        """Raises MissingError without faiss, FileNotFoundError without the file."""
        faiss = _faiss()
        path.stat()  # of a file that is not there faiss makes a RuntimeError
        self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        self._index.nprobe = max(1, min(_MOST_PROBED, self._index.nlist // _SHARE))

    def candidates(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The numbers of rows among which the nearest are likely to be."""
        _, rows = self._index.search(query[None, :], count)
        return rows[0][rows[0] >= 0]


def _faiss() -> Any:
    """The library, which has no types of its own."""
    try:
        return import_module("faiss")
    except ImportError as error:
        raise MissingError(
            f"vectors of a corpus this large need faiss; run: {adding('dense')}"
        ) from error
