"""Where rollouts wait for consolidation, and the files that say how they would have been answered.

The published agent keeps its bank in its process and appends to files whenever it is asked. Here
the bank is a file: what was acknowledged outlives the process, a rollout that is sent again counts
once, and so does a line that was about to be written when somebody pulled the plug: the bank knows
how long each file is.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from mia.errors import InputError, StoreError
from mia.servers.reference_agent_wire import Rollout
from mia.sqlite_file import SqliteFile

MOST = 10_000
"""Rollouts that wait."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE banked (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    question TEXT NOT NULL,
    body BLOB,
    evaluated INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE files (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL
) STRICT
"""


class Group(NamedTuple):
    """The rollouts of one question that wait, in the order in which they came."""

    question: str
    """Its id."""
    rollouts: tuple[Rollout, ...]
    last: int
    """What comes after this is not in it."""


class Bank:
    """The bank of one folder. Its methods block."""

    def __init__(self, path: Path, kind: type[Rollout], most: int = MOST) -> None:
        """Raises StoreError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = path.parent
        self._path = path
        self._kind = kind
        self._most = most
        self._file = SqliteFile(
            path, "the rollouts in", _SCHEMA, version=_VERSION, synchronous="FULL"
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, rollout: Rollout) -> bool:
        """Keeps a rollout; whether it is new. Raises InputError where there are too many."""
        body = msgspec.json.encode(rollout, order="deterministic")
        key = hashlib.sha256(body).digest()
        with self._file.writing() as db:
            if db.execute("SELECT 1 FROM banked WHERE key = ?", (key,)).fetchone():
                return False
            waiting = db.execute("SELECT count(*) FROM banked WHERE body IS NOT NULL").fetchone()[0]
            if int(waiting) >= self._most:
                raise InputError(f"{self._most:,} rollouts wait already; consolidate them first")
            db.execute(
                "INSERT INTO banked (key, question, body) VALUES (?, ?, ?)", (key, rollout.id, body)
            )
            return True

    def groups(self, *, unevaluated: bool = False) -> list[Group]:
        """What waits, question by question; with `unevaluated` only what no file tells of yet."""
        more = " AND NOT evaluated" if unevaluated else ""
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT seq, question, body FROM banked WHERE body IS NOT NULL{more} ORDER BY seq"
            ).fetchall()
        found: dict[str, list[tuple[int, Rollout]]] = {}
        for seq, question, body in rows:
            found.setdefault(question, []).append((int(seq), self._read(body)))
        return [
            Group(question, tuple(one for _, one in rows), rows[-1][0])
            for question, rows in found.items()
        ]

    def questions(self) -> int:
        """How many questions have rollouts that wait."""
        with self._file.reading() as db:
            sql = "SELECT count(DISTINCT question) FROM banked WHERE body IS NOT NULL"
            return int(db.execute(sql).fetchone()[0])

    def evaluated(self, group: Group, lines: Mapping[str, bytes]) -> None:
        """Appends a line to each of these files, once for a group. Raises StoreError."""
        with self._file.writing() as db:
            for name, line in lines.items():
                self._append(db, name, line)
            db.execute(
                "UPDATE banked SET evaluated = 1 WHERE question = ? AND seq <= ?",
                (group.question, group.last),
            )

    def _append(self, db: sqlite3.Connection, name: str, line: bytes) -> None:
        row = db.execute("SELECT size FROM files WHERE name = ?", (name,)).fetchone()
        path = self._folder / name
        try:
            with path.open("ab") as file:
                size = min(file.tell(), 0 if row is None else int(row[0]))
                file.truncate(size)  # of a line whose writer was killed
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
        except OSError as error:
            raise StoreError(f"{path}: {error}") from error
        db.execute("INSERT OR REPLACE INTO files VALUES (?, ?)", (name, size))

    def empty(self, group: Group) -> None:
        """Empties a group of what was in it. That is still known when it comes again."""
        with self._file.writing() as db:
            db.execute(
                "UPDATE banked SET body = NULL WHERE question = ? AND seq <= ?",
                (group.question, group.last),
            )

    def forget(self) -> None:
        """Forgets that what was emptied has been here."""
        with self._file.writing() as db:
            db.execute("DELETE FROM banked WHERE body IS NULL")

    def _read(self, body: bytes) -> Rollout:
        try:
            return msgspec.json.decode(body, type=self._kind)
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error
