"""The workflows of one machine: a SQLite file, safe for several threads and processes.

WAL with synchronous=FULL: what was acknowledged survives a kill and a power cut. Writers share
transactions (`group.py`); readers have connections of their own and wait for nobody. An error while
writing is not tried again: the transaction is rolled back and the error flies.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ulid import ULID

from mia.errors import StoreError
from mia.locks import alone
from mia.memories.workflow.backup import copy_whole, take_over, working_copy
from mia.memories.workflow.files import sweep
from mia.memories.workflow.group import Group, Ticket
from mia.memories.workflow.index import Index
from mia.memories.workflow.log import Clock, utc_now
from mia.memories.workflow.migrations import migrate
from mia.memories.workflow.records import blob, row_of
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.session import Row, Value
from mia.memories.workflow.store import Query, Scored, Store
from mia.memories.workflow.verify import verify

T = TypeVar("T")
_Job = Callable[[Rows], Any]
_DAMAGE = (sqlite3.Error, UnicodeDecodeError)
"""What sqlite3 raises; the latter where its own message quotes a damaged file."""
_BUSY_SECONDS = 30.0
"""How long to wait for another process's transaction; ours take milliseconds."""
_ROUND_SECONDS = 0.078
"""How long a writer leaves the asking for its turn to SQLite, which asks after 1, 2, 5, 10, 15, 20
and 25 ms, and then ever more seldom."""
_IDLE = 8
"""Connections of readers that are kept for the next one."""


