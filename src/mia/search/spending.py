"""What paid searches cost: a day's money, counted in a file that all processes share, and a run's.

Money is put by before a request and settled after it. What a killed process had put by stays
spent: the provider may have charged for it.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from mia.sqlite_file import SqliteFile
from mia.types import Noun

_VERSION = 1
# Files of before there was a version have the table already.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spent (
    provider TEXT NOT NULL,
    day TEXT NOT NULL,
    micros INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (provider, day)
) STRICT
"""


class Reserved(Noun, frozen=True):
    """Money that was put by for one request."""

    provider: str
    day: str
    micros: int
    """Millionths of a US dollar: whole numbers add up exactly."""


class Spent(Noun, frozen=True):
    """What a provider took on one day, by UTC."""

    dollars: float = 0.0
    requests: int = 0


class OverBudget(Exception):
    """A request that would cost more than there is left; its text says of what."""


class Spending:
    """The counter. Safe for threads and processes; the money of a run is that of this object."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        dollars_a_run: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Without a path nothing outlives the object. Raises StoreError."""
        self._run_most = None if dollars_a_run is None else _micros(dollars_a_run)
        self._run_spent = 0
        self._clock = clock
        self._file = SqliteFile(
            path, "the counter of search spending", _SCHEMA, version=_VERSION, synchronous="NORMAL"
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def reserve(self, provider: str, dollars: float, dollars_a_day: float | None) -> Reserved:
        """Puts money by. Raises OverBudget when the day or the run has too little left, and
        StoreError when it cannot be counted."""
        asked = Reserved(provider=provider, day=self._today(), micros=_micros(dollars))
        with self._file.writing() as db:
            if self._run_most is not None and self._run_spent + asked.micros > self._run_most:
                raise OverBudget(f"the run's {_said(self._run_most)} for searching are spent")
            most = None if dollars_a_day is None else _micros(dollars_a_day)
            before = _row(db, provider, asked.day)[0]
            if most is not None and before + asked.micros > most:
                raise OverBudget(f"its {_said(most)} for {asked.day} (UTC) are spent")
            _add(db, asked, asked.micros, 1)
            self._run_spent += asked.micros
        return asked

    def settle(self, reserved: Reserved, dollars: float) -> None:
        """Replaces what was put by with what the request did cost. Raises StoreError."""
        more = _micros(dollars) - reserved.micros
        with self._file.writing() as db:
            _add(db, reserved, more, 0)
            self._run_spent += more

    def spent(self, provider: str, day: str | None = None) -> Spent:
        """What a provider took on a day, written 2026-01-31; today's by default."""
        with self._file.reading() as db:
            micros, requests = _row(db, provider, day or self._today())
        return Spent(dollars=micros / 1e6, requests=requests)

    def _today(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).date().isoformat()


def _row(db: sqlite3.Connection, provider: str, day: str) -> tuple[int, int]:
    row = db.execute(
        "SELECT micros, requests FROM spent WHERE provider = ? AND day = ?", (provider, day)
    ).fetchone()
    return (0, 0) if row is None else (row[0], row[1])


def _add(db: sqlite3.Connection, about: Reserved, micros: int, requests: int) -> None:
    db.execute(
        "INSERT INTO spent VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
        "SET micros = micros + excluded.micros, requests = requests + excluded.requests",
        (about.provider, about.day, micros, requests),
    )


def _micros(dollars: float) -> int:
    """Rounded up, so that a budget holds; a millionth of what floats do to a sum is let go."""
    return math.ceil(dollars * 1e6 - 1e-6)


def _said(micros: int) -> str:
    return f"${micros / 1e6:g}"
