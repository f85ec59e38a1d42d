"""What a server was asked and told, for the process that learns behind it: one file, to which both
write.

What is acknowledged is on the disk. Whoever is killed finds here what there is still to do; nothing
is done twice, since what was done is noted too, and may be done again up to that note.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from mia.errors import InputError, StoreError
from mia.judges.feedback import Feedback
from mia.sqlite_file import SqliteFile
from mia.types import Noun, decode, encode

N = TypeVar("N", bound=Noun)
Wish = Literal["run", "pause", "drain"]
"""What people want of the learner: to go on, to leave the weights alone, or to learn from all that
waits, a last batch that is not full included, and then to rest."""
Ruling = Literal["right", "wrong", "withdrawn"]
"""What memory was told of an answer; withdrawn where it was made to forget it again."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE asked (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    episode TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT;
CREATE TABLE told (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    episode TEXT NOT NULL REFERENCES asked (episode),
    body BLOB NOT NULL,
    at TEXT NOT NULL,
    came_to TEXT
) STRICT;
CREATE INDEX told_of ON told (episode);
CREATE TABLE ruled (
    episode TEXT PRIMARY KEY,
    ruling TEXT NOT NULL
) STRICT;
CREATE TABLE wish (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    what TEXT NOT NULL,
    times INTEGER NOT NULL
) STRICT;
CREATE TABLE report (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    body BLOB NOT NULL
) STRICT
"""


class Asked(Noun, frozen=True):
    """A question that was answered; the journal has its episode."""

    place: int
    """1, 2, ... in the order of the answers."""
    episode: str
    user: str
    """Who asked, as the client says; empty for nobody in particular."""
    at: str
    """ISO 8601, UTC."""


class Told(Noun, frozen=True):
    """Feedback on an answer."""

    place: int
    """1, 2, ... in the order in which it came."""
    key: str
    episode: str
    feedback: Feedback
    at: str
    came_to: str | None
    """What was made of it; None where nobody got to it yet."""


class Inbox:
    """The file of one server and its learner. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        """Raises StoreError."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = SqliteFile(path, "what was asked and told in", _SCHEMA, version=_VERSION,
                                synchronous="FULL")  # fmt: skip

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def ask(self, episode: str, user: str) -> None:
        """Notes a question that was answered; a second time changes nothing."""
        with self._file.writing() as db:
            db.execute(  # a conflict would take a place
                "INSERT INTO asked (episode, user, at) SELECT ?1, ?2, ?3"
                " WHERE NOT EXISTS (SELECT 1 FROM asked WHERE episode = ?1)",
                (episode, user, _now()),
            )

    def tell(self, key: str, episode: str, feedback: Feedback) -> bool:
        """Notes feedback, once for each key; whether it is new. Raises InputError for an episode
        that nobody asked for, and for a key that came with something else before."""
        body = encode(feedback)
        with self._file.writing() as db:
            known = db.execute("SELECT episode, body FROM told WHERE key = ?", (key,)).fetchone()
            if known is not None and (known[0], bytes(known[1])) != (episode, body):
                raise InputError(f"the key {key!r} came with other feedback before")
            if known is not None:
                return False
            if not db.execute("SELECT 1 FROM asked WHERE episode = ?", (episode,)).fetchone():
                raise InputError(f"no answer with the episode {episode!r} was given here")
            db.execute(
                "INSERT INTO told (key, episode, body, at) VALUES (?, ?, ?, ?)",
                (key, episode, body, _now()),
            )
        return True

    def asked(self, after: int = 0) -> tuple[Asked, ...]:
        """What was asked behind a place, in order."""
        return self._asked("place > ?", after)

    def about(self, episode: str) -> Asked | None:
        """The question of an answer; None where nobody asked for it."""
        return next(iter(self._asked("episode = ?", episode)), None)

    def _asked(self, which: str, value: int | str) -> tuple[Asked, ...]:
        with self._file.reading() as db:
            rows = db.execute(
                f"SELECT place, episode, user, at FROM asked WHERE {which} ORDER BY place",
                (value,),
            ).fetchall()
        return tuple(Asked(*row) for row in rows)

    def of(self, episode: str) -> tuple[Told, ...]:
        """All feedback on an answer, in order."""
        return self._told("episode = ?", episode)

    def waiting(self) -> tuple[Told, ...]:
        """The feedback that nobody got to yet, in order."""
        return self._told("came_to IS NULL")

    def settle(self, place: int, came_to: str) -> None:
        """Notes what was made of the feedback at a place."""
        with self._file.writing() as db:
            db.execute("UPDATE told SET came_to = ? WHERE place = ?", (came_to, place))

    def told(self) -> frozenset[str]:
        """The answers that there is feedback on."""
        with self._file.reading() as db:
            rows = db.execute("SELECT DISTINCT episode FROM told").fetchall()
        return frozenset(row[0] for row in rows)

    def rule(self, episode: str, right: bool) -> Ruling:
        """Notes what memory is about to be told of an answer. The first word stands: returns what
        stands."""
        with self._file.writing() as db:
            db.execute(
                "INSERT INTO ruled VALUES (?, ?) ON CONFLICT DO NOTHING",
                (episode, "right" if right else "wrong"),
            )
            row = db.execute("SELECT ruling FROM ruled WHERE episode = ?", (episode,)).fetchone()
        return row[0]

    def ruled(self, episode: str) -> Ruling | None:
        """What memory was told of an answer; None where it was told nothing."""
        with self._file.reading() as db:
            row = db.execute("SELECT ruling FROM ruled WHERE episode = ?", (episode,)).fetchone()
        return row[0] if row else None

    def withdraw(self, episode: str) -> None:
        """Notes that memory forgot an answer."""
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO ruled VALUES (?, 'withdrawn')", (episode,))

    def wish(self, what: Wish) -> None:
        """What the learner is to do from here on."""
        with self._file.writing() as db:
            db.execute(
                "INSERT INTO wish VALUES (1, ?, 1)"
                " ON CONFLICT DO UPDATE SET what = excluded.what, times = times + 1",
                (what,),
            )

    @property
    def wished(self) -> Wish:
        """What people want of the learner."""
        with self._file.reading() as db:
            row = db.execute("SELECT what FROM wish").fetchone()
        return row[0] if row else "run"

    @property
    def wishes(self) -> int:
        """How often somebody said so: who says the same again wants it again."""
        with self._file.reading() as db:
            row = db.execute("SELECT times FROM wish").fetchone()
        return row[0] if row else 0

    def report(self, standing: Noun) -> None:
        """Where the learner stands; the last word counts."""
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO report VALUES (1, ?)", (encode(standing),))

    def reported(self, kind: type[N]) -> N | None:
        """The last word of the learner; None before the first."""
        with self._file.reading() as db:
            row = db.execute("SELECT body FROM report").fetchone()
        return self._read(row[0], kind) if row else None

    def _told(self, which: str, *values: str) -> tuple[Told, ...]:
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT place, key, episode, body, at, came_to FROM told"
                f" WHERE {which} ORDER BY place",
                values,
            ).fetchall()
        return tuple(
            Told(place, key, episode, self._read(body, Feedback), at, came_to)
            for place, key, episode, body, at, came_to in rows
        )

    def _read(self, raw: bytes, kind: type[N]) -> N:
        try:
            return decode(raw, kind)
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._path} cannot be read: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
