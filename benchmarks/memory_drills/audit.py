"""What must be there, whatever was done to a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.tally import Ack, Tally

from mia.errors import StoreError
from mia.memories.workflow.log import REMOVALS, STANDINGS, TEXTS, Head
from mia.memories.workflow.records import Standing, body_of, fingerprint, standing_of
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.types import Workflow, encode


def audit(path: Path, acks: Sequence[Ack], tally: Tally) -> None:
    """Opens a file, verifies it, and looks for every acknowledged write."""
    with tally.intact(), SqliteStore(path) as store:
        store.check()
        lost = store.read(partial(missing, acks=acks))
        tally.counts["lost"] += len(lost)
        tally.broken.extend(lost[:5])


def missing(rows: Rows, acks: Sequence[Ack]) -> list[str]:
    """What was acknowledged and is not there as it was: the log is played back, by other code than
    the store's, and must say at every acknowledged entry what the writer was told; at its end it
    must say what the rows say."""
    waiting: dict[int, list[Ack]] = defaultdict(list)
    for ack in acks:
        if ack.seq:
            waiting[ack.seq].append(ack)
    lost: list[str] = []
    stands: dict[str, tuple[str | None, Standing | None]] = {}
    for entry in rows.log.entries():
        id, told = entry.workflow or "", entry.details().standing
        if entry.action in TEXTS:
            stands[id] = entry.digest, told
        elif entry.action in STANDINGS and id in stands:
            stands[id] = stands[id][0], told
        elif entry.action in REMOVALS:
            stands.pop(id, None)
        for ack in waiting.pop(entry.seq, ()):
            as_told = stands.get(ack.workflow or "", (None, None)) == (ack.digest, ack.standing)
            if ack.hash != entry.hash or not as_told:
                lost.append(f"lost: entry {ack.seq} is not what was acknowledged ({ack.note})")
    lost += [f"lost: there is no entry {seq}, which was acknowledged" for seq in waiting]
    for workflow in rows.all():
        if stands.pop(workflow.id, None) != (fingerprint(body_of(workflow)), standing_of(workflow)):
            lost.append(f"lost: workflow {workflow.id} does not stand as the log says")
    return lost + [f"lost: workflow {id} is not there" for id in stands]


def holds(path: Path, wanted: Mapping[str, Workflow], tally: Tally) -> None:
    """Checks that a file holds these workflows and no others."""
    with tally.intact(), SqliteStore(path) as store:
        store.check()
        found = {workflow.id: workflow for workflow in store.all()}
        lost = sum(found.get(id) != workflow for id, workflow in wanted.items())
        tally.counts["lost"] += lost
        same = not lost and len(found) == len(wanted)
        tally.expect(same, f"{path.name} holds other workflows")


def state_of(store: Store) -> set[bytes]:
    """All workflows, with how they stand."""
    return {encode(workflow) for workflow in store.all()}


def is_one_of(path: Path, states: Sequence[set[bytes]], tally: Tally) -> None:
    """Checks that a file holds the workflows of one of these states, and none of another."""
    with SqliteStore(path) as store:
        tally.expect(state_of(store) in states, f"{path.name} is in a state between two")


def is_earlier(file: Path, path: Path, tally: Tally, at_least: int) -> bool:
    """Whether a copy is whole and what the store was at some entry of its log."""
    try:
        with SqliteStore(file) as copy, SqliteStore(path) as store:
            copy.check()
            head = copy.read(head_of)
            same = store.read(lambda rows: rows.log.hash_at(head.seq)) == head.hash
    except StoreError as error:
        tally.broken.append(f"torn: {error}")
        return False
    tally.expect(same, f"{file.name} was never the state of the store")
    tally.expect(head.seq >= at_least, f"{file.name} lacks what was there before it was made")
    return same and head.seq >= at_least


def head_of(rows: Rows) -> Head:
    """How the log ends."""
    return rows.log.head()


def chain(store: Store) -> Mapping[int, str]:
    """The hashes of the log's entries. Equal hashes: equal histories."""
    return store.read(lambda rows: {entry.seq: entry.hash for entry in rows.log.entries()})
