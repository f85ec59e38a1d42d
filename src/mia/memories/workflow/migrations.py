"""The schema of the workflow store, version by version, and how a file gets to the newest.

A version, once released, is never edited: a change is a new entry at the end. Each is a tuple of
statements, since sqlite3's executescript would commit on its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from mia.errors import StoreError

APPLICATION = 0x4D494157
"""Marks the file as ours (`MIAW`), so that no other database is taken for a memory."""

_V1 = (
    """CREATE TABLE workflows (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        namespace TEXT NOT NULL,
        modality TEXT NOT NULL,
        category TEXT NOT NULL,
        outcome TEXT NOT NULL,
        trust TEXT NOT NULL,
        plan TEXT NOT NULL,
        question_id TEXT NOT NULL,
        task TEXT,
        uses INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        created TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX workflows_by_place ON workflows (namespace, modality, trust)",
    "CREATE INDEX workflows_by_plan ON workflows (namespace, outcome, plan)",
    """CREATE TABLE vectors (
        workflow TEXT NOT NULL REFERENCES workflows (id) ON DELETE CASCADE,
        embedder TEXT NOT NULL,
        question BLOB NOT NULL,
        template BLOB NOT NULL,
        caption BLOB,
        crc INTEGER NOT NULL,
        PRIMARY KEY (workflow, embedder)
    ) STRICT""",
    """CREATE TABLE absorbed (
        namespace TEXT NOT NULL,
        episode TEXT NOT NULL,
        body TEXT NOT NULL,
        crc INTEGER NOT NULL,
        PRIMARY KEY (namespace, episode)
    ) STRICT""",
)
MIGRATIONS: tuple[Sequence[str], ...] = (_V1,)


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    migrations: Sequence[Sequence[str]] = MIGRATIONS,
) -> None:
    """Brings a file to the newest version, one transaction a version, and keeps a copy of what was
    there as `<file>.v<N>.bak`. Several processes may try at once.

    Raises StoreError for a file from a newer version or of another program.
    """
    backed_up = False
    while (version := _version(connection, path)) < len(migrations):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection, path) == version:
                if version and not backed_up:
                    _back_up(path, version)
                    backed_up = True
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer MIA (schema {version}, this one knows "
            f"{len(migrations)}); run: pip install --upgrade mia"
        )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    # in this order: another process may commit the first migration between any two of them
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if (version or tables) and owner != APPLICATION:
        raise StoreError(f"{path} is a database of another program, not a memory of MIA")
    return version


def _back_up(path: Path, version: int) -> None:
    """Copies the file while our own transaction keeps writers away. It appears whole or not."""
    target = path.with_name(f"{path.name}.v{version}.bak")
    fresh = target.with_name(target.name + ".building")
    fresh.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(fresh)) as copy:
        source.backup(copy)
    fresh.replace(target)
