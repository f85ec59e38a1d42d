"""Search indexes on disk: how they are built, changed and looked at while others read them.

    <index>/mia-index.json    the manifest: names the current generation; replaced atomically
    <index>/gen-000007/       a generation: a whole tantivy index, never changed once it is current
    <index>/vectors/          what `mia index embed` made (dense_vectors.py)

A change begins a new generation out of hard links to the files of the current one, changes that,
and replaces the manifest. So a reader sees all of a change or nothing; a killed writer leaves only
a folder that no manifest names, and the next writer removes it. What a reader has open stays with
it, for the system keeps files that are mapped.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import tantivy
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ConfigError, MissingError, StoreError
from mia.locks import alone
from mia.search import corpus
from mia.search.indexes_schema import FORMAT, SCHEMA, created, digest_of, document
from mia.types import Noun, Passage

MANIFEST = "mia-index.json"
VECTORS = "vectors"
_LOCK = ".mia-index.lock"
_GONE = ".gone-"
"""What a generation that nobody needs is called while it is deleted."""
_HEAP = 128_000_000
"""Bytes of postings in memory before tantivy writes a segment."""
_PART = 250_000
"""Passages whose digests are read at a time; digests are spread evenly, so no part has twice as
many."""
_WIDTH = 1 << 64
Unreadable = Callable[[str], None]
"""Told of each file of a source that is left out, and why."""


class Source(Noun, frozen=True):
    """A file or a folder that an index was built from."""

    place: str
    state: str
    """What it was like then (`corpus.state`)."""


class Manifest(Noun, frozen=True):
    """What an index holds."""

    format: int
    generation: int
    passages: int
    built: float
    """Unix time of the last change."""
    sources: tuple[Source, ...] = ()
    """Of passages with the same id, that of the latest source is there."""


class Change(Noun, frozen=True):
    """What became of an index."""

    passages: int
    """How many there are now."""
    added: int = 0
    changed: int = 0
    deleted: int = 0


def is_index(folder: Path) -> bool:
    """Whether a finished index lies there."""
    return (folder / MANIFEST).is_file()


def manifest(folder: Path) -> Manifest:
    """Raises MissingError where there is no index, StoreError for one that cannot be read."""
    if not is_index(folder):
        raise MissingError(f"no search index at {folder}; run: mia index build CORPUS")
    again = f"build it again: mia index build CORPUS --out {folder}"
    try:
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (ValueError, OSError) as error:
        raise StoreError(f"cannot open the index at {folder}: {error}; {again}") from error
    if found.format != FORMAT:
        raise StoreError(f"{folder} is an index of format {found.format}, not {FORMAT}; {again}")
    return found


def generation(folder: Path, number: int) -> Path:
    """Where a generation lies."""
    return folder / f"gen-{number:06d}"


def build(passages: Iterable[Passage], folder: Path, source: str = "") -> int:
    """Writes an index of the passages to `folder`, replacing one that is there; returns how many.
    `source` is the file or folder they are read from, for `update`.

    Another process that changes the same one is waited for. Raises ConfigError when there is
    something else in the folder, StoreError when the disk is full.
    """
    folder = folder.resolve()
    _claim(folder)
    with alone(folder / _LOCK):
        try:
            with _pending(folder, afresh=True) as pending:
                sources = (_source(source),) if source else ()
                for passage in passages:
                    pending.add(passage)
                return pending.publish(sources).passages
        finally:
            if not is_index(folder):
                _abandon(folder)


def add(folder: Path, passages: Iterable[Passage], source: str = "") -> Change:
    """Adds passages, and replaces those with the same ids. Raises as `build` does."""
    with alone(_writable(folder)), _pending(folder) as pending:
        sources = pending.begun.sources
        if source:
            last = _source(source)
            sources = (*(other for other in sources if other.place != last.place), last)
        for passage in passages:
            pending.put(passage)
        return pending.publish(sources)


def delete(folder: Path, ids: Sequence[str]) -> Change:
    """Deletes passages by id; ids that are not there are passed over."""
    with alone(_writable(folder)), _pending(folder) as pending:
        for id in ids:
            pending.delete(id)
        return pending.publish(pending.begun.sources)


def update(folder: Path, unreadable: Unreadable | None = None) -> Change:
    """Reads the sources of an index again and applies what differs. Raises ConfigError for an index
    that was built from no file, InputError for a source that cannot be read."""
    with alone(_writable(folder)), _pending(folder) as pending:
        sources = tuple(_source(source.place) for source in pending.begun.sources)
        if not sources:
            raise ConfigError(f"{folder} was not built from a file; add to it, or build it again")
        known = digests(pending.searcher)
        kept = np.zeros(len(known), dtype=bool)
        for passage in _merged(sources, unreadable):
            digest = digest_of(passage)
            place = int(np.searchsorted(known, np.uint64(digest)))
            if place < len(known) and int(known[place]) == digest:
                kept[place] = True
            else:
                pending.put(passage)
        pending.forget(known[~kept])
        return pending.publish(sources)


def keep(source: Path, folder: Path, say: Callable[[str], None]) -> None:
    """Builds the index of a source where there is none, and updates it where the source has
    changed."""
    if not is_index(folder):
        say(f"indexing {source} ...")
        count = build(corpus.passages(source, say), folder, str(source))
        say(f"indexed {count:,} passages")
    elif stale(manifest(folder)):
        say(f"{source} has changed; indexing what differs ...")
        done = update(folder, say)
        say(f"{done.added:,} added, {done.changed:,} changed, {done.deleted:,} deleted")


def stale(found: Manifest) -> bool:
    """Whether the sources of an index have changed since it was built or updated."""
    return any(_source(source.place) != source for source in found.sources)


def digests(searcher: tantivy.Searcher) -> NDArray[np.uint64]:
    """The digests of all passages, sorted."""
    total = searcher.num_docs
    parts = 1 + total // _PART
    edges = [_WIDTH * part // parts for part in range(parts + 1)]
    found: list[NDArray[np.uint64]] = []
    for low, high in pairwise(edges):
        within = tantivy.Query.range_query(
            SCHEMA, "digest", tantivy.FieldType.Unsigned, low, high - 1
        )
        hits = searcher.search(within, 2 * _PART, count=False).hits
        values = searcher.fast_field_values("digest", [address for _, address in hits])
        found.append(np.array(values, dtype=np.uint64))
    return np.sort(np.concatenate(found))


def _source(place: str) -> Source:
    path = Path(place).resolve()
    return Source(place=str(path), state=corpus.state(path))


def _merged(sources: Sequence[Source], unreadable: Unreadable | None) -> Iterator[Passage]:
    """The passages of all sources; of those with the same id, the one in the latest."""
    if len(sources) == 1:
        yield from corpus.passages(Path(sources[0].place), unreadable)
        return
    seen: set[str] = set()
    for source in reversed(sources):
        for passage in corpus.passages(Path(source.place), unreadable):
            if passage.id not in seen:
                seen.add(passage.id)
                yield passage


def _claim(folder: Path) -> None:
    """Raises ConfigError for a place that holds something else, which would be lost."""
    # in this order, for somebody else may be just beginning to build here, or giving it up
    if not (_empty(folder) or is_index(folder) or (folder / _LOCK).is_file() or _empty(folder)):
        raise ConfigError(f"{folder} is there already and is no index; choose another place")


def _empty(folder: Path) -> bool:
    return not folder.is_file() and not any(folder.glob("*"))


def _abandon(folder: Path) -> None:
    """Removes what is left of a first build that did not come to its end. Its lock is held, and who
    waits for it begins a folder of their own."""
    (folder / _LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # somebody else has begun
        folder.rmdir()


def _writable(folder: Path) -> Path:
    """The lock of an index that can be changed."""
    manifest(folder)
    return folder / _LOCK


class _Pending:
    """A generation in the making."""

    def __init__(self, begun: Manifest, folder: Path, number: int) -> None:
        self.begun = begun
        self._folder = folder
        self._number = number
        self._index = created(generation(folder, number))
        self.searcher = self._index.searcher()
        """What was there before."""
        self._writer: tantivy.IndexWriter | None = self._index.writer(_HEAP, 1)
        self._put = self._changed = self._dropped = 0

    def add(self, passage: Passage) -> None:
        """Adds one whose id is not there yet."""
        self._write(passage, digest_of(passage))

    def put(self, passage: Passage) -> None:
        """Adds one, or puts it in the place of the one with the same id, if it says anything
        else."""
        digest = digest_of(passage)
        if not self._there("digest", digest):
            self._changed += self._there("id", passage.id)
            self._forget("id", passage.id)
            self._write(passage, digest)

    def delete(self, id: str) -> None:
        """Deletes the one with this id, if it is there."""
        self._dropped += self._there("id", id)
        self._forget("id", id)

    def forget(self, digests: NDArray[np.uint64]) -> None:
        """Deletes what no longer stands in its source. What was put there changed is among it, and
        already deleted."""
        self._dropped += len(digests) - self._changed
        for digest in digests.tolist():
            self._forget("digest", digest)

    def publish(self, sources: tuple[Source, ...]) -> Change:
        """Makes this the current generation, unless nothing differs from the last one."""
        made = replace(self.begun, sources=sources, built=time.time())
        if self._put or self._dropped or not self.begun.generation:
            with _disk(self._folder):
                self._open.commit()
            self.close()
            self._index.reload()
            count = self._index.searcher().num_docs
            made = replace(made, generation=self._number, passages=count)
        write_whole(self._folder / MANIFEST, msgspec.json.encode(made))
        return Change(
            added=self._put - self._changed,
            changed=self._changed,
            deleted=self._dropped,
            passages=made.passages,
        )

    def close(self) -> None:
        """Ends the threads of the writer."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with _disk(self._folder):
                writer.wait_merging_threads()

    @property
    def _open(self) -> tantivy.IndexWriter:
        assert self._writer is not None, "a generation is changed before it is published"
        return self._writer

    def _write(self, passage: Passage, digest: int) -> None:
        with _disk(self._folder):
            self._open.add_document(document(passage, digest))
        self._put += 1

    def _forget(self, field: str, value: str | int) -> None:
        # by term, tantivy-py overlooks large numbers
        self._open.delete_documents_by_query(tantivy.Query.term_query(SCHEMA, field, value))

    def _there(self, field: str, value: str | int) -> int:
        return len(self.searcher.search(tantivy.Query.term_query(SCHEMA, field, value), 1).hits)