class SqliteSession:
    """A connection, as the statements use it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        return self._connection.execute(statement, values)

    def change(self, statement: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(statement, values).rowcount

    def vector(self, row: Row) -> Value:
        return blob(row)

    def row(self, value: Any) -> Row:
        return row_of(value)

    def problems(self) -> tuple[str, ...]:
        found = tuple(str(row[0]) for row in self._connection.execute("PRAGMA integrity_check"))
        return () if found == ("ok",) else found


class SqliteStore(Store):
    """The workflows of one file, or of this process's memory."""

    def __init__(self, path: Path | None, *, clock: Clock = utc_now) -> None:
        """Opens or creates the file; without one, the workflows live as long as the store. Raises
        StoreError when that cannot be done. `clock` tells the time that the log writes down."""
        self.path = path
        self.where = "this process" if path is None else str(path)
        self._memory = f"file:/mia-{ULID()}?vfs=memdb"
        self._clock = clock
        self._closed = False
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._group: Group[_Job] = Group(self._commit)
        self._writer_lock = threading.Lock()
        self._index = Index()
        self._index_lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            try:
                self._prepare()
            except BaseException:
                self._writer.close()
                raise
        except (*_DAMAGE, OSError) as error:
            raise self._told(error) from error

    def read(self, job: Callable[[Rows], T]) -> T:
        with self._reading() as rows:
            return job(rows)

    def write(self, job: Callable[[Rows], T]) -> T:
        return self._group.run(job)

    def best(self, query: Query) -> tuple[Scored, ...]:
        # the lock comes before the transaction: who holds it later sees newer rows
        with self._index_lock, self._reading() as rows:
            self._index.refresh(rows)
            return self._index.best(query, rows)

    def check(self) -> int:
        with self._index_lock, self._reading() as rows:
            count = verify(rows)
            self._index.refresh(rows)
            self._index.check(rows)
            return count

    def scrub(self) -> bool:
        with self._writing() as db:
            db.execute("VACUUM")
            busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            return not busy

    def copies(self) -> tuple[str, ...]:
        if self.path is None:
            return ()
        beside = self.path.parent.glob(f"{self.path.name}.*")
        return tuple(sorted(str(file) for file in beside if file.suffix != ".lock"))

    def backup(self, target: Path) -> None:
        """Copies everything to a file, as it is at one moment, while others write. The file appears
        whole or not at all. Raises StoreError."""
        with self._connected() as db:
            copy_whole(db, target)

    def restore(self, file: Path) -> Path:
        """Puts a backup in place of everything, in one transaction, while others may have the store
        open; returns the copy that is kept of what was there. A backup of an older version is
        upgraded on the way, and the file itself is not touched. Raises InputError when there is no
        such file, StoreError when it is damaged."""
        if self.path is None:
            raise StoreError("a store without a file has nothing to restore")
        time = f"{self._clock():%Y%m%dT%H%M%S}"
        kept = self.path.with_name(f"{self.path.name}.before-{time}-{ULID()}.bak")
        with working_copy(file, self.path) as copy:
            with SqliteStore(copy, clock=self._clock) as candidate:
                candidate.check()
            with self._writing() as db:
                db.execute("ATTACH ? AS restored", (str(copy),))
                try:
                    self._take_over(db, file, kept)
                finally:
                    db.execute("DETACH restored")
        return kept

    def _take_over(self, db: sqlite3.Connection, file: Path, kept: Path) -> None:
        _begin(db)
        try:
            with self._connected() as reader:  # nobody else can write between this copy and the end
                copy_whole(reader, kept)
            take_over(db)
            rows = Rows(SqliteSession(db), self._clock)
            rows.log.append("recover", reason=f"everything was restored from {file.name}")
            rows.log.settle()
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def close(self) -> None:
        with self._writer_lock, self._idle_lock:
            self._closed = True
            self._writer.close()
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path or self._memory,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=self.path is None,
        )

    def _prepare(self) -> None:
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute("PRAGMA foreign_keys = ON")
        if self.path is None:
            migrate(self._writer, None)
            return
        sweep(self.path.parent)
        # SQLite does not wait its turn for the change to WAL: it fails at once
        with alone(self.path.with_name(f"{self.path.name}.lock")):
            self._writer.execute("PRAGMA journal_mode = WAL")
            migrate(self._writer, self.path)

    def _commit(self, tickets: Iterable[Ticket[_Job]]) -> None:
        """Runs the jobs in one transaction, each in a savepoint of its own."""
        try:
            with self._writing() as db:
                _begin(db)
                try:
                    rows = Rows(SqliteSession(db), self._clock)
                    for ticket in tickets:
                        self._attempt(db, rows, ticket)
                    rows.log.settle()
                    db.execute("COMMIT")
                finally:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
        except StoreError as error:
            for ticket in tickets:
                ticket.lost = error
        else:
            for ticket in tickets:
                ticket.lost = None

    def _attempt(self, db: sqlite3.Connection, rows: Rows, ticket: Ticket[_Job]) -> None:
        """Runs one job. What it raises is its own affair, as long as the transaction lives."""
        db.execute("SAVEPOINT job")
        try:
            with rows.log.attempt():
                ticket.result = ticket.job(rows)
        except Exception as error:  # it belongs to the thread whose job it was
            ticket.error = self._told(error) if isinstance(error, _DAMAGE) else error
            if not db.in_transaction:
                raise  # SQLite gave up the whole transaction
            db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """The writer's connection, for one thread at a time."""
        with self._writer_lock:
            try:
                yield self._writer
            except _DAMAGE as error:
                raise self._told(error) from error

    @contextmanager
    def _reading(self) -> Generator[Rows]:
        """The rows as they are at one moment, on a connection of one's own."""
        with self._connected() as db:
            db.execute("BEGIN")
            yield Rows(SqliteSession(db), self._clock)

    @contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        """A reader's connection, for oneself."""
        try:
            db = self._borrow()
            try:
                yield db
            finally:
                self._give_back(db)
        except _DAMAGE as error:
            raise self._told(error) from error

    def _borrow(self) -> sqlite3.Connection:
        with self._idle_lock:
            if self._closed:
                raise sqlite3.ProgrammingError("it is closed")
            if self._idle:
                return self._idle.pop()
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db

    def _give_back(self, db: sqlite3.Connection) -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")
        with self._idle_lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(db)
                return
        db.close()

    def _told(self, error: Exception) -> StoreError:
        return StoreError(f"the memory in {self.where}: {error}")


def _begin(db: sqlite3.Connection) -> None:
    """Begins a transaction that writes. Processes that wait stand in no queue: whoever asks first
    after a commit is next. So they all ask equally often, however long they have waited; left to
    SQLite alone, who has waited long would ask seldom, and wait on behind newcomers."""
    given_up = time.monotonic() + _BUSY_SECONDS
    _let_wait(db, _ROUND_SECONDS)
    try:
        while not db.in_transaction:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > given_up:
                    raise
    finally:
        _let_wait(db, _BUSY_SECONDS)


def _let_wait(db: sqlite3.Connection, seconds: float) -> None:
    db.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")
