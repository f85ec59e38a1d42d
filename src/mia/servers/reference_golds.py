"""The right answers that clients registered, in a file of the home. What was registered last stays
longest: the file is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mia.sqlite_file import SqliteFile

MOST = 1_000_000
"""Answers that are kept."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE gold (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    data_id TEXT NOT NULL UNIQUE,
    answer TEXT NOT NULL
) STRICT
"""


class Golds:
    """Right answers by the ids of their questions. Its methods block."""

    def __init__(self, path: Path | None, most: int = MOST) -> None:
        """In a file, or in this process's memory. Raises StoreError."""
        self._most = most
        self._file = SqliteFile(
            path, "the right answers", _SCHEMA, version=_VERSION, synchronous="FULL"
        )

    def register(self, answers: Sequence[tuple[str, str]]) -> int:
        """Keeps answers by id, newer ones in place of older ones; how many there are then."""
        with self._file.writing() as db:
            db.executemany("INSERT OR REPLACE INTO gold (data_id, answer) VALUES (?, ?)", answers)
            total = int(db.execute("SELECT count(*) FROM gold").fetchone()[0])
            if total > self._most:
                db.execute(
                    "DELETE FROM gold WHERE seq IN (SELECT seq FROM gold ORDER BY seq LIMIT ?)",
                    (total - self._most,),
                )
            return min(total, self._most)

    def of(self, data_id: str) -> str | None:
        """The right answer; None where nobody registered one."""
        with self._file.reading() as db:
            row = db.execute("SELECT answer FROM gold WHERE data_id = ?", (data_id,)).fetchone()
        return None if row is None else str(row[0])

    def count(self) -> int:
        """How many there are."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM gold").fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