@contextmanager
def _pending(folder: Path, afresh: bool = False) -> Generator[_Pending]:
    """A new generation, empty or with all that the current one holds. What it leaves is the one
    that the manifest names, and no other."""
    begun = (
        Manifest(format=FORMAT, generation=0, passages=0, built=0.0) if afresh else manifest(folder)
    )
    _sweep(folder)
    number = 1 + max((_number(path) for path in _generations(folder)), default=0)
    place = generation(folder, number)
    place.mkdir()
    if not afresh:
        linked(generation(folder, begun.generation), place)
    with _disk(folder):
        pending = _Pending(begun, folder, number)
    try:
        yield pending
    finally:
        try:
            pending.close()
        finally:
            _sweep(folder)


@contextmanager
def _disk(folder: Path) -> Generator[None]:
    """What tantivy says of a full or failing disk is a ValueError."""
    try:
        yield
    except ValueError as error:
        raise StoreError(
            f"cannot write the index at {folder}; is the disk full? {error}"
        ) from error


def _generations(folder: Path) -> list[Path]:
    return list(folder.glob("gen-*"))


def _number(place: Path) -> int:
    return int(place.name.removeprefix("gen-"))


def _sweep(folder: Path) -> None:
    """Removes every generation that is not the current one: readers keep what they have open."""
    try:
        current = manifest(folder).generation
    except (MissingError, StoreError):  # none, or none that can be read: nothing there is needed
        current = 0
    for place in _generations(folder):
        if _number(place) != current:
            # a reader that is just opening it puts a lock file there: not once it has another name
            place.rename(folder / f"{_GONE}{place.name}")
    for gone in folder.glob(f"{_GONE}*"):
        shutil.rmtree(gone)


def linked(old: Path, new: Path, link: Callable[[Path, Path], None] = os.link) -> None:
    """The files of a generation once more, without their bytes. tantivy replaces files, and never
    writes into one, so the old generation stays as it is."""
    for file in old.iterdir():
        if file.suffix == ".lock":
            continue
        try:
            link(file, new / file.name)
        except OSError:  # a file system without hard links
            shutil.copy2(file, new / file.name)


def write_whole(path: Path, raw: bytes) -> None:
    """Replaces a file so that whoever reads it, even after a power cut, finds the old or the new
    one."""
    fresh = path.with_name(f".{path.name}.tmp")
    with fresh.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
