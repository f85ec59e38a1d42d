"""What came of each question of a stream that is learned from, and which update learned from it: in
one file, so that whoever is killed goes on where it was, and no group is learned from twice.

A batch is formed before its update begins. The learner's checkpoint counts the updates, so after a
kill it says which batches were learned from; the batch that comes next is the one that was under
way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from mia.errors import ConfigError, StoreError
from mia.sqlite_file import SqliteFile
from mia.training.exploring import Selections
from mia.training.guards import Alarm
from mia.training.learner import Update
from mia.training.samples import Sample, read_samples, write_samples
from mia.types import Episode, Noun, Usage, decode, encode

N = TypeVar("N", bound=Noun)
Admit = Callable[[Sequence[str | None]], Sequence[bool]]
"""Of those who asked the questions that wait, which may be in the next batch; None is nobody in
particular."""

_VERSION = 1
_NOWHERE = 0
"""The batch of what no update learns from: theirs count from 1."""
_SCHEMA = """
CREATE TABLE settings (body TEXT NOT NULL) STRICT;
CREATE TABLE attempted (
    place INTEGER PRIMARY KEY,
    outcome BLOB NOT NULL,
    samples BLOB NOT NULL,
    episodes BLOB,
    batch INTEGER
) STRICT;
CREATE TABLE learned (
    batch INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT
"""


class Kept(Noun, frozen=True):
    """The episodes of a question that memory is to keep, until it has."""

    success: Episode | None = None
    """The shortest of those that were right."""
    failure: Episode | None = None
    """One of those that were wrong."""
    answer: Episode | None = None
    """What was answered before anything was tried out, with its verdict; None where that is among
    what was tried, or nobody knows."""


class Outcome(Noun, frozen=True, omit_defaults=False):
    """What came of one question."""

    place: int
    """In the stream, over all its epochs, from 0; or in the order of what a server was asked."""
    question: str
    """Its id."""
    family: str | None
    episode: str
    """Of the answer that counts."""
    answer: str | None
    rewards: tuple[float | None, ...]
    """Of all attempts."""
    right: bool | None
    """Whether the answer is, as far as anybody knows: by a right answer, or else by the judge."""
    judged: bool | None
    """By the judge alone."""
    selections: Selections
    """Had another rule picked the plan; `right` throughout."""
    reason: str
    """Why this plan was picked."""
    version: int
    """Of the policy that attempted it: updates since the run began."""
    kept: tuple[str, ...] = ()
    """What memory did with the shortest success and with one failure, and plan memory with both."""
    workflows: tuple[str, ...] = ()
    """Ids of the workflows that memory made of the two, or merged them into."""
    success: str | None = None
    """That of the shortest success."""
    remembered: tuple[str, ...] = ()
    """Episodes that memory was told of."""
    user: str = ""
    """Who asked; empty for nobody in particular."""
    at: str = ""
    """When it was attempted: ISO 8601, UTC."""
    answering: Usage = Usage()
    """What the answer cost, with the plans that were not picked."""
    exploring: Usage = Usage()
    """What carrying out the other plans cost."""
    audited: bool | None = None
    """Whether the answer is right, by another judge; None where it was not asked or cannot tell."""
    faults: tuple[str, ...] = ()
    """What went wrong before there were plans."""
    answered: float = 0.0
    """Seconds until the answer was there."""
    seconds: float = 0.0
    """Until all was done."""


class Learned(Noun, frozen=True, omit_defaults=False):
    """One update of the policy, and what the guards saw of it."""

    update: Update
    questions: int = 0
    """Of its batch."""
    dropped: int = 0
    """Those that taught nothing: all attempts fared alike."""
    length: float = 0.0
    """Sampled tokens of a conversation."""
    drift: float = 0.0
    """KL from the policy last found good, nats a token."""
    canary: tuple[bool, ...] = ()
    """Which canary questions it answers; empty where nobody looked."""
    good: bool = True
    """Whether this policy is one to go back to. Where there are canary questions, only who looked
    at them can say so."""
    alarm: Alarm | None = None
    seconds: float = 0.0


class Buffer:
    """The file of one run."""

    def __init__(self, path: Path, settings: str) -> None:
        """`settings` are what decides what comes of a question. Raises ConfigError for a file that
        was begun with others, and StoreError."""
        self._path = path
        self._file = SqliteFile(path, "what was attempted in", _SCHEMA, version=_VERSION,
                                synchronous="FULL")  # fmt: skip
        with self._file.writing() as db:
            begun = db.execute("SELECT body FROM settings").fetchone()
            if begun is None:
                db.execute("INSERT INTO settings VALUES (?)", (settings,))
        if begun is not None and begun[0] != settings:
            self.close()
            raise ConfigError(
                f"{path.parent.name!r} was begun with other questions or settings; go on with"
                " those, or take another --name"
            )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def add(self, outcome: Outcome, samples: Sequence[Sample], keep: Kept) -> None:
        """Notes a question, and what memory is to keep of it. On the disk when it returns; once for
        each place."""
        row = (outcome.place, encode(outcome), write_samples(samples), encode(keep))
        with self._file.writing() as db:
            db.execute("INSERT INTO attempted VALUES (?, ?, ?, ?, NULL)", row)

    def unsettled(self) -> tuple[tuple[Outcome, Kept], ...]:
        """The questions that memory has not kept yet what it is to keep of."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT outcome, episodes FROM attempted WHERE episodes IS NOT NULL ORDER BY place"
            ).fetchall()
        return tuple((self._read(row[0], Outcome), self._read(row[1], Kept)) for row in rows)

    def settle(self, outcome: Outcome) -> None:
        """Notes what memory did."""
        row = (encode(outcome), outcome.place)
        with self._file.writing() as db:
            db.execute("UPDATE attempted SET outcome = ?, episodes = NULL WHERE place = ?", row)

    def outcomes(self) -> tuple[Outcome, ...]:
        """All that is noted, in the order of the stream. Raises StoreError for a damaged row."""
        return self._outcomes("TRUE")

    def outcome(self, place: int) -> Outcome | None:
        """What came of the question at a place; None where it was not attempted yet."""
        return next(iter(self._outcomes("place = ?", place)), None)

    def of_batch(self, batch: int) -> tuple[Outcome, ...]:
        """What came of the questions of a batch."""
        return self._outcomes("batch = ?", batch)

    def _outcomes(self, which: str, *values: int) -> tuple[Outcome, ...]:
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT outcome FROM attempted WHERE {which} ORDER BY place", values
            ).fetchall()
        return tuple(self._read(row[0], Outcome) for row in rows)

    def places(self) -> frozenset[int]:
        """The questions that were attempted."""
        with self._file.reading() as db:
            rows = db.execute("SELECT place FROM attempted").fetchall()
        return frozenset(row[0] for row in rows)

    def waiting(self) -> int:
        """How many questions wait for a batch."""
        with self._file.reading() as db:
            row = db.execute("SELECT count(*) FROM attempted WHERE batch IS NULL").fetchone()
        return int(row[0])

    def amend(self, outcome: Outcome) -> None:
        """Notes what became known of a question afterwards."""
        row = (encode(outcome), outcome.place)
        with self._file.writing() as db:
            db.execute("UPDATE attempted SET outcome = ? WHERE place = ?", row)

    def set_aside(self, after: int) -> None:
        """No update learns from what waits, nor from the batches after one: it was attempted by
        other weights."""
        with self._file.writing() as db:
            db.execute(
                "UPDATE attempted SET batch = ? WHERE batch IS NULL OR batch > ?",
                (_NOWHERE, after),
            )

    def _read(self, raw: bytes, kind: type[N]) -> N:
        try:
            return decode(raw, kind)
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error

    def form(self, batch: int, questions: int, *, partial: bool, admit: Admit) -> int:
        """How many questions are in a batch: so many of those that wait for one and are admitted,
        the first to come; fewer only where it may be `partial`, and otherwise none. Who is passed
        over waits. A batch that was formed before stays as it is."""
        with self._file.writing() as db:
            formed = db.execute("SELECT count(*) FROM attempted WHERE batch = ?", (batch,))
            count = int(formed.fetchone()[0])
            if count:
                return count
            rows = db.execute(
                "SELECT outcome FROM attempted WHERE batch IS NULL ORDER BY place"
            ).fetchall()
            waiting = [self._read(row[0], Outcome) for row in rows]
            may = admit([one.user or None for one in waiting])
            places = [one.place for one, taken in zip(waiting, may, strict=True) if taken]
            places = places[:questions]
            if len(places) < questions and not partial:
                return 0
            db.executemany(
                "UPDATE attempted SET batch = ? WHERE place = ?", [(batch, at) for at in places]
            )
        return len(places)

    def note(self, learned: Learned) -> None:
        """Notes an update; the last word on it counts."""
        row = (learned.update.version, encode(learned))
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO learned VALUES (?, ?)", row)

    def learned(self) -> tuple[Learned, ...]:
        """Every update, in order."""
        with self._file.reading() as db:
            rows = db.execute("SELECT body FROM learned ORDER BY batch").fetchall()
        return tuple(self._read(row[0], Learned) for row in rows)

    def batch(self, number: int) -> tuple[Sample, ...]:
        """The samples of a batch, question by question."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT samples FROM attempted WHERE batch = ? ORDER BY place", (number,)
            ).fetchall()
        return tuple(sample for (raw,) in rows for sample in read_samples(raw))
