"""Workflows as rows: the statements of one transaction, and the checks of what is read.

The body of a row is the whole workflow; the columns beside it repeat what queries need. Reading
checks the body against its checksum and the columns against the body, so that a flipped bit is an
error and never another memory.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import StoreError
from mia.types import Noun, Remembered, Workflow, decode, encode

N = TypeVar("N", bound=Noun)
Row = NDArray[np.float32]
Outcome = Literal["success", "failure"]

_COLUMNS = (
    "id, namespace, modality, category, outcome, trust, plan, question_id, task, uses, wins, "
    "created, body, crc"
)


@dataclass(frozen=True, slots=True)
class Vectors:
    """What a workflow is found by."""

    question: Row
    """Of the question as asked: tells the same question in other words."""
    template: Row
    """Of the question's template: tells the same kind of question."""
    caption: Row | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """What recall needs to know of a workflow before it picks."""

    id: str
    outcome: Outcome
    category: str
    question_id: str
    task: str | None
    uses: int
    wins: int
    vectors: Vectors


class Bucket(Noun, frozen=True):
    """How many workflows of one kind there are, and how they did."""

    category: str
    outcome: Outcome
    workflows: int
    uses: int
    wins: int


class Rows:
    """The rows as one transaction sees them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def get(self, id: str) -> Workflow | None:
        """A workflow, or None when there is none of this id."""
        row = self._run(f"SELECT {_COLUMNS} FROM workflows WHERE id = ?", (id,)).fetchone()
        return None if row is None else _workflow(row)

    def all(
        self,
        namespace: str | None = None,
        outcome: Outcome | None = None,
        category: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Workflow]:
        """Workflows, newest first."""
        cursor = self._run(
            f"SELECT {_COLUMNS} FROM workflows WHERE (?1 IS NULL OR namespace = ?1)"
            " AND (?2 IS NULL OR outcome = ?2) AND (?3 IS NULL OR category = ?3)"
            " ORDER BY created DESC, seq DESC LIMIT ?4",
            (namespace, outcome, category, -1 if limit is None else limit),
        )
        return map(_workflow, cursor)

    def count(self, namespace: str | None = None) -> int:
        """How many workflows there are."""
        counted = self._run(
            "SELECT count(*) FROM workflows WHERE ?1 IS NULL OR namespace = ?1", (namespace,)
        )
        return int(counted.fetchone()[0])

    def stats(self, namespace: str | None = None) -> tuple[Bucket, ...]:
        """The buckets that hold something, by category and outcome."""
        grouped = self._run(
            "SELECT category, outcome, count(*), sum(uses), sum(wins) FROM workflows"
            " WHERE ?1 IS NULL OR namespace = ?1"
            " GROUP BY category, outcome ORDER BY category, outcome DESC",
            (namespace,),
        )
        return tuple(
            Bucket(category=category, outcome=outcome, workflows=workflows, uses=uses, wins=wins)
            for category, outcome, workflows, uses, wins in grouped
        )

    def put(self, workflow: Workflow) -> None:
        """Inserts a workflow, or replaces the one of this id; its vectors go, they are of another
        text."""
        columns = _row(workflow)
        marks = ", ".join("?" * len(columns))
        updates = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[1:])
        self._run(
            f"INSERT INTO workflows ({_COLUMNS}) VALUES ({marks})"
            f" ON CONFLICT (id) DO UPDATE SET {updates}",
            columns,
        )
        self._run("DELETE FROM vectors WHERE workflow = ?", (workflow.id,))

    def credit(self, id: str, won: bool, at: str) -> None:
        """Counts one use of a workflow. One that is gone has nothing to count."""
        workflow = self.get(id)
        if workflow is None:
            return
        credited = replace(
            workflow,
            uses=workflow.uses + 1,
            wins=workflow.wins + won,
            used=max(at, workflow.used or ""),
        )
        self._run(
            "UPDATE workflows SET uses = ?, wins = ?, body = ?, crc = ? WHERE id = ?",
            (credited.uses, credited.wins, *_sealed(credited), id),
        )

    def delete(self, id: str) -> bool:
        """Removes a workflow; whether there was one."""
        return self._run("DELETE FROM workflows WHERE id = ?", (id,)).rowcount > 0

    def absorbed(self, namespace: str, episode: str) -> Remembered | None:
        """What was decided on an episode; None for one not seen yet."""
        row = self._run(
            "SELECT body, crc FROM absorbed WHERE namespace = ? AND episode = ?",
            (namespace, episode),
        ).fetchone()
        return None if row is None else _open(Remembered, f"episode {episode}", *row)

    def absorb(self, namespace: str, episode: str, remembered: Remembered) -> None:
        """Notes what was decided on an episode."""
        self._run(
            "INSERT INTO absorbed (namespace, episode, body, crc) VALUES (?, ?, ?, ?)",
            (namespace, episode, *_sealed(remembered)),
        )

    def set_vectors(self, id: str, embedder: str, vectors: Vectors) -> None:
        """Stores what a workflow is found by, under the embedder's name. Says nothing for a
        workflow that is gone."""
        caption = None if vectors.caption is None else _blob(vectors.caption)
        blobs = (_blob(vectors.question), _blob(vectors.template), caption)
        self._run(
            "INSERT OR REPLACE INTO vectors (workflow, embedder, question, template, caption, crc)"
            " SELECT id, ?, ?, ?, ?, ? FROM workflows WHERE id = ?",
            (embedder, *blobs, _vector_crc(id, embedder, *blobs), id),
        )

    def without_vectors(self, namespace: str, embedder: str) -> tuple[Workflow, ...]:
        """Workflows that this embedder has not seen: imported, or stored under another one."""
        cursor = self._run(
            f"SELECT {_COLUMNS} FROM workflows WHERE namespace = ? AND id NOT IN"
            " (SELECT workflow FROM vectors WHERE embedder = ?) ORDER BY seq",
            (namespace, embedder),
        )
        return tuple(map(_workflow, cursor))

    def candidates(
        self, namespace: str, modality: str, embedder: str, *, twins_of: Workflow | None = None
    ) -> tuple[Candidate, ...]:
        """Trusted workflows that recall may pick from, oldest first; with `twins_of`, only those of
        its outcome and plan."""
        outcome = twins_of.outcome if twins_of else None
        plan = twins_of.plan if twins_of else None
        cursor = self._run(
            "SELECT w.id, w.outcome, w.category, w.question_id, w.task, w.uses, w.wins,"
            " v.question, v.template, v.caption, v.crc"
            " FROM workflows AS w JOIN vectors AS v ON v.workflow = w.id AND v.embedder = ?"
            " WHERE w.namespace = ? AND w.modality = ? AND w.trust = 'trusted'"
            " AND (? IS NULL OR w.outcome = ?) AND (? IS NULL OR w.plan = ?) ORDER BY w.seq",
            (embedder, namespace, modality, outcome, outcome, plan, plan),
        )
        return tuple(
            Candidate(id, outcome, category, question_id, task, uses, wins, _vectors(*stored))
            for id, outcome, category, question_id, task, uses, wins, *blobs in cursor
            for stored in ((id, embedder, *blobs),)
        )

    def check(self) -> int:
        """Reads everything and compares the checksums; how many workflows there are. Raises
        StoreError for what does not hold."""
        problems = [str(row[0]) for row in self._run("PRAGMA integrity_check")]
        if problems != ["ok"]:
            raise StoreError(f"the file is damaged: {problems[0]}")
        for id, embedder, *blobs in self._run(
            "SELECT workflow, embedder, question, template, caption, crc FROM vectors"
        ):
            _vectors(id, embedder, *blobs)
        for episode, body, crc in self._run("SELECT episode, body, crc FROM absorbed"):
            _open(Remembered, f"episode {episode}", body, crc)
        return sum(1 for _ in self.all())


def _sealed(noun: Noun) -> tuple[str, int]:
    """A noun as stored: its JSON and the checksum of that."""
    body = encode(noun)
    return body.decode(), zlib.crc32(body)


def _open(kind: type[N], name: str, body: str, crc: int) -> N:
    """What `_sealed` stored. Raises StoreError naming the record when it is not that any more."""
    raw = body.encode()
    if zlib.crc32(raw) != crc:
        raise StoreError(f"{name} is damaged: its checksum does not match")
    try:
        return decode(raw, kind)
    except msgspec.DecodeError as error:
        raise StoreError(f"{name} cannot be read: {error}") from error


def _row(workflow: Workflow) -> tuple[str | int | None, ...]:
    w = workflow
    place = (w.id, w.namespace, w.modality, w.category, w.outcome, w.trust, w.plan)
    return (*place, w.question_id, w.task, w.uses, w.wins, w.created, *_sealed(w))


def _workflow(row: Sequence[object]) -> Workflow:
    id, body, crc = row[0], row[-2], row[-1]
    if not isinstance(body, str) or not isinstance(crc, int):
        raise StoreError(f"workflow {id} is damaged: its columns are of other types")
    workflow = _open(Workflow, f"workflow {id}", body, crc)
    if _row(workflow)[:-2] != tuple(row)[:-2]:
        raise StoreError(f"workflow {id} is damaged: its columns do not match its body")
    return workflow


def _blob(row: Row) -> bytes:
    return row.astype("<f4").tobytes()


def _vector_crc(id: str, embedder: str, *blobs: bytes | None) -> int:
    crc = zlib.crc32(f"{id}\0{embedder}".encode())
    for blob in blobs:
        crc = zlib.crc32(blob or b"", crc)
    return crc


def _vectors(
    id: str, embedder: str, question: bytes, template: bytes, caption: bytes | None, crc: int
) -> Vectors:
    if _vector_crc(id, embedder, question, template, caption) != crc:
        raise StoreError(f"workflow {id} is damaged: the checksum of its vectors does not match")
    read = np.frombuffer
    return Vectors(
        question=read(question, dtype="<f4"),
        template=read(template, dtype="<f4"),
        caption=None if caption is None else read(caption, dtype="<f4"),
    )
