"""The log: every change to the workflows, in order, each entry sealed by the one before.

An entry's hash covers the entry and the hash before it, and the newest hash is kept beside the
log, so that an entry that was edited, left out or cut off at the end is found. Texts lie apart,
in `versions`: forgetting erases them and leaves the chain whole. Entries therefore hold ids,
counters and digests, and nothing that a person may ask to have forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from mia.errors import StoreError
from mia.memories.workflow.records import (
    Source,
    Standing,
    fingerprint,
    raw_of,
    read_noun,
    source_of,
)
from mia.memories.workflow.session import Session
from mia.types import Noun, Workflow, encode

TEXTS: frozenset[str] = frozenset(("put", "import", "restore", "keep"))
"""Actions that give a workflow its text; `keep` is that of a workflow older than the log."""
STANDINGS: frozenset[str] = frozenset(("credit", "trust", "recount", "demote", "readmit"))
"""Actions that change how a workflow stands."""
REMOVALS: frozenset[str] = frozenset(("delete", "evict", "forget"))
"""Actions that take a workflow away."""
Clock = Callable[[], datetime]
_GENESIS = "0" * 64
_COLUMNS = "seq, at, namespace, action, workflow, reason, digest, detail, hash"
_JOINED = ", ".join(f"l.{name}" for name in _COLUMNS.split(", "))
"""The same, of `log AS l`."""


class Detail(Noun, frozen=True):
    """What an entry says beside its columns."""

    standing: Standing | None = None
    """How the workflow stands after it."""
    parents: tuple[str, ...] = ()
    """Workflows that a text was written under the influence of."""
    source: str | None = None
    """Digest of the episode that a text comes from."""
    sources: tuple[str, ...] = ()
    """Digests of the sources that were taken away."""
    erased: tuple[int, ...] = ()
    """Entries whose texts were erased."""
    name: str | None = None
    """Of a snapshot, or of an embedder."""
    seq: int | None = None
    """The entry that a snapshot names, or that a restored text was first brought by."""


_NOTHING = Detail()


class Entry(NamedTuple):
    """One change."""

    seq: int
    at: str
    """ISO 8601, UTC, milliseconds; never earlier than the entry before."""
    namespace: str
    action: str
    workflow: str | None
    reason: str
    digest: str | None
    """Of the text, the vectors, or what else the change brought."""
    detail: str
    """A `Detail` as JSON."""
    hash: str

    def details(self) -> Detail:
        """The detail, read. Raises StoreError."""
        if self.detail == "{}":  # most entries say no more than their columns
            return _NOTHING
        return read_noun(Detail, f"entry {self.seq} of the log", self.detail)


class Head(NamedTuple):
    """Where the log ends."""

    seq: int = 0
    hash: str = _GENESIS


def utc_now() -> datetime:
    """The time of the system."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """A time as the log writes it. One that names no zone is taken for UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds")


def chained(before: str, entry: Entry) -> str:
    """The hash of an entry that follows the one of a hash."""
    said = msgspec.json.encode(entry[:-1])
    return hashlib.sha256(before.encode() + said).hexdigest()


def check_link(before: str, entry: Entry) -> None:
    """Raises StoreError when an entry does not follow the one of a hash."""
    if chained(before, entry) != entry.hash:
        raise StoreError(f"entry {entry.seq} of the log was changed, or one before it")


def check_text(entry: Entry, body: Any) -> str:
    """The text that an entry brought. Raises StoreError when it is not that any more."""
    name = f"the text of entry {entry.seq}, of workflow {entry.workflow}"
    if fingerprint(raw_of(name, body)) != entry.digest:
        raise StoreError(f"{name}, was changed")
    return body


def source_in(action: str, seq: int, body: str) -> Source:
    """The source that an entry brought, with a text or by itself. Raises StoreError."""
    name = f"the text of entry {seq}"
    if action in TEXTS:
        return source_of(read_noun(Workflow, name, body))
    return read_noun(Source, name, body)


def follow(sources: dict[str, int], entry: Entry, detail: Detail) -> None:
    """Takes the sources of a workflow one entry further: digests, with the entries that brought
    them."""
    if entry.action in TEXTS:
        sources[detail.source or ""] = entry.seq
    elif entry.action == "merge":
        sources[entry.digest or ""] = entry.seq
    elif entry.action == "unmerge":
        for source in detail.sources:
            sources.pop(source, None)
    elif entry.action in REMOVALS:
        sources.clear()


