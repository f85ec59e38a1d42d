"""Who remembers."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.crew import Voice, heard, together
from benchmarks.memory_drills.made import EMBEDDER, OPEN, TIGHT, made, vectors_of
from benchmarks.memory_drills.tally import Ack

from mia.memories.workflow.records import Vectors, body_of, fingerprint, standing_of
from mia.memories.workflow.remember import Draft, Keeping, absorb
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Query, Store
from mia.memory import Weights
from mia.types import Episode, Recalled, Recollection

CAPACITY = 25
"""Of the namespace that has to evict."""


def recalled(store: Store, namespace: str, vectors: Vectors, limit: int = 2) -> Recollection:
    """The best successes, whatever they are about."""
    query = Query(
        namespace=namespace, modality="text", outcome="success", asked=vectors, weights=Weights(),
        floor=-2.0, limit=limit,
    )  # fmt: skip
    items: list[Recalled] = []
    for best in store.best(query):
        workflow = store.get(best.id)
        if workflow is not None:  # else somebody evicted it meanwhile
            item = Recalled(
                workflow=workflow, score=best.score, similarity=best.similarity, value=best.value,
                frequency=best.frequency,
            )  # fmt: skip
            items.append(item)
    return Recollection(successes=tuple(items))


def ack_of(rows: Rows, workflow: str | None = None, note: str = "") -> Ack:
    """What a job can say at its end, before it is durable."""
    head, kept = rows.log.head(), None if workflow is None else rows.get(workflow)
    digest = None if kept is None else fingerprint(body_of(kept))
    standing = None if kept is None else standing_of(kept)
    return Ack(
        seq=head.seq, hash=head.hash, workflow=workflow, digest=digest, standing=standing, note=note
    )


class Writer:
    """Remembers one episode after another, as `WorkflowMemory` does: recall, then one write. Now
    and then somebody distrusts or deletes a workflow."""

    def __init__(self, store: Store, name: str, luck: random.Random, namespace: str) -> None:
        capacity = CAPACITY if namespace == TIGHT else 0
        self._store, self._name, self._luck = store, name, luck
        self._keeping = Keeping(namespace=namespace, embedder=EMBEDDER, capacity=capacity)
        self._number = 0

    def step(self) -> Ack:
        """One write, durable once this returns."""
        luck, number, namespace = self._luck, self._number, self._keeping.namespace
        self._number += 1
        asked = vectors_of(self._name, luck.randrange(number + 1))
        found = recalled(self._store, namespace, asked)
        if found.successes and luck.random() < 0.1:
            return self._store.write(partial(self._tend, found.successes[0].workflow.id))
        episode, draft = made(luck, self._name, number, namespace, found)
        return self._store.write(partial(self._take, episode, draft))

    def _take(self, episode: Episode, draft: Draft, rows: Rows) -> Ack:
        remembered = absorb(rows, episode, draft, self._keeping)
        return ack_of(rows, remembered.workflow_id, remembered.decision)

    def _tend(self, id: str, rows: Rows) -> Ack:
        if self._luck.random() < 0.5:
            rows.delete(id, reason="a drill")
            return ack_of(rows, id, "deleted")
        rows.set_trust(id, "quarantined", "a drill")
        return ack_of(rows, id, "distrusted")


def write_on(path: Path, name: str, seed: int, threads: int, voice: Voice) -> None:
    """Remembers on several threads without end."""

    def one(number: int) -> None:
        namespace = TIGHT if number % 2 else OPEN
        writer = Writer(store, f"{name}t{number}", random.Random(seed + number), namespace)
        with heard(voice):
            while True:
                voice.say(writer.step())

    with SqliteStore(path) as store:
        together(partial(one, number) for number in range(threads))
