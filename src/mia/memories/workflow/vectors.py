"""The vectors that workflows are found by. One embedder makes them all: those of two embedders are
never compared, so another one has to begin anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mia.errors import StoreError
from mia.memories.workflow.log import Detail, Log
from mia.memories.workflow.records import (
    HEAD,
    PLACE,
    WHOLE,
    Columns,
    Vectors,
    fingerprint,
    open_columns,
    open_workflow,
    plan_digest,
    vector_crc,
    vectors_raw,
)
from mia.memories.workflow.session import Row, Session
from mia.types import Workflow

_KEPT = ("question", "template", "caption", "crc", "question_crc")
_VECTORS = ", ".join(f"v.{name}" for name in _KEPT)
_JOINED = "workflows AS w JOIN vectors AS v ON v.seq = w.seq"
INDEXED = f"{HEAD}, v.template, v.caption, v.crc"
"""What `open_indexed` reads, of `workflows AS w` and `vectors AS v`."""


class Twin(NamedTuple):
    """A workflow of the same plan, and what it is found by."""

    id: str
    vectors: Vectors


class Indexed(NamedTuple):
    """What an index of the trusted workflows needs of one."""

    columns: Columns
    template: Row
    caption: Row | None


class VectorRows:
    """The vectors as one transaction sees them."""

    def __init__(self, session: Session, log: Log) -> None:
        self._session = session
        self._log = log

    def set(self, id: str, embedder: str, vectors: Vectors) -> None:
        """Stores what a workflow is found by. Says nothing for a workflow that is gone. Raises
        StoreError when the others' vectors are of another embedder."""
        places = self._session.rows("SELECT seq, namespace FROM workflows WHERE id = ?", (id,))
        place = next(places, None)
        if place is None:
            return
        self._expect(embedder, vectors.template.size)  # while the old ones are still there
        seq, namespace = place
        self.clear(seq)
        self.add(seq, id, namespace, embedder, vectors)

    def add(self, seq: int, id: str, namespace: str, embedder: str, vectors: Vectors) -> None:
        """Stores what the workflow of a row is found by, which had no vectors and waited for none.
        Raises StoreError when the others' vectors are of another embedder."""
        self._expect(embedder, vectors.template.size)
        kept = [
            None if row is None else self._session.vector(row)
            for row in (vectors.question, vectors.template, vectors.caption)
        ]
        crc = vector_crc(id, vectors.template, vectors.caption)
        self._session.change(
            f"INSERT INTO vectors (seq, {', '.join(_KEPT)}) VALUES (?, ?, ?, ?, ?, ?)",
            (seq, *kept, crc, vector_crc(id, vectors.question)),
        )
        self._log.append(
            "embed",
            namespace=namespace,
            workflow=id,
            digest=fingerprint(vectors_raw(id, vectors)),
            detail=Detail(name=embedder),
        )

    def clear(self, seq: int) -> None:
        """Takes away what the workflow of a row is found by; it waits for nothing either."""
        self._session.change("DELETE FROM vectors WHERE seq = ?", (seq,))
        self._session.change("DELETE FROM unembedded WHERE seq = ?", (seq,))

    def await_embedder(self, seq: int, namespace: str) -> None:
        """Notes that the workflow of a row is to be embedded."""
        self._session.change(
            "INSERT INTO unembedded (seq, namespace) VALUES (?, ?)", (seq, namespace)
        )

    def of(self, id: str) -> Vectors | None:
        """What a workflow is found by; None when it has no vectors."""
        found = self._session.rows(f"SELECT {_VECTORS} FROM {_JOINED} WHERE w.id = ?", (id,))
        return next((self._open(id, *row) for row in found), None)

    def all(self) -> Iterator[tuple[str, Vectors]]:
        """Workflows with what they are found by."""
        found = self._session.rows(f"SELECT w.id, {_VECTORS} FROM {_JOINED} ORDER BY w.seq")
        return ((row[0], self._open(*row)) for row in found)

    def twins(self, draft: Workflow) -> Iterator[Twin]:
        """Workflows of a draft's outcome, plan and modality that have vectors, trusted or not."""
        found = self._session.rows(
            f"SELECT w.id, {_VECTORS} FROM {_JOINED}"
            " WHERE w.namespace = ? AND w.outcome = ? AND w.plan_digest = ?"
            " AND w.modality = ? ORDER BY w.seq",
            (draft.namespace, draft.outcome, plan_digest(draft.plan), draft.modality),
        )
        return (Twin(row[0], self._open(*row)) for row in found)

    def indexed(self, id: str | None = None) -> Iterator[Indexed]:
        """What an index needs of the trusted workflows that have vectors, or of one of them."""
        found = self._session.rows(
            f"SELECT {INDEXED} FROM {_JOINED}{'' if id is None else ' WHERE w.id = ?'}",
            () if id is None else (id,),
        )
        for row in found:  # each is opened before its trust is believed
            item = self.open_indexed(row)
            if item.columns.trust == "trusted":
                yield item

    def open_indexed(self, row: Sequence[Any]) -> Indexed:
        """What an index needs, of a row of INDEXED. Raises StoreError when it is damaged."""
        *head, template, caption, crc = row
        read, columns = self._session.row, open_columns(head)
        item = Indexed(columns, read(template), None if caption is None else read(caption))
        if vector_crc(columns.id, item.template, item.caption) != crc:
            raise _damaged(columns.id)
        return item

    def expected(self) -> Iterator[tuple[Sequence[Any], int]]:
        """About how many workflows `indexed` has, by namespace, modality, outcome, category."""
        kind = "namespace, modality, outcome, category"
        found = self._session.rows(
            f"SELECT {kind}, count(*) FROM workflows WHERE trust = 'trusted' GROUP BY {kind}"
        )
        return ((row[:-1], int(row[-1])) for row in found)

    def missing(self, namespace: str, embedder: str) -> tuple[Workflow, ...]:
        """Workflows without vectors: imported, restored, or waiting for a new embedder. Raises
        StoreError when the others' vectors are of another embedder."""
        self._check_embedder(embedder)
        found = self._session.rows(
            f"SELECT {WHOLE} FROM {PLACE} WHERE w.seq IN"
            " (SELECT seq FROM unembedded WHERE namespace = ?) ORDER BY w.seq",
            (namespace,),
        )
        return tuple(map(open_workflow, found))

    def drop(self, reason: str = "") -> int:
        """Drops all vectors, so that another embedder can make new ones; how many there were."""
        dropped = self._session.change("DELETE FROM vectors")
        self._session.change("DELETE FROM pair_vectors")
        self._session.change("DELETE FROM unembedded")
        self._session.change(
            "INSERT INTO unembedded (seq, namespace) SELECT seq, namespace FROM workflows"
        )
        self._session.change("DELETE FROM meta WHERE name IN ('embedder', 'dimension')")
        self._log.append("reembed", reason=reason)
        return dropped

    def made_by(self) -> tuple[str | None, int | None]:
        """The store's embedder and the length of its vectors; None before there are any."""
        found = self._session.rows(
            "SELECT name, value FROM meta WHERE name IN ('embedder', 'dimension')"
        )
        facts: dict[str, str] = dict(found)
        dimension = facts.get("dimension")
        return facts.get("embedder"), None if dimension is None else int(dimension)

    def _check_embedder(self, embedder: str) -> None:
        known, _ = self.made_by()
        if known not in (None, embedder) and not self._empty():
            raise StoreError(
                f"the memory's vectors were made by {known}, not by {embedder}; "
                "to change to it, run: mia memory reembed"
            )

    def _expect(self, embedder: str, dimension: int) -> None:
        """Makes this embedder the store's, or raises StoreError when another one is."""
        if self.made_by() == (embedder, dimension):
            return
        self._check_embedder(embedder)
        if not self._empty():
            raise StoreError(
                f"{embedder} makes vectors of {dimension} numbers, those of the memory have "
                f"{self.made_by()[1]}; to make them anew, run: mia memory reembed"
            )
        for name, value in (("embedder", embedder), ("dimension", str(dimension))):
            self._session.change(
                "INSERT INTO meta (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def _empty(self) -> bool:
        return next(self._session.rows("SELECT 1 FROM vectors LIMIT 1"), None) is None

    def _open(
        self, id: str, question: Any, template: Any, caption: Any, crc: int, question_crc: int
    ) -> Vectors:
        """Vectors as stored. Raises StoreError when they are damaged."""
        row = self._session.row
        vectors = Vectors(row(question), row(template), None if caption is None else row(caption))
        known = vector_crc(id, vectors.template, vectors.caption)
        if (known, vector_crc(id, vectors.question)) != (crc, question_crc):
            raise _damaged(id)
        return vectors


def _damaged(id: str) -> StoreError:
    return StoreError(f"workflow {id} is damaged: its vectors do not match their checksum")
