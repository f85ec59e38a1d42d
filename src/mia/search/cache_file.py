"""The SQLite file behind the cache of web answers. Fails softly: what it cannot do is logged once,
and the search goes on without it."""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from mia.errors import StoreError
from mia.locks import alone
from mia.sqlite_file import transaction

R = TypeVar("R")
_log = logging.getLogger(__name__)

_OURS = 0x4D494143
"""SQLite's application id of our caches: nobody else's file is put aside."""
_VERSION = 1
_ROW_BYTES = 300
"""What a row takes beside its value."""
_LARGEST_SHARE = 8
"""A value that would take more than one part in so many of the file is not kept."""
_TOUCH = 600.0
"""Seconds after which a row that is read counts as used anew: a write for each read would cost more
than the order gains."""
_LEFT = 0.9
"""The share of the file that is left when room was made: so seldom that it may look at all rows."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SCHEMA = f"""
CREATE TABLE answer (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    at REAL NOT NULL,
    life REAL NOT NULL,
    failed INTEGER NOT NULL,
    used REAL NOT NULL
) STRICT;
CREATE INDEX answer_by_use ON answer (used);
CREATE TABLE total (bytes INTEGER NOT NULL) STRICT;
INSERT INTO total VALUES (0);
CREATE TRIGGER counted AFTER INSERT ON answer BEGIN
    UPDATE total SET bytes = bytes + length(new.value) + {_ROW_BYTES}; END;
CREATE TRIGGER discounted AFTER DELETE ON answer BEGIN
    UPDATE total SET bytes = bytes - length(old.value) - {_ROW_BYTES}; END;
CREATE TABLE claim (key TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) STRICT;
"""

_OLDEST = f"""
DELETE FROM answer WHERE key IN (
    SELECT key FROM (
        SELECT key, sum(length(value) + {_ROW_BYTES}) OVER (ORDER BY used, key ROWS
            BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM answer
    ) WHERE ifnull(before, 0) < ?
)
"""


class Kept(NamedTuple):
    """An answer, or the words of a failure, as it lies in the file."""

    value: bytes
    at: float
    """Unix time."""
    life: float
    """Seconds."""
    failed: bool


class _Other(sqlite3.DatabaseError):
    """A cache of another version: begun anew like a damaged one."""

    sqlite_errorcode = sqlite3.SQLITE_NOTADB


class CacheFile:
    """One file. Safe for threads and processes."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Raises StoreError when there is something else at the path."""
        self._path = path
        self._most = most_bytes
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._complained = False
        self._run(lambda _: None, None)

    def close(self) -> None:
        """Closes the connection; the next call opens another one."""
        with self._lock:
            self._drop()

    def get(self, key: str, now: float) -> Kept | None:
        """What is kept under a key, dead or alive; None for a row that is damaged."""

        def work(db: sqlite3.Connection) -> Kept | None:
            row = db.execute(
                "SELECT value, at, life, failed, checksum, used FROM answer WHERE key = ?", (key,)
            ).fetchone()
            if row is None or zlib.crc32(row[0]) != row[4]:
                return None
            if now - row[5] > _TOUCH:
                db.execute("UPDATE answer SET used = ? WHERE key = ?", (now, key))
            return Kept(row[0], row[1], row[2], bool(row[3]))

        return self._run(work, None)

    def put(self, key: str, row: Kept) -> None:
        """Keeps an answer in place of what was there, and makes room."""
        fits = len(row.value) <= self._most // _LARGEST_SHARE
        values = (key, row.value, zlib.crc32(row.value), row.at, row.life, row.failed, row.at)

        def work(db: sqlite3.Connection) -> None:
            with transaction(db):
                db.execute("DELETE FROM answer WHERE key = ?", (key,))
                if fits:
                    db.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)", values)
                    self._make_room(db)

        self._run(work, None)

    def _make_room(self, db: sqlite3.Connection) -> None:
        """Drops what was not used for longest."""
        kept = int(db.execute("SELECT bytes FROM total").fetchone()[0])
        if kept > self._most:
            db.execute(_OLDEST, (kept - self._most * _LEFT,))

    def claim(self, key: str, now: float, seconds: float) -> bool:
        """Whether the caller is to ask, since nobody else has been asking for so many seconds."""

        def work(db: sqlite3.Connection) -> bool:
            with transaction(db):
                # a time too far ahead was written by a clock that went wrong
                db.execute(
                    "DELETE FROM claim WHERE until <= ? OR until > ?", (now, now + seconds + 1)
                )
                row = db.execute("SELECT owner FROM claim WHERE key = ?", (key,)).fetchone()
                if row is not None and row[0] != self._owner:
                    return False
                db.execute(
                    "INSERT OR REPLACE INTO claim VALUES (?, ?, ?)",
                    (key, self._owner, now + seconds),
                )
                return True

        return self._run(work, True)

    def release(self, key: str) -> None:
        """Lets go of a claim."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM claim WHERE key = ? AND owner = ?", (key, self._owner))

        self._run(work, None)

    def _run(self, work: Callable[[sqlite3.Connection], R], otherwise: R) -> R:
        with self._lock:
            try:
                return work(self._open())
            except (sqlite3.Error, OSError) as error:
                if not _damaged(error):
                    self._complain(error)
                    return otherwise
            try:
                self._begin_anew()
                return work(self._open())
            except (sqlite3.Error, OSError) as error:
                self._complain(error)
                return otherwise

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            _log.warning("the cache %s cannot be used: %s", self._path, error)

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite does not wait its turn for the change to WAL: it fails at once
            with alone(self._path.with_name(f"{self._path.name}.lock")):
                self._db = self._connect()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        """Raises DatabaseError for a file that is damaged, StoreError for one that is not ours."""
        db = sqlite3.connect(self._path, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and db.execute("PRAGMA application_id").fetchone()[0] != _OURS:
                raise StoreError(f"{self._path} is no cache of web answers; choose another place")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            if not tables:
                db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={_VERSION};"
                                 f"PRAGMA application_id={_OURS};COMMIT;")  # fmt: skip
            elif db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise _Other("written by another version")
        except BaseException:
            db.close()
            raise
        return db

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _begin_anew(self) -> None:
        """Puts a damaged file aside, unless another process has done so already."""
        self._drop()
        path = self._path
        with alone(path.with_name(f"{path.name}.lock")):
            if self._is_sound():
                return
            aside = path.with_name(f"{path.name}.damaged")
            _log.warning("%s is damaged: put aside as %s, and begun anew", path, aside.name)
            path.replace(aside)
            for part in ("-wal", "-shm"):
                path.with_name(path.name + part).unlink(missing_ok=True)

    def _is_sound(self) -> bool:
        try:
            db = self._connect()
            try:
                return db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            finally:
                db.close()
        except sqlite3.DatabaseError as error:
            if _damaged(error):
                return False
            raise


def _damaged(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED
