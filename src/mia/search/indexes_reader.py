"""What reads an index: always in its current generation, which it takes up by itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import tantivy
from msgspec.structs import replace

from mia.errors import SearchError, StoreError
from mia.search.indexes import MANIFEST, Manifest, generation, manifest
from mia.search.indexes_schema import SCHEMA, opened, passage
from mia.types import Passage

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Generation:
    """One state of an index, whole and unchanging."""

    manifest: Manifest
    searcher: tantivy.Searcher
    stamp: Stamp | None

    def find(self, query: tantivy.Query, limit: int) -> tuple[Passage, ...]:
        """The best passages for a query, with their scores. Raises SearchError where the index is
        damaged."""
        try:
            hits = self.searcher.search(query, limit, count=False).hits
            return tuple(
                replace(passage(self.searcher.doc(address)), score=score) for score, address in hits
            )
        except ValueError as error:
            raise SearchError(f"cannot search the index: {error}") from error

    def first(self, field: str, value: str | int) -> Passage | None:
        """A passage whose field is just that."""
        found = self.find(tantivy.Query.term_query(SCHEMA, field, value), 1)
        return found[0] if found else None


class Reader:
    """An index on disk. Safe to share between tasks and threads."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingError where there is no index, StoreError for a damaged one."""
        self._folder = folder
        self._lock = Lock()
        self._open = _opened(folder)

    def now(self) -> Generation:
        """The generation that is current at this moment; the last one of an index that was
        removed."""
        stamp = stamp_of(self._folder / MANIFEST)
        if stamp is not None and stamp != self._open.stamp:
            with self._lock:
                if stamp != self._open.stamp:
                    self._open = _opened(self._folder)
        return self._open


def stamp_of(path: Path) -> Stamp | None:
    """Tells one state of a file that is only ever replaced from another; None where there is
    none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def _opened(folder: Path) -> Generation:
    while True:
        stamp, found = stamp_of(folder / MANIFEST), manifest(folder)
        try:
            index = opened(generation(folder, found.generation))
            return Generation(found, index.searcher(), stamp)
        except (ValueError, OSError) as error:
            if stamp_of(folder / MANIFEST) == stamp:
                raise StoreError(
                    f"cannot open the index at {folder}: {error}; "
                    f"build it again: mia index build CORPUS --out {folder}"
                ) from error
            # it was replaced, and what the old manifest named is gone