class Log:
    """The log as one transaction sees it."""

    def __init__(self, session: Session, clock: Clock = utc_now) -> None:
        self._session = session
        self._clock = clock
        self._last: Entry | None = None
        """The newest entry of this transaction; None before it wrote any."""

    def append(
        self,
        action: str,
        *,
        namespace: str = "",
        workflow: str | None = None,
        reason: str = "",
        body: bytes | None = None,
        digest: str | None = None,
        detail: Detail | None = None,
    ) -> int:
        """Writes one entry and returns its number. `body` is the text it brings, of one of `TEXTS`
        or of a source; other tables log a digest of what they keep."""
        last = self._last or self._checked_last()
        before = Head() if last is None else Head(last.seq, last.hash)
        seq, at = before.seq + 1, stamp(self._clock())
        entry = Entry(
            seq, max(at, last.at) if last else at, namespace, action, workflow, reason,
            digest if body is None else fingerprint(body), encode(detail or Detail()).decode(), "",
        )  # fmt: skip
        entry = entry._replace(hash=chained(before.hash, entry))
        self._session.change(
            f"INSERT INTO log ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", entry
        )
        if body is not None:
            self._session.change(
                "INSERT INTO versions (seq, body) VALUES (?, ?)", (seq, body.decode())
            )
        self._last = entry
        return seq

    @contextmanager
    def attempt(self) -> Generator[None]:
        """A part of the transaction that is rolled back when it raises."""
        last = self._last
        try:
            yield
        except BaseException:
            self._last = last
            raise

    def settle(self) -> None:
        """Writes down where the log ends; whoever commits does it, once for all entries."""
        if self._last is not None:
            self._session.change(
                "INSERT INTO meta (name, value) VALUES ('head', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (_told(Head(self._last.seq, self._last.hash)),),
            )

    def head(self) -> Head:
        """Where the log ends; zero for an empty one."""
        last = self._newest()
        return Head() if last is None else Head(last.seq, last.hash)

    def entries(self, after: int = 0, upto: int | None = None) -> Iterator[Entry]:
        """Entries in order, those after a number and up to another."""
        where, values = "seq > ?", [after]
        if upto is not None:
            where, values = f"{where} AND seq <= ?", [after, upto]
        return self._entries(f"WHERE {where} ORDER BY seq", *values)

    def of(self, workflow: str) -> Iterator[Entry]:
        """What happened to a workflow, in order. Raises StoreError for a changed entry."""
        for *row, before in self._session.rows(
            f"SELECT {_JOINED}, b.hash FROM log AS l LEFT JOIN log AS b ON b.seq = l.seq - 1"
            " WHERE l.workflow = ? ORDER BY l.seq",
            (workflow,),
        ):
            entry = Entry(*row)
            check_link(before or _GENESIS, entry)
            yield entry

    def hash_at(self, seq: int) -> str | None:
        """The hash of one entry; None when there is none of this number."""
        found = self._session.rows("SELECT hash FROM log WHERE seq = ?", (seq,))
        return next((row[0] for row in found), None)

    def text(self, seq: int) -> str | None:
        """The text that an entry brought; None when it brought none or it was erased."""
        found = self._session.rows("SELECT body FROM versions WHERE seq = ?", (seq,))
        return next((row[0] for row in found), None)

    def texts(self) -> Iterator[tuple[Entry, str]]:
        """The texts that are left, in order, with the entries that brought them. Raises StoreError
        for one that is not what its entry says."""
        for *row, body in self._session.rows(
            f"SELECT {_JOINED}, v.body FROM versions AS v LEFT JOIN log AS l ON l.seq = v.seq"
            " ORDER BY v.seq"
        ):
            entry = Entry(*row)
            yield entry, check_text(entry, body)

    def erase(self, seqs: Iterable[int]) -> None:
        """Erases the texts that entries brought. The entry that tells of it has to name them.
        Raises StoreError when one is not there."""
        for seq in seqs:
            if self._session.change("DELETE FROM versions WHERE seq = ?", (seq,)) != 1:
                raise StoreError(f"the text of entry {seq} is missing: it cannot be erased")

    def check_head(self) -> None:
        """Raises StoreError when the log does not end where it was last seen to end."""
        self._checked_last()

    def _checked_last(self) -> Entry | None:
        found = self._session.rows("SELECT value FROM meta WHERE name = 'head'")
        wanted = next((row[0] for row in found), _told(Head()))
        last = self._newest()
        if _told(Head() if last is None else Head(last.seq, last.hash)) != wanted:
            raise StoreError(
                "the log does not end where it ended when it was last written: entries are missing "
                "or were changed"
            )
        return last

    def _newest(self) -> Entry | None:
        return next(self._entries("ORDER BY seq DESC LIMIT 1"), None)

    def _entries(self, rest: str, *values: Any) -> Iterator[Entry]:
        return map(Entry._make, self._session.rows(f"SELECT {_COLUMNS} FROM log {rest}", values))


def _told(head: Head) -> str:
    return f"{head.seq} {head.hash}"
