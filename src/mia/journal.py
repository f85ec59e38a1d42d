"""The durable record of runs and episodes, in one SQLite file.

An episode is on the disk (WAL, synchronous=FULL) before its answer is shown. A run is a list of
questions under one configuration; a question has at most one episode in a run, so a run that was
killed goes on where it stopped: nothing twice, nothing lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mia.errors import ConfigError, InputError, StoreError
from mia.locks import alone
from mia.sqlite_file import SqliteFile
from mia.types import Episode, Noun, Remembered, decode, encode

_VERSION = 1
_SCHEMA = """
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    config TEXT NOT NULL,
    started TEXT NOT NULL
) STRICT;
CREATE TABLE episode (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run (id),
    question_id TEXT NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    remembered BLOB,
    written TEXT NOT NULL,
    UNIQUE (run, question_id)
) STRICT;
CREATE INDEX episode_by_run ON episode (run, id);
"""
_KNOWN = "SELECT 1 FROM episode WHERE run = ? AND question_id = ?"


class Entry(Noun, frozen=True):
    """One line of the journal."""

    episode: Episode
    remembered: Remembered | None
    """None when the process ended between writing the episode down and remembering it."""


class Journal:
    """The file. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        self._path = path
        self._file = SqliteFile(path, "the journal", _SCHEMA, version=_VERSION, synchronous="FULL")

    def alone(self, run: str) -> AbstractContextManager[None]:
        """Keeps other processes from going on with the same run meanwhile. Raises StoreError when
        one is at it."""
        lock = self._path.parent / "runs" / f"{hashlib.sha256(run.encode()).hexdigest()[:16]}.lock"
        return alone(lock, f"another process is going on with run {run!r}; let it end, or stop it")

    def open_run(self, name: str, config: str) -> RunRecord:
        """A run to write to, new or begun before. Raises ConfigError when it was begun under
        another configuration."""
        with self._file.writing() as db:
            row = db.execute("SELECT config FROM run WHERE id = ?", (name,)).fetchone()
            if row is None:
                db.execute("INSERT INTO run VALUES (?, ?, ?)", (name, config, _now()))
            elif row[0] != config:
                raise ConfigError(
                    f"run {name!r} was begun with other settings; "
                    "go on with those, or choose another --run"
                )
        return RunRecord(self, name)

    def entries(self, run: str) -> list[Entry]:
        """What is written of a run, oldest first. Raises StoreError for a damaged row."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT id, body, checksum, remembered FROM episode WHERE run = ? ORDER BY rowid",
                (run,),
            ).fetchall()
        return [self._entry(*row) for row in rows]

    def episode_ids(self, run: str) -> tuple[str, ...]:
        """The ids of a run's episodes. Raises InputError when there is no such run."""
        ids = tuple(entry.episode.id for entry in self.entries(run))
        if not ids:
            raise InputError(f"the journal has no run {run!r}")
        return ids

    def episode(self, id: str, run: str | None = None) -> Episode:
        """Raises InputError for an id that is not here, or not in the run, and StoreError for a
        damaged row."""
        found = self._one("id = ?1 AND run = coalesce(?2, run)", id, run)
        if found is None:
            raise InputError(f"the journal has no episode {id!r}")
        return found

    def answered(self, run: str, question_id: str) -> Episode | None:
        """The episode of a question in a run; None where it has none yet. Raises StoreError for a
        damaged row."""
        return self._one("run = ? AND question_id = ?", run, question_id)

    def _one(self, where: str, *values: str | None) -> Episode | None:
        with self._file.reading() as db:
            row = db.execute(
                f"SELECT id, body, checksum FROM episode WHERE {where}", values
            ).fetchone()
        return None if row is None else self._read(*row)

    def _entry(self, key: str, body: bytes, checksum: int, remembered: bytes | None) -> Entry:
        episode = self._read(key, body, checksum)
        try:
            return Entry(
                episode=episode,
                remembered=decode(remembered, Remembered) if remembered else None,
            )
        except msgspec.DecodeError as error:
            raise StoreError(f"episode {key} in {self._path} cannot be read: {error}") from error

    def _read(self, key: str, body: bytes, checksum: int) -> Episode:
        if zlib.crc32(body) != checksum:
            raise StoreError(f"episode {key} in {self._path} is damaged")
        try:
            return decode(body, Episode)
        except msgspec.DecodeError as error:
            raise StoreError(f"episode {key} in {self._path} cannot be read: {error}") from error

    def count(self) -> int:
        """How many episodes there are, over all runs."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM episode").fetchone()[0])

    def write(self, run: str, episode: Episode) -> None:
        """Raises StoreError when the question already has an episode in this run."""
        body = encode(episode)
        known = (run, episode.question.id)
        with self._file.writing() as db:
            if db.execute(_KNOWN, known).fetchone():
                raise StoreError(f"question {known[1]!r} has an episode in run {run!r} already")
            db.execute(
                "INSERT INTO episode VALUES (?, ?, ?, ?, ?, NULL, ?)",
                (episode.id, run, episode.question.id, body, zlib.crc32(body), _now()),
            )

    def settle(self, episode_id: str, remembered: Remembered) -> None:
        """Notes what memory did with an episode."""
        with self._file.writing() as db:
            db.execute(
                "UPDATE episode SET remembered = ? WHERE id = ?",
                (encode(remembered), episode_id),
            )

    def close(self) -> None:
        self._file.close()


class RunRecord:
    """One run of the journal, as `solve` writes to it."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self.run = run

    async def append(self, episode: Episode) -> None:
        """On the disk when it returns."""
        await asyncio.to_thread(self._journal.write, self.run, episode)

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        await asyncio.to_thread(self._journal.settle, episode_id, remembered)

    def entries(self) -> list[Entry]:
        """What is written already, oldest first."""
        return self._journal.entries(self.run)


def fingerprint(*parts: msgspec.Struct | str) -> str:
    """A configuration as text that is equal when, and only when, the configurations are."""
    return msgspec.json.encode(parts, order="deterministic").decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
