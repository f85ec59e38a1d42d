"""What memories beside the Manager share: one file of items, found by the vectors of their texts.

The published methods differ in what they keep and in how they look it up. That they keep it safely,
and never help a question with what they know from that very question, is the same for all, so that
a comparison compares the methods. Every search reads all vectors: exact, and fast enough for the
thousands of items of an evaluation.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.captioner import in_words
from mia.errors import StoreError
from mia.memories.workflow.recall import SAME_QUESTION
from mia.model import Embedder
from mia.sqlite_file import SqliteFile
from mia.types import (
    Episode,
    Noun,
    Question,
    Remembered,
    Usage,
    VerdictValue,
    decode,
    encode,
)

T = TypeVar("T")
N = TypeVar("N", bound=Noun)
Vector = NDArray[np.float32]

_VERSION = 1
_SCHEMA = """\
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE episodes (
    id TEXT PRIMARY KEY,
    question_id TEXT NOT NULL,
    task TEXT,
    vector BLOB NOT NULL,
    remembered BLOB NOT NULL
) STRICT;
CREATE TABLE items (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    vector BLOB NOT NULL
) STRICT;
CREATE INDEX items_by_kind ON items (kind);
CREATE TABLE sources (
    item TEXT NOT NULL REFERENCES items (id) ON DELETE CASCADE,
    episode TEXT NOT NULL REFERENCES episodes (id) DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (item, episode)
) STRICT, WITHOUT ROWID;
CREATE INDEX sources_by_episode ON sources (episode)
"""


@dataclass(frozen=True, slots=True)
class Held(Generic[N]):
    """One item, and how like a question it is."""

    id: str
    body: N
    similarity: float = 0.0
    """Cosine; 0 where nothing was asked."""


class Rows:
    """The items as one transaction sees them; hidden ones are not there."""

    def __init__(self, db: sqlite3.Connection, hidden: frozenset[str] = frozenset()) -> None:
        self._db = db
        self._hidden = hidden

    def put(self, id: str, body: Noun, vector: Vector, episodes: Iterable[str]) -> None:
        """Adds an item, or changes the one of that id; `episodes` are what its text stems from,
        beside what it stemmed from before."""
        self._db.execute(
            "INSERT INTO items (id, kind, body, vector) VALUES (?, ?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET body = excluded.body, vector = excluded.vector",
            (id, type(body).__name__, encode(body), _raw(vector)),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO sources (item, episode) VALUES (?, ?)",
            [(id, episode) for episode in episodes],
        )

    def change(self, id: str, body: Noun) -> None:
        """Changes what an item says of itself, but not the text that others are shown."""
        self._db.execute("UPDATE items SET body = ? WHERE id = ?", (encode(body), id))

    def drop(self, id: str) -> None:
        """Removes an item."""
        self._db.execute("DELETE FROM items WHERE id = ?", (id,))

    def get(self, id: str, kind: type[N]) -> N | None:
        """The item of that id; None when there is none."""
        found = self._db.execute("SELECT body FROM items WHERE id = ?", (id,)).fetchone()
        return None if found is None or id in self._hidden else _body(found[0], kind)

    def all(self, kind: type[N]) -> list[Held[N]]:
        """All items of a kind, the oldest first."""
        found = self._db.execute(
            "SELECT id, body FROM items WHERE kind = ? ORDER BY seq", (kind.__name__,)
        )
        return [Held(id, _body(raw, kind)) for id, raw in found if id not in self._hidden]

    def nearest(self, kind: type[N], asked: Vector, k: int) -> list[Held[N]]:
        """The k items of a kind that are most like what is asked; of equals the oldest first."""
        found = self._db.execute(
            "SELECT id, vector FROM items WHERE kind = ? ORDER BY seq", (kind.__name__,)
        )
        seen = [(str(id), bytes(raw)) for id, raw in found if id not in self._hidden]
        likeness = _cosines([raw for _, raw in seen], asked)
        best = np.argsort(-likeness, kind="stable")[:k]
        return [self._held(seen[at][0], kind, float(likeness[at])) for at in map(int, best)]

    def own(self, question: Question, asked: Vector) -> Iterator[str]:
        """The items that stem from a question itself, its task, or itself in other words."""
        rows = self._db.execute("SELECT id, question_id, task, vector FROM episodes").fetchall()
        likeness = _cosines([row[3] for row in rows], asked)
        for (id, question_id, task, _), similarity in zip(rows, likeness, strict=True):
            same = question_id == question.id or (task is not None and task == question.task)
            if same or similarity >= SAME_QUESTION:
                yield from self._from(id)

    def settled(self, episode: str) -> Remembered | None:
        """What was made of an episode; None for one not seen yet."""
        sql = "SELECT remembered FROM episodes WHERE id = ?"
        found = self._db.execute(sql, (episode,)).fetchone()
        return None if found is None else _body(found[0], Remembered)

    def settle(self, episode: Episode, asked: Vector, remembered: Remembered) -> None:
        """Writes down what was made of an episode."""
        question = episode.question
        self._db.execute(
            "INSERT INTO episodes (id, question_id, task, vector, remembered)"
            " VALUES (?, ?, ?, ?, ?)",
            (episode.id, question.id, question.task, _raw(asked), encode(remembered)),
        )

    def _held(self, id: str, kind: type[N], similarity: float) -> Held[N]:
        (raw,) = self._db.execute("SELECT body FROM items WHERE id = ?", (id,)).fetchone()
        return Held(id, _body(raw, kind), similarity)

    def _from(self, episode: str) -> Iterator[str]:
        rows = self._db.execute("SELECT item FROM sources WHERE episode = ?", (episode,))
        return (row[0] for row in rows)


Write = Callable[[Rows], Remembered]
"""Writes what is to be kept of an episode, all at once, and says what it decided."""


class Keeper:
    """The file of one memory. Safe for several threads and processes."""

    def __init__(
        self, path: Path, method: str, embedder: Embedder, *, exclude_task: bool = True
    ) -> None:
        """`exclude_task` hides what is known from the question itself, from its task and from the
        same question in other words. Raises StoreError for a file that another method or another
        embedder began."""
        self.path = path
        self.embedder = embedder
        self._exclude_task = exclude_task
        self._file = SqliteFile(
            path, f"the {method} memory", _SCHEMA, version=_VERSION, synchronous="FULL"
        )
        self._turn = asyncio.Lock()
        try:
            self._begin({"method": method, "embedder": embedder.name})
        except StoreError:
            self.close()
            raise

    def _begin(self, facts: dict[str, str]) -> None:
        with self._file.writing() as db:
            rows = facts.items()
            db.executemany("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", rows)
            found: dict[str, str] = dict(db.execute("SELECT name, value FROM meta"))
        for name, value in facts.items():
            if found[name] != value:
                raise StoreError(
                    f"{self.path} was begun with the {name} {found[name]}, and {value} cannot read"
                    " it; take another file"
                )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def count(self) -> int:
        """How many items there are."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM items").fetchone()[0])

    async def vectors(self, *texts: str) -> list[Vector]:
        """What texts are found by. Raises ModelError."""
        return list(await self.embedder.embed(texts))

    async def read(self, job: Callable[[Rows], T]) -> T:
        """What a job finds among all items."""

        def reading() -> T:
            with self._file.reading() as db:
                return job(Rows(db))

        return await asyncio.to_thread(reading)

    async def look(self, question: Question, job: Callable[[Rows, Vector], T]) -> T:
        """What a job finds for a question, given the question's vector, among the items that may
        help with it. Raises ModelError when the embedder cannot be asked."""
        (asked,) = await self.vectors(in_words(question))

        def looking() -> T:
            with self._file.reading() as db:
                every = Rows(db)
                own = every.own(question, asked) if self._exclude_task else ()
                return job(Rows(db, frozenset(own)), asked)

        return await asyncio.to_thread(looking)

    async def once(
        self, episode: Episode, draft: Callable[[Vector], Awaitable[Write]]
    ) -> Remembered:
        """What is made of an episode, which is done once and then only told again.

        `draft`, given the question's vector, may ask models; what it returns is written together
        with the episode, in one transaction. Episodes take turns, so that each is drafted upon what
        those before it left.
        """
        async with self._turn:
            known = await self.read(lambda rows: rows.settled(episode.id))
            if known is not None:
                return known
            (asked,) = await self.vectors(in_words(episode.question))
            write = await draft(asked)
            return await asyncio.to_thread(partial(self._write, episode, asked, write))

    def _write(self, episode: Episode, asked: Vector, write: Write) -> Remembered:
        with self._file.writing() as db:
            rows = Rows(db)
            known = rows.settled(episode.id)  # by another process, while a model was asked
            if known is not None:
                return known
            remembered = write(rows)
            rows.settle(episode, asked, remembered)
            return remembered


