"""Whole copies of a SQLite file: made while others write, and put back while others read."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from mia.errors import InputError, StoreError
from mia.memories.workflow.files import unfinished, whole

_LOG_OF_WRITES = "-wal"
"""What SQLite calls the file beside a database that holds its newest transactions."""


def copy_whole(source: sqlite3.Connection, target: Path) -> None:
    """Copies a database as it is at one moment. The file appears whole or not at all, and lasts
    through a power cut. Raises StoreError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as fresh, closing(sqlite3.connect(fresh)) as copy:
            source.backup(copy)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"no copy was made at {target}: {error}") from error


@contextmanager
def working_copy(file: Path, beside: Path) -> Generator[Path]:
    """A copy of a database file to read and to upgrade, so that the file itself is not touched; it
    is gone after the block. Raises InputError when there is no file."""
    if not file.is_file():
        raise InputError(f"there is no file {file}")
    with unfinished(beside) as copy:
        for part in ("", _LOG_OF_WRITES):
            if Path(f"{file}{part}").is_file():
                shutil.copyfile(f"{file}{part}", f"{copy}{part}")
        yield copy


def take_over(db: sqlite3.Connection) -> None:
    """Replaces every row by those of the database attached as `restored`, in the transaction that
    is open."""
    db.execute("PRAGMA defer_foreign_keys = ON")
    found = db.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    tables = [str(row[0]) for row in found]
    for table in tables:
        db.execute(f'DELETE FROM main."{table}"')
    for table in tables:
        db.execute(f'INSERT INTO main."{table}" SELECT * FROM restored."{table}"')
