"""How the workflow store talks to Postgres: addresses, connections, values.

An address may hold a password, so nothing of one is ever shown but user, host, port and database.
"""

from __future__ import annotations

import selectors
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import psycopg
from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format, TransactionStatus

from mia.errors import ConfigError, StoreError
from mia.memories.workflow.postgres_schema import migrate
from mia.memories.workflow.session import Row, Value

_USUAL: dict[str, Any] = {
    "application_name": "mia",
    "connect_timeout": 10,
    # a server whose machine is gone is noticed within half a minute
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
}
MANNERS = (
    b"SELECT set_config('lock_timeout', '30s', false), set_config('jit', 'off', false),"
    # another client's transaction waits for ours: one whose machine has stopped must not keep it
    b" set_config('idle_in_transaction_session_timeout', '120s', false),"
    # what was acknowledged is on the disk, whatever the server's default
    b" set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    b" WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
)
"""How our connections behave."""
_HEAD = struct.Struct(">HH")
"""A vector on the wire: its length, two bytes for nothing, its numbers in network order."""


class Address:
    """Where a database is and how to get in. Shows no password."""

    def __init__(self, address: str, password: str | None = None) -> None:
        """`password` is for an address that has none. Raises ConfigError for what is no address."""
        given = _read(address)
        if given is None:
            raise ConfigError(
                "the memory's address cannot be read; it should look like postgresql://user@host/db"
            )
        if password is not None:
            given.setdefault("password", password)
        self._given: dict[str, Any] = {**_USUAL, **given, "client_encoding": "UTF8"}
        user, host, port = given.get("user"), given.get("host"), given.get("port")
        place = f"{host or ''}{f':{port}' if port else ''}"
        name = given.get("dbname") or ""
        self.where = f"postgresql://{f'{user}@' if user else ''}{place}/{name}"

    def __repr__(self) -> str:
        return self.where

    def connect(self) -> Connection[Any]:
        """A connection, in autocommit, to a database of the newest schema. Raises StoreError."""
        try:
            connection: Connection[Any] = psycopg.connect(**self._given, autocommit=True)
            try:
                connection.execute(MANNERS)
                migrate(connection, self.where)
                connection.adapters.register_dumper(Wire, _WireDumper)
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            raise self.told(error) from error
        return connection

    def told(self, error: Exception) -> StoreError:
        """What went wrong, in one line."""
        said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        line = " ".join((said or str(error)).split())
        secret = self._given.get("password")
        if secret:
            line = line.replace(str(secret), "***")
        return StoreError(f"the memory in {self.where}: {line}")


def _read(address: str) -> dict[str, Any] | None:
    """The parts of an address; None for what is none. Why not is not told: libpq quotes what may be
    the password."""
    try:
        return dict(conninfo_to_dict(address))
    except psycopg.Error:
        return None


def alive(connection: Connection[Any]) -> bool:
    """Whether an idle connection can still be used: a server that has gone, or that has something
    to say to a client who asked nothing, has left something to read."""
    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return not selector.select(timeout=0)


class Wire(bytes):
    """A vector as pgvector sends it."""


class _WireDumper(Dumper):
    """Sends a vector as it is; the server tells from the place what it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Wire) -> Buffer:
        return obj


class PostgresSession:
    """A connection, as the statements use it."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(_marked(statement), values, binary=True))

    def change(self, statement: str, values: Sequence[Value] = ()) -> int:
        return self._connection.execute(_marked(statement), values).rowcount

    def vector(self, row: Row) -> Value:
        return Wire(_HEAD.pack(row.size, 0) + row.astype(">f4").tobytes())

    def row(self, value: Any) -> Row:
        return np.frombuffer(value, ">f4", offset=_HEAD.size).astype(np.float32)

    def problems(self) -> tuple[str, ...]:
        """None that a client could see: the server checks its pages as they are read."""
        return ()


class PiecewiseSession(PostgresSession):
    """For reading everything: what a query finds is fetched piece by piece."""

    def __init__(self, connection: Connection[Any]) -> None:
        super().__init__(connection)
        self._count = 0

    def rows(self, statement: str, values: Sequence[Value] = ()) -> Iterator[tuple[Any, ...]]:
        self._count += 1
        with self._connection.cursor(f"mia_{self._count}", binary=True) as cursor:
            yield from cursor.execute(_marked(statement), values)


@lru_cache(maxsize=256)
def _marked(statement: str) -> bytes:
    """A statement with Postgres's marks for values."""
    return statement.replace("%", "%%").replace("?", "%s").encode()
