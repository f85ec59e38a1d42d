"""The vectors of an index's passages, beside the index on disk.

    <index>/vectors/<embedder>/vectors.json    the embedder, its dimensions, and the shards
    <index>/vectors/<embedder>/000012.npy      a shard: one unit row a passage, memory-mapped
    <index>/vectors/<embedder>/000012.digests.npy  whose row it is

A row belongs to a passage by the digest of all that the passage says. So vectors outlive the
generations of an index: what did not change is never embedded again, and what did has no vector.
Single precision: half of it takes half the disk and four times the time, for numpy cannot multiply
it. One embedder's vectors are never compared with another's.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ModelError, StoreError
from mia.locks import alone
from mia.model import Embedder
from mia.search import dense_faiss
from mia.search.indexes import VECTORS, digests, write_whole
from mia.search.indexes_reader import Generation, Reader
from mia.types import Noun, Passage

LIST = "vectors.json"
_LOCK = ".lock"
_STALE = 0.2
"""A shard in which a larger part belongs to no passage any more is written again."""
_BLOCK = 16_384
"""Rows that are copied at a time: 25 MB of MiniLM's."""
Progress = Callable[[int, int], None]
"""Told how many of how many passages are done."""


class Sizes(Noun, frozen=True):
    """How the rows are laid out, in rows and in shards."""

    made: int = 512
    """Rows of a shard as they are made: less than a minute of MiniLM, which is what a killed run
    loses."""
    small: int = 65_536
    """Shards with fewer rows are put together, once there are `many`, or `few` at the end."""
    many: int = 64
    few: int = 8
    exact: int = 100_000
    """Above this, faiss's inverted lists answer: comparing all rows takes too long."""
    unlisted: int = 50_000
    """So many rows may come before the lists are made again; they are compared one by one."""


class Shard(Noun, frozen=True):
    """Rows in one file."""

    name: str
    rows: int


class Kept(Noun, frozen=True):
    """What there is of one embedder's vectors."""

    embedder: str
    dimensions: int = 0
    shards: tuple[Shard, ...] = ()
    generation: int = 0
    """Of the index, when every passage had its vector; 0 where that has not been."""
    lists: str = ""
    """The file of faiss, over the first `listed` shards."""
    listed: int = 0

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


class Embedded(Noun, frozen=True):
    """What one run of the embedder did."""

    embedder: str
    passages: int
    made: int
    """The others had their vectors already."""


def kept(folder: Path) -> tuple[Kept, ...]:
    """The vectors of an index, by embedder."""
    return tuple(_read(path.parent) for path in sorted((folder / VECTORS).glob(f"*/{LIST}")))


def place(folder: Path, embedder: str) -> Path:
    """Where an embedder's vectors lie in an index."""
    readable = re.sub(r"[^\w.-]+", "-", embedder).strip(".-")[:60]
    return folder / VECTORS / f"{readable}-{hashlib.sha256(embedder.encode()).hexdigest()[:8]}"


def said(passage: Passage) -> str:
    """A passage as an embedder reads it."""
    return f"{passage.title}\n{passage.text}"


async def embed(
    folder: Path, embedder: Embedder, progress: Progress, sizes: Sizes = Sizes()
) -> Embedded:
    """Makes the vectors that an index lacks. Killed, the next call goes on where it was.

    Raises StoreError while another process does the same, ModelError for what is no vector."""
    index = Reader(folder).now()
    here = place(folder, embedder.name)
    with alone(here / _LOCK, busy=f"{folder} is being embedded by another process"):
        work = _Work(here, index, sizes)
        missing = np.setdiff1d(work.wanted, work.there())
        done = total = len(work.wanted)
        done -= len(missing)
        progress(done, total)
        work.begin(embedder.name)
        for start in range(0, len(missing), sizes.made):
            part = missing[start : start + sizes.made]
            passages = [_passage(index, digest) for digest in part.tolist()]
            rows = await embedder.embed([said(passage) for passage in passages])
            work.append(rows, part)
            progress(done := done + len(part), total)
        work.finish()
    return Embedded(embedder=embedder.name, passages=total, made=len(missing))


def _passage(index: Generation, digest: int) -> Passage:
    passage = index.first("digest", digest)
    assert passage is not None, "a generation never changes"
    return passage


def _read(here: Path) -> Kept:
    try:
        return msgspec.json.decode((here / LIST).read_bytes(), type=Kept)
    except (ValueError, OSError) as error:
        raise StoreError(
            f"cannot read the vectors in {here}: {error}; remove that folder and embed again"
        ) from error


