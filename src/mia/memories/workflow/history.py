"""Time travel: the workflows as they were, snapshots, and the way back to one.

Everything is rebuilt from the log. What was forgotten stays forgotten: its texts are erased, so it
is missing from the past too, and a restore does not bring it back.
"""

from __future__ import annotations

from datetime import datetime

from mia.errors import InputError, StoreError
from mia.memories.workflow.log import Detail, Entry, source_in, stamp
from mia.memories.workflow.records import (
    checksum,
    fingerprint,
    raw_of,
    read_noun,
    with_standing,
)
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.states import Played, State, played
from mia.memories.workflow.store import Store
from mia.types import Noun, Workflow

When = int | str | datetime
"""An entry of the log; a snapshot's name, or an entry or a time as text; or a time. A time that
names no zone is UTC."""


class Past(Noun, frozen=True):
    """The workflows after an entry of the log."""

    seq: int
    workflows: tuple[Workflow, ...]
    """Oldest first."""
    erased: int
    """How many more there were that have been forgotten since."""


class Snapshot(Noun, frozen=True):
    """A name for an entry of the log."""

    name: str
    seq: int
    at: str


class Restored(Noun, frozen=True):
    """What a restore did."""

    seq: int
    """The entry that it went back to."""
    brought_back: int
    """Workflows that were gone or had another text."""
    recounted: int
    """Workflows that stood otherwise: by their counters, their trust, or what absorbed them."""
    removed: int
    """Workflows that there were not yet."""
    erased: int
    """Workflows that there were, and that stay forgotten."""


def as_of(store: Store, when: When) -> Past:
    """The workflows with their counters, as they were at a time. Raises InputError when there was
    no such time, StoreError when the history is damaged."""
    return store.read(lambda rows: _past(rows, resolve(rows, when)))


def revive(store: Store, when: When, into: Store) -> Past:
    """Fills an empty store with the workflows as they were, so that the past can be searched. Those
    whose text is still the same keep their vectors; the others wait for the next recall."""
    past = as_of(store, when)
    ids = [workflow.id for workflow in past.workflows]
    then = store.read(lambda rows: played(rows, past.seq).workflows)
    vectors = store.read(
        lambda rows: {
            id: rows.vectors.of(id)
            for id in ids
            if (columns := rows.columns(id)) is not None and columns.text == then[id].text
        }
    )
    embedder, _ = store.read(lambda rows: rows.vectors.made_by())

    def job(rows: Rows) -> None:
        for workflow in past.workflows:
            rows.put(workflow, action="import", reason=f"as of entry {past.seq}")
            known = vectors.get(workflow.id)
            if known is not None and embedder is not None:
                rows.vectors.set(workflow.id, embedder, known)

    into.write(job)
    return past


def snapshot(store: Store, name: str) -> Snapshot:
    """Names the present state. Raises InputError when the name is taken or empty."""
    if not name.strip():
        raise InputError("a snapshot needs a name")

    def job(rows: Rows) -> Snapshot:
        if _named(rows, name) is not None:
            raise InputError(f"there is a snapshot {name!r} already")
        seq = rows.log.head().seq
        rows.log.append("snapshot", reason=name, detail=Detail(name=name, seq=seq))
        at = next(entry.at for entry in rows.log.entries(after=seq))
        rows.session.change(
            "INSERT INTO snapshots (name, seq, at, crc) VALUES (?, ?, ?, ?)",
            (name, seq, at, checksum(b"", name, str(seq), at)),
        )
        return Snapshot(name=name, seq=seq, at=at)

    return store.write(job)


def snapshots(store: Store) -> tuple[Snapshot, ...]:
    """The snapshots, oldest first."""
    return store.read(
        lambda rows: tuple(
            _snapshot(*row)
            for row in rows.session.rows(
                "SELECT name, seq, at, crc FROM snapshots ORDER BY seq, at"
            )
        )
    )


def restore(store: Store, when: When) -> Restored:
    """Goes back to the workflows as they were, in one transaction. The log tells of it and grows
    on, so that a restore can be undone by another. What is known of episodes stays: none is
    remembered a second time, and no source of a workflow is left out."""
    return store.write(lambda rows: _restore(rows, resolve(rows, when)))


