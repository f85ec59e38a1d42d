"""What was submitted to a learner, and which update learned from it: in one file, so that a
question that is sent again counts once, and whoever is killed goes on where it was.

A batch is formed before its update begins, and the learner's checkpoint counts the updates: the
batch that comes after those is the one that was under way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from mia.errors import StoreError
from mia.sqlite_file import SqliteFile
from mia.training.learner import Update
from mia.training.samples import Sample, read_samples, write_samples
from mia.types import Noun, Question, decode, encode

_VERSION = 1
_SCHEMA = """
CREATE TABLE submitted (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    attempts INTEGER NOT NULL,
    samples BLOB,
    batch INTEGER
) STRICT;
CREATE TABLE learned (
    batch INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT
"""


class Step(Noun, frozen=True, omit_defaults=False):
    """One update, for whoever asked for it."""

    update: Update
    questions: int
    dropped: int
    """Of the questions: all attempts at them fared alike."""
    stale: int
    """Samples of a policy that had moved on too far."""
    reward: float
    """Of all samples, on average."""
    drift: float
    """KL from the policy that the run began with, nats a token."""
    seconds: float

    @property
    def metrics(self) -> dict[str, float]:
        """Every number."""
        own = {name: float(value) for name, value in msgspec.structs.asdict(self).items()
               if name != "update"}  # fmt: skip
        of_update = msgspec.structs.asdict(self.update).items()
        return own | {f"update/{name}": float(value) for name, value in of_update}


def key_of(question: Question, epoch: int) -> bytes:
    """By what a question of an epoch is known again."""
    return hashlib.sha256(f"{epoch} ".encode() + encode(question)).digest()


class Submitted:
    """The file of one run. Its methods block."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = SqliteFile(
            path, "what was submitted in", _SCHEMA, version=_VERSION, synchronous="FULL"
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of the questions that are here."""
        with self._file.reading() as db:
            sql = "SELECT 1 FROM submitted WHERE key = ?"
            return {key for key in keys if db.execute(sql, (key,)).fetchone()}

    def add(self, submitted: Sequence[tuple[bytes, int, Sequence[Sample]]]) -> None:
        """Keeps questions: their keys, how often each was attempted, and what there is to learn.
        On the disk when it returns, all or none."""
        rows = [(key, attempts, write_samples(samples)) for key, attempts, samples in submitted]
        with self._file.writing() as db:
            db.executemany(
                "INSERT OR IGNORE INTO submitted (key, attempts, samples) VALUES (?, ?, ?)", rows
            )

    def waiting(self) -> tuple[int, int]:
        """How many questions wait for a batch, and how many attempts at them."""
        with self._file.reading() as db:
            row = db.execute(
                "SELECT count(*), coalesce(sum(attempts), 0) FROM submitted WHERE batch IS NULL"
            ).fetchone()
        return int(row[0]), int(row[1])

    def form(self, batch: int, questions: int, *, partial: bool, only: Sequence[bytes] = ()) -> int:
        """How many questions are in a batch: so many of those that wait, the first to come, or
        `only` these; fewer only where it may be `partial`, and otherwise none. One that was formed
        before stays as it is."""
        with self._file.writing() as db:
            formed = db.execute("SELECT count(*) FROM submitted WHERE batch = ?", (batch,))
            count = int(formed.fetchone()[0])
            if count:
                return count
            rows = db.execute(
                "SELECT seq, key FROM submitted WHERE batch IS NULL ORDER BY seq"
            ).fetchall()
            chosen = [seq for seq, key in rows if not only or key in only][:questions]
            if len(chosen) < questions and not partial:
                return 0
            db.executemany(
                "UPDATE submitted SET batch = ? WHERE seq = ?", [(batch, seq) for seq in chosen]
            )
        return len(chosen)

    def batch(self, number: int) -> tuple[Sample, ...]:
        """The samples of a batch, question by question. Raises StoreError for a damaged row."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT samples FROM submitted WHERE batch = ? ORDER BY seq", (number,)
            ).fetchall()
        return tuple(sample for (raw,) in rows for sample in read_samples(raw or b""))

    def note(self, step: Step) -> None:
        """Notes an update, and lets go of what it learned from. The questions are still known."""
        batch = step.update.version
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO learned VALUES (?, ?)", (batch, encode(step)))
            db.execute("UPDATE submitted SET samples = NULL WHERE batch = ?", (batch,))

    def step_of(self, keys: Sequence[bytes]) -> Step | None:
        """The latest update that learned from one of these questions; None where none did."""
        with self._file.reading() as db:
            sql = "SELECT body FROM learned JOIN submitted USING (batch) WHERE key = ?"
            rows = [db.execute(sql, (key,)).fetchone() for key in keys]
        steps = [self._read(row[0]) for row in rows if row is not None]
        return max(steps, key=lambda step: step.update.version, default=None)

    def steps(self) -> tuple[Step, ...]:
        """Every update, in order."""
        with self._file.reading() as db:
            rows = db.execute("SELECT body FROM learned ORDER BY batch").fetchall()
        return tuple(self._read(row[0]) for row in rows)

    def digest(self) -> str:
        """Of all questions that were learned from."""
        digest = hashlib.sha256()
        with self._file.reading() as db:
            rows = db.execute("SELECT key FROM submitted WHERE batch NOT NULL ORDER BY seq")
            for (key,) in rows:
                digest.update(key)
        return digest.hexdigest()

    def _read(self, raw: bytes) -> Step:
        try:
            return decode(raw, Step)
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error