class KeptMemory:
    """What a memory on a Keeper has beside its two verbs."""

    def __init__(self, keeper: Keeper) -> None:
        self._kept = keeper

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._kept.path

    def count(self) -> int:
        """How many memories there are."""
        return self._kept.count()

    def close(self) -> None:
        """Closes the file."""
        self._kept.close()


def unfinished(episode: Episode) -> Remembered | None:
    """The answer for a run that did not come to an end, of which nobody keeps anything; None for
    all others."""
    if not episode.final.failed:
        return None
    return ignored(f"the run did not come to an end: {episode.final.outcome}")


def undecided(episode: Episode) -> Remembered | None:
    """The answer for a run that shows neither how to succeed nor how to fail; None for others."""
    if episode.verdict.value is VerdictValue.UNKNOWN:
        return ignored("nobody knows whether the answer was right")
    return unfinished(episode)


def ignored(reason: str, usage: Usage = Usage()) -> Remembered:
    """Nothing was kept, and why."""
    return Remembered(decision="ignored", reason=reason, usage=usage)


def _raw(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def _cosines(raws: Sequence[bytes], asked: Vector) -> Vector:
    """The cosines of stored unit vectors with one that is asked."""
    if not raws:
        return np.zeros(0, dtype=np.float32)
    if {len(raw) for raw in raws} != {asked.size * 4}:
        raise StoreError(
            f"the memory's vectors are not of the embedder's {asked.size} numbers; take another"
            " file"
        )
    stored = np.frombuffer(b"".join(raws), dtype="<f4").reshape(len(raws), asked.size)
    return np.asarray(stored @ asked, dtype=np.float32)


def _body(raw: Any, kind: type[N]) -> N:
    try:
        return decode(raw, kind)
    except msgspec.DecodeError as error:
        raise StoreError(f"a memory is damaged: {error}") from error