def changes(store: Store, workflow: str | None = None, last: int | None = None) -> list[Entry]:
    """The log, or what it tells of one workflow; only the last entries when a number is given."""

    def job(rows: Rows) -> list[Entry]:
        if workflow is not None:
            found = list(rows.log.of(workflow))
            return found if last is None else found[-last:]
        return list(rows.log.entries(after=0 if last is None else rows.log.head().seq - last))

    return store.read(job)


def resolve(rows: Rows, when: When) -> int:
    """The entry that was the newest then. Raises InputError."""
    if isinstance(when, datetime):
        found = rows.session.rows("SELECT max(seq) FROM log WHERE at <= ?", (stamp(when),))
        return int(next(found)[0] or 0)
    if isinstance(when, int):
        if not 0 <= when <= rows.log.head().seq:
            raise InputError(f"the log has no entry {when}; its last is {rows.log.head().seq}")
        return when
    named = _named(rows, when)
    if named is not None:
        return named.seq
    if when.isascii() and when.isdigit():
        return resolve(rows, int(when))
    try:
        return resolve(rows, datetime.fromisoformat(when))
    except ValueError as error:
        raise InputError(f"{when!r} is no snapshot, no entry of the log and no time") from error


def _named(rows: Rows, name: str) -> Snapshot | None:
    found = rows.session.rows("SELECT name, seq, at, crc FROM snapshots WHERE name = ?", (name,))
    return next((_snapshot(*row) for row in found), None)


def _snapshot(name: str, seq: int, at: str, crc: int) -> Snapshot:
    if checksum(b"", name, str(seq), at) != crc:
        raise StoreError(f"snapshot {name} is damaged: its checksum does not match")
    return Snapshot(name=name, seq=seq, at=at)


def _past(rows: Rows, seq: int) -> Past:
    then = played(rows, seq)
    found = [_workflow(rows, id, state) for id, state in _in_order(then)]
    kept = tuple(workflow for workflow in found if workflow is not None)
    return Past(seq=seq, workflows=kept, erased=len(found) - len(kept))


def _in_order(then: Played) -> list[tuple[str, State]]:
    return sorted(then.workflows.items(), key=lambda item: item[1].first)


def _workflow(rows: Rows, id: str, state: State) -> Workflow | None:
    """A workflow of the past; None when its text was erased. Raises StoreError when the text is not
    what was written."""
    body = rows.log.text(state.text)
    if body is None:
        return None
    name = f"the text of entry {state.text}, of workflow {id}"
    if fingerprint(raw_of(name, body)) != state.digest:
        raise StoreError(f"{name}, was changed")
    return with_standing(read_noun(Workflow, name, body), state.standing)


def _restore(rows: Rows, seq: int) -> Restored:
    then, now = played(rows, seq), played(rows)
    reason = f"back to entry {seq}"
    removed = [id for id in now.workflows if id not in then.workflows]
    for id in removed:
        rows.delete(id, reason=reason)
    brought_back = recounted = erased = 0
    for id, state in _in_order(then):
        current = now.workflows.get(id)
        if current is not None and current.digest == state.digest:
            recounted += _recount(rows, id, state, reason)
        elif _bring_back(rows, id, then, reason):
            brought_back += 1
        else:
            erased += 1
    return Restored(
        seq=seq,
        brought_back=brought_back,
        recounted=recounted,
        removed=len(removed),
        erased=erased,
    )


def _bring_back(rows: Rows, id: str, then: Played, reason: str) -> bool:
    """Gives a workflow its text of then, with the sources it had; whether the text is left."""
    state = then.workflows[id]
    workflow = _workflow(rows, id, state)
    if workflow is None:
        return False
    rows.put(workflow, action="restore", reason=reason, origin=state.text)
    known = {digest for _, digest, _ in rows.all_sources(id)}
    for digest, seq in state.sources.items():
        body = None if digest in known else rows.log.text(seq)
        if body is not None:
            rows.merge(id, source_in(then.texts[seq].action, seq, body), reason)
    return True


def _recount(rows: Rows, id: str, state: State, reason: str) -> bool:
    """Lets a workflow stand as it did then; whether it stood otherwise."""
    columns, standing = rows.columns(id), state.standing
    if columns is None or columns.standing == standing:
        return False
    rows.stand(columns.standing_as(standing), "recount", reason)
    return True
