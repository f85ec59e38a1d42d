"""A small SQLite file of ours: opened once, written in whole transactions, its errors in our words.

For files whose rows one connection serves well enough: the journal, what was spent. Safe for
several threads, which take turns, and for several processes.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from mia.errors import StoreError
from mia.locks import alone

_BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction; ours take milliseconds."""


class SqliteFile:
    """The file, or a table of this process's memory. What goes wrong is a StoreError that says
    which file it is."""

    def __init__(
        self,
        path: Path | None,
        what: str,
        schema: str,
        *,
        version: int,
        synchronous: Literal["FULL", "NORMAL"],
    ) -> None:
        """`what` names it in errors: "the journal". `schema` is for a file that has no version yet.
        FULL keeps what was acknowledged through a power cut, NORMAL through a kill only. Raises
        StoreError, also for a file of another version."""
        self._name = what if path is None else f"{what} {path}"
        self._lock = threading.Lock()
        # SQLite does not wait its turn for the change to WAL: it fails at once
        turn = nullcontext() if path is None else alone(path.with_name(f"{path.name}.lock"))
        with self._telling(), turn:
            self._db = sqlite3.connect(
                path or ":memory:",
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                self._db.execute(f"PRAGMA synchronous={synchronous}")
                self._db.execute("PRAGMA foreign_keys=ON")
                self._db.execute("PRAGMA journal_mode=WAL")
                self._prepare(schema, version)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, schema: str, version: int) -> None:
        with self.writing() as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                for statement in schema.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version={version}")
            elif found != version:
                raise StoreError(
                    f"{self._name} was written by another version of MIA "
                    f"(schema {found}, this one knows {version})"
                )

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """The connection, for one thread at a time."""
        with self._lock, self._telling():
            yield self._db

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """The connection in a transaction: what the block does is done whole, or not at all."""
        with self.reading() as db, transaction(db):
            yield db

    @contextmanager
    def _telling(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self._name}: {error}") from error


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Commits what the block does, and takes it back when the block raises. Writes exclude each
    other from the beginning, so none fails halfway."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
