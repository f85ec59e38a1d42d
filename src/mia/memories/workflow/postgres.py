"""The workflows of many machines: a Postgres database with pgvector, behind the same contract.

What was acknowledged survives a kill of the server and a power cut, as far as the server's own
`fsync` is on. Writers take turns by an advisory lock, whatever machine they are on, so that the log
is one chain; threads of one process share transactions (`group.py`). Readers have connections of
their own and wait for nobody. Nothing is tried again: what a lost server did not acknowledge is an
error, and the next operation makes a new connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.pq import TransactionStatus

from mia.errors import InputError, StoreError
from mia.memories.workflow.group import Group, Ticket
from mia.memories.workflow.log import Clock, utc_now
from mia.memories.workflow.postgres_best import best
from mia.memories.workflow.postgres_schema import LOCK
from mia.memories.workflow.postgres_session import (
    MANNERS,
    Address,
    PiecewiseSession,
    PostgresSession,
    alive,
)
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Query, Scored, Store
from mia.memories.workflow.verify import verify

T = TypeVar("T")
_Job = Callable[[Rows], Any]
_Connection = Connection[Any]
_IDLE = 8
"""Connections of readers that are kept for the next one."""
_PATIENCE = b"SET lock_timeout = '5s'"
"""How long overwriting waits for readers of the tables."""
_TEXTS = (
    "workflows", "versions", "vectors", "absorbed", "plan_pairs", "pair_episodes", "pair_vectors",
)  # fmt: skip
"""Tables whose rows may hold what a person asked to have forgotten."""
_STILL_READ = b"""SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (
        age(backend_xmin) > age(pg_current_xact_id()::xid)
        OR backend_type IS NULL AND NOT pg_has_role(usesysid, 'USAGE')
    )
) OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
OR EXISTS (SELECT FROM pg_replication_slots WHERE xmin IS NOT NULL)"""
"""Whether anybody may see rows as they were before this statement, or that cannot be told."""


class PostgresStore(Store):
    """The workflows of one database."""

    def __init__(
        self, address: str, *, password: str | None = None, clock: Clock = utc_now
    ) -> None:
        """Opens the memory at an address, and makes its tables where there are none. `password` is
        for an address that names none. Raises ConfigError for what is no address, StoreError when
        the database cannot be used. `clock` tells the time that the log writes down."""
        self._address = Address(address, password)
        self.where = self._address.where
        self._clock = clock
        self._closed = False
        self._idle: list[_Connection] = []
        self._idle_lock = threading.Lock()
        self._group: Group[_Job] = Group(self._commit)
        self._writer_lock = threading.Lock()
        self._writer = self._address.connect()

    def read(self, job: Callable[[Rows], T]) -> T:
        with self._reading() as db:
            return job(Rows(PostgresSession(db), self._clock))

    def write(self, job: Callable[[Rows], T]) -> T:
        return self._group.run(job)

    def best(self, query: Query) -> tuple[Scored, ...]:
        return self.read(lambda rows: best(query, rows))

    def check(self) -> int:
        with self._reading() as db:
            return verify(Rows(PiecewiseSession(db), self._clock))

    def scrub(self) -> bool:
        """The server's write-ahead log, its replicas and its backups keep what they hold: they are
        the server's affair."""
        with self._writing() as db:
            still_read = db.execute(_STILL_READ).fetchone()
            db.execute(_PATIENCE)
            try:
                db.execute(f"VACUUM (FULL) {', '.join(_TEXTS)}".encode())
            except psycopg.errors.LockNotAvailable:
                return False
            finally:
                db.execute(MANNERS)
            return still_read == (False,)

    def backup(self, target: Path) -> None:
        """Raises InputError that names the command: copies of a server's database are the server's
        affair."""
        raise InputError(
            f"a database on a server is copied with: pg_dump -Fc -f {target} {self.where}"
        )

    def restore(self, file: Path) -> Path:
        """Raises InputError that names the command."""
        raise InputError(
            "a database on a server is put back with: "
            f"pg_restore --clean --if-exists -d {self.where} {file}"
        )

    def close(self) -> None:
        with self._writer_lock, self._idle_lock:
            self._closed = True
            self._writer.close()
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _commit(self, tickets: Iterable[Ticket[_Job]]) -> None:
        """Runs the jobs in one transaction, each in a savepoint of its own."""
        try:
            with self._writing() as db:
                db.execute(b"BEGIN")
                try:
                    db.execute(LOCK)
                    rows = Rows(PostgresSession(db), self._clock)
                    for ticket in tickets:
                        self._attempt(db, rows, ticket)
                    rows.log.settle()
                    # of a transaction that failed, COMMIT makes a ROLLBACK and says nothing
                    if db.execute(b"COMMIT").statusmessage != "COMMIT":
                        raise StoreError(f"the memory in {self.where}: the transaction failed")
                finally:
                    _roll_back(db)
        except StoreError as error:
            for ticket in tickets:
                ticket.lost = error
        else:
            for ticket in tickets:
                ticket.lost = None

    def _attempt(self, db: _Connection, rows: Rows, ticket: Ticket[_Job]) -> None:
        """Runs one job. What it raises is its own affair, as long as the connection lives."""
        db.execute(b"SAVEPOINT job")
        try:
            with rows.log.attempt():
                ticket.result = ticket.job(rows)
                db.execute(b"RELEASE job")
        except Exception as error:  # it belongs to the thread whose job it was
            ticket.error = self._address.told(error) if isinstance(error, psycopg.Error) else error
            if db.closed:
                raise psycopg.OperationalError("the connection was lost") from error
            db.execute(b"ROLLBACK TO job")
            db.execute(b"RELEASE job")

    @contextmanager
    def _writing(self) -> Generator[_Connection]:
        """The writer's connection, for one thread at a time; a new one where the last was lost."""
        with self._writer_lock:
            try:
                if self._closed:
                    raise psycopg.OperationalError("it is closed")
                if not alive(self._writer):
                    self._writer.close()
                    self._writer = self._address.connect()
                yield self._writer
            except psycopg.Error as error:
                raise self._address.told(error) from error

    @contextmanager
    def _reading(self) -> Generator[_Connection]:
        """The rows as they are at one moment, on a connection of one's own."""
        try:
            db = self._borrow()
            try:
                db.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield db
            finally:
                self._give_back(db)
        except psycopg.Error as error:
            raise self._address.told(error) from error

    def _borrow(self) -> _Connection:
        with self._idle_lock:
            if self._closed:
                raise psycopg.OperationalError("it is closed")
            idle = self._idle.pop() if self._idle else None
        if idle is not None and alive(idle):
            return idle
        if idle is not None:
            idle.close()
        return self._address.connect()

    def _give_back(self, db: _Connection) -> None:
        _roll_back(db)
        with self._idle_lock:
            if not self._closed and not db.closed and len(self._idle) < _IDLE:
                self._idle.append(db)
                return
        db.close()


def _roll_back(db: _Connection) -> None:
    """Ends what transaction there is. A connection that cannot is of no more use."""
    if db.info.transaction_status == TransactionStatus.IDLE:
        return
    try:
        db.execute(b"ROLLBACK")
    except psycopg.Error:
        db.close()
