"""Where workflows are kept: one SQLite file, safe for several threads and processes.

WAL with synchronous=FULL: what was acknowledged survives a kill and a power cut. Every write is
one BEGIN IMMEDIATE transaction, so a reader sees an episode's effect whole or not at all. An error
while writing is not tried again: the transaction is rolled back and the error flies.

All methods block for as long as the disk does; async callers use `asyncio.to_thread`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from mia.errors import StoreError
from mia.locks import alone
from mia.memories.workflow.migrations import migrate
from mia.memories.workflow.rows import Bucket, Outcome, Rows
from mia.types import Workflow

_BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction; ours take milliseconds."""


class Store:
    """The workflows of one file. Close it when done."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises StoreError when that cannot be done."""
        self._path = path
        self._lock = threading.Lock()
        with _telling(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA foreign_keys = ON")
                # SQLite does not wait its turn for the change to WAL: it fails at once
                with alone(path.with_name(f"{path.name}.lock")):
                    self._connection.execute("PRAGMA journal_mode = WAL")
                    migrate(self._connection, path)
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file. Closing twice is fine."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def writing(self) -> Generator[Rows]:
        """One transaction: all of the block is kept, or, when it raises, none of it."""
        with self._transaction("BEGIN IMMEDIATE") as rows:
            yield rows

    @contextmanager
    def reading(self) -> Generator[Rows]:
        """The rows as they are at one moment."""
        with self._transaction("BEGIN") as rows:
            yield rows

    def get(self, id: str) -> Workflow | None:
        """A workflow, or None when there is none of this id."""
        with self.reading() as rows:
            return rows.get(id)

    def all(
        self,
        namespace: str | None = None,
        *,
        outcome: Outcome | None = None,
        category: str | None = None,
        limit: int | None = None,
    ) -> tuple[Workflow, ...]:
        """Workflows, newest first; of every namespace when none is named."""
        with self.reading() as rows:
            return tuple(rows.all(namespace, outcome, category, limit))

    def count(self, namespace: str | None = None) -> int:
        """How many workflows there are."""
        with self.reading() as rows:
            return rows.count(namespace)

    def stats(self, namespace: str | None = None) -> tuple[Bucket, ...]:
        """The buckets that hold something, by category and outcome."""
        with self.reading() as rows:
            return rows.stats(namespace)

    def check(self) -> int:
        """Reads everything, compares checksums, and returns how many workflows there are. Raises
        StoreError naming the first record that is damaged."""
        with self.reading() as rows:
            return rows.check()

    def delete(self, id: str) -> bool:
        """Removes a workflow; whether there was one. Its episode stays absorbed, so that
        remembering it again does not bring it back."""
        with self.writing() as rows:
            return rows.delete(id)

    def add(self, workflows: Iterable[Workflow]) -> int:
        """Adds workflows under their own ids, all or none, and returns how many were new: those
        whose id is there already are left as they are."""
        added = 0
        with self.writing() as rows:
            for workflow in workflows:
                if rows.get(workflow.id) is None:
                    rows.put(workflow)
                    added += 1
        return added

    @contextmanager
    def _transaction(self, begin: str) -> Generator[Rows]:
        with self._lock, _telling(self._path):
            self._connection.execute(begin)
            try:
                yield Rows(self._connection)
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


@contextmanager
def _telling(path: Path) -> Generator[None]:
    """Errors of the disk and of SQLite as StoreError, with the file's name."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the memory in {path}: {error}") from error
