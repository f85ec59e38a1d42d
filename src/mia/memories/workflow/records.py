"""How nouns lie in the database: bodies, the columns beside them, checksums over both. Pure.

A body is the whole workflow but for its standing (counters, trust, what absorbed it), which changes
with use and lives in columns; the body lies in the history, where the log's entry brought it. `crc`
seals the body, `seal` covers every column and `crc`, so that crediting touches no body and a
flipped bit anywhere is an error, never another memory.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec.structs import asdict, replace

from mia.errors import StoreError
from mia.memories.workflow.session import Row
from mia.types import Noun, Workflow, decode, encode

N = TypeVar("N", bound=Noun)
Outcome = Literal["success", "failure"]
Trust = Literal["trusted", "quarantined"]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What a workflow is found by."""

    question: Row
    """Of the question as asked: tells the same question in other words."""
    template: Row
    """Of the question's template: tells the same kind of question."""
    caption: Row | None = None


class Standing(Noun, frozen=True):
    """What changes about a workflow with use."""

    uses: int = 0
    wins: int = 0
    used: str | None = None
    trust: Trust = "trusted"
    absorbed: str | None = None
    """The version of a policy that solves without it."""


class Source(Noun, frozen=True):
    """An episode that a workflow comes from, or that was merged into it."""

    episode: str = ""
    question_id: str = ""
    task: str | None = None
    judge: str = ""
    """Empty where nobody noted it."""
    domains: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    """Of the pages that were read."""
    at: str = ""

    @property
    def raw(self) -> bytes:
        """As stored; what its digest is taken of."""
        return encode(self)


class Columns(NamedTuple):
    """What a row says beside its body."""

    seq: int
    """The log's entry that first brought the workflow."""
    text: int
    """The log's entry that brought its text: where its body is."""
    id: str
    namespace: str
    modality: str
    category: str
    outcome: Outcome
    plan_digest: str
    question_id: str
    task: str | None
    source_episode: str
    created: str
    uses: int
    wins: int
    used: str | None
    trust: Trust
    crc: int
    """Checksum of the body."""
    absorbed: str | None = None

    @property
    def standing(self) -> Standing:
        return Standing(
            uses=self.uses, wins=self.wins, used=self.used, trust=self.trust,
            absorbed=self.absorbed,
        )  # fmt: skip

    def standing_as(self, standing: Standing) -> Columns:
        """The same of a workflow that stands otherwise."""
        return self._replace(**asdict(standing))


NAMES = (*Columns._fields, "seal")
"""The columns of a row."""
HEAD = ", ".join(f"w.{name}" for name in NAMES)
"""The columns of a row, of `workflows AS w`."""
WHOLE = f"{HEAD}, t.body"
"""The same with the body, of `PLACE`."""
PLACE = "workflows AS w LEFT JOIN versions AS t ON t.seq = w.text"


def body_of(workflow: Workflow) -> bytes:
    """A workflow without its standing, as stored."""
    return encode(with_standing(workflow, Standing()))


def standing_of(workflow: Workflow) -> Standing:
    """How a workflow stands."""
    w = workflow
    return Standing(uses=w.uses, wins=w.wins, used=w.used, trust=w.trust, absorbed=w.absorbed)


def with_standing(workflow: Workflow, standing: Standing) -> Workflow:
    """A workflow that stands otherwise."""
    return replace(workflow, **asdict(standing))


def source_of(workflow: Workflow) -> Source:
    """The episode that a workflow's text comes from."""
    return Source(
        episode=workflow.source_episode,
        question_id=workflow.question_id,
        task=workflow.task,
        judge=workflow.verdict_kind,
        domains=workflow.source_domains,
        hashes=workflow.source_hashes,
        at=workflow.created,
    )


def plan_digest(plan: str) -> str:
    """Tells equal plans; short enough for any index."""
    return fingerprint(plan.encode())[:32]


def fingerprint(raw: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def columns_of(seq: int, text: int, workflow: Workflow, body: bytes) -> Columns:
    """The columns of a workflow's row."""
    w = workflow
    return Columns(
        seq, text, w.id, w.namespace, w.modality, w.category, w.outcome, plan_digest(w.plan),
        w.question_id, w.task, w.source_episode, w.created,
        w.uses, w.wins, w.used, w.trust, zlib.crc32(body), w.absorbed,
    )  # fmt: skip


def seal(columns: Columns) -> int:
    """The checksum of a row's columns. The last is left out where it is empty, so that a row of a
    schema without it keeps its seal."""
    told = columns[:-1] if columns.absorbed is None else columns
    return zlib.crc32(msgspec.json.encode(told))


def open_columns(row: Sequence[Any]) -> Columns:
    """The columns of a row of HEAD. Raises StoreError when they are damaged."""
    columns = Columns(*row[:-1])
    if seal(columns) != row[-1]:
        raise StoreError(f"workflow {columns.id} is damaged: the seal of its columns is broken")
    return columns


def open_workflow(row: Sequence[Any]) -> Workflow:
    """The workflow of a row of HEAD and body. Raises StoreError when it is damaged."""
    columns = open_columns(row[:-1])
    name = f"workflow {columns.id}"
    if row[-1] is None:
        raise StoreError(f"{name} is damaged: its text is missing")
    workflow = with_standing(open_noun(Workflow, name, row[-1], columns.crc), columns.standing)
    if columns_of(columns.seq, columns.text, workflow, raw_of(name, row[-1])) != columns:
        raise StoreError(f"{name} is damaged: its columns do not match its body")
    return workflow


def open_noun(kind: type[N], name: str, body: str, crc: int, *key: str) -> N:
    """A noun that was stored under a key. Raises StoreError naming the record when it is not that
    any more."""
    raw = raw_of(name, body)
    if checksum(raw, *key) != crc:
        raise StoreError(f"{name} is damaged: its checksum does not match")
    return read_noun(kind, name, raw)


def raw_of(name: str, body: Any) -> bytes:
    """A text of the database as bytes. Raises StoreError when damage has made something else of
    it."""
    if not isinstance(body, str):
        raise StoreError(f"{name} is damaged: it is no text")
    return body.encode()


def read_noun(kind: type[N], name: str, raw: bytes | str) -> N:
    """A noun of the database. Raises StoreError naming the record."""
    try:
        return decode(raw, kind)
    except msgspec.DecodeError as error:
        raise StoreError(f"{name} cannot be read: {error}") from error


def checksum(body: bytes, *key: str) -> int:
    """Of a body and the key that it is found by."""
    crc = zlib.crc32(body)
    for part in key:
        crc = zlib.crc32(f"\0{part}".encode(), crc)
    return crc


def blob(row: Row) -> bytes:
    """A vector's bytes, the same on every machine."""
    return np.asarray(row, "<f4").tobytes()


def vectors_raw(id: str, vectors: Vectors) -> bytes:
    """What the digest of a workflow's vectors is taken of."""
    caption = b"" if vectors.caption is None else blob(vectors.caption)
    return b"".join((id.encode(), b"\0", blob(vectors.question), blob(vectors.template), caption))


def vector_crc(id: str, *rows: Row | None) -> int:
    """The checksum of vectors of a workflow."""
    crc = zlib.crc32(id.encode())
    for row in rows:
        if row is not None:
            crc = zlib.crc32(np.ascontiguousarray(row, "<f4").data, crc)
    return crc


def row_of(raw: bytes) -> Row:
    """The vector of its bytes."""
    return np.frombuffer(raw, dtype="<f4")