class _Work:
    """The vectors of one embedder while they grow."""

    def __init__(self, here: Path, index: Generation, sizes: Sizes) -> None:
        self._here = here
        self._sizes = sizes
        self._index = index
        self._kept = _read(here) if (here / LIST).is_file() else Kept(embedder="")
        self.wanted = digests(index.searcher)

    def there(self) -> NDArray[np.uint64]:
        """The digests that have a row."""
        files = [digests_of(self._here, shard) for shard in self._kept.shards]
        return np.concatenate([np.empty(0, np.uint64), *files])

    def begin(self, embedder: str) -> None:
        """Writes down whose vectors these are going to be."""
        self._publish(replace(self._kept, embedder=embedder))

    def append(self, rows: NDArray[np.float32], whose: NDArray[np.uint64]) -> None:
        """Keeps rows, whatever happens afterwards."""
        dimensions = self._kept.dimensions or rows.shape[1]
        if rows.shape != (len(whose), dimensions) or not np.isfinite(rows).all():
            raise ModelError(
                f"{self._kept.embedder} made vectors of shape {rows.shape}, or no numbers; "
                f"expected {(len(whose), dimensions)}"
            )
        shard = self._shard(rows.astype(np.float32, copy=False), whose)
        shards = (*self._kept.shards, shard)
        self._publish(replace(self._kept, dimensions=dimensions, shards=shards))
        self._tidy(self._sizes.many)

    def finish(self) -> None:
        """All passages have their vectors."""
        self._tidy(self._sizes.few if self._kept.generation else 1)
        made = replace(self._kept, generation=self._index.manifest.generation)
        unlisted = sum(shard.rows for shard in made.shards[made.listed :])
        wanted = unlisted > self._sizes.unlisted and made.rows > self._sizes.exact
        if wanted and dense_faiss.available():
            name = f"{_next(made.shards):06d}.faiss"
            rows = [rows_of(self._here, shard) for shard in made.shards]
            dense_faiss.build(rows, self._here / name)
            made = replace(made, lists=name, listed=len(made.shards))
        self._publish(made)

    def _tidy(self, most: int) -> None:
        """Puts small shards together where there are more than `most`, and leaves out rows that
        belong to no passage any more."""
        shards = self._kept.shards
        living = [np.isin(digests_of(self._here, shard), self.wanted) for shard in shards]
        worn = [float(alive.mean()) < 1 - _STALE for alive in living]
        small = [shard.rows < self._sizes.small for shard in shards]
        if sum(small) <= most and not any(worn):
            return
        again = [n for n in range(len(shards)) if small[n] or worn[n]]
        fresh = self._merged([shards[n] for n in again], [living[n] for n in again])
        stay = tuple(shard for n, shard in enumerate(shards) if n not in again)
        made = replace(self._kept, shards=(*stay, *([fresh] if fresh.rows else [])))
        if again[0] < made.listed:
            made = replace(made, lists="", listed=0)
        self._publish(made)

    def _merged(self, shards: Sequence[Shard], living: Sequence[NDArray[np.bool_]]) -> Shard:
        """The living rows of several shards as one, written block by block."""
        name = f"{_next(self._kept.shards):06d}"
        whose = [digests_of(self._here, s)[alive] for s, alive in zip(shards, living, strict=True)]
        count = sum(map(len, whose))
        shape = (count, self._kept.dimensions)
        target = np.lib.format.open_memmap(self._here / f"{name}.npy", "w+", np.float32, shape)
        filled = 0
        for shard, alive in zip(shards, living, strict=True):
            rows = rows_of(self._here, shard)
            for start in range(0, shard.rows, _BLOCK):
                block = rows[start : start + _BLOCK][alive[start : start + _BLOCK]]
                target[filled : filled + len(block)] = block
                filled += len(block)
        target.flush()
        _save(self._here / f"{name}.digests.npy", np.concatenate(whose))
        return Shard(name=name, rows=count)

    def _shard(self, rows: NDArray[np.float32], whose: NDArray[np.uint64]) -> Shard:
        name = f"{_next(self._kept.shards):06d}"
        _save(self._here / f"{name}.npy", rows)
        _save(self._here / f"{name}.digests.npy", whose)
        return Shard(name=name, rows=len(whose))

    def _publish(self, made: Kept) -> None:
        """Makes this what readers see, and removes what it does not name."""
        write_whole(self._here / LIST, msgspec.json.encode(made))
        self._kept = made
        named = {f"{shard.name}.npy" for shard in made.shards}
        named |= {f"{shard.name}.digests.npy" for shard in made.shards}
        named |= {LIST, _LOCK, made.lists}
        for path in self._here.iterdir():
            if path.name not in named:
                path.unlink()


def _next(shards: Sequence[Shard]) -> int:
    return 1 + max((int(shard.name) for shard in shards), default=0)


def _save(path: Path, array: NDArray[np.float32] | NDArray[np.uint64]) -> None:
    with path.open("wb") as file:
        np.save(file, array)
        file.flush()
        os.fsync(file.fileno())


def rows_of(here: Path, shard: Shard) -> NDArray[np.float32]:
    """The vectors of a shard, mapped from the disk."""
    return np.load(here / f"{shard.name}.npy", mmap_mode="r")


def digests_of(here: Path, shard: Shard) -> NDArray[np.uint64]:
    """Whose vectors they are."""
    return np.load(here / f"{shard.name}.digests.npy", mmap_mode="r")
