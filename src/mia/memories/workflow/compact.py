"""Tidies a namespace up: near-duplicates that came in by other doors (imports, several machines)
are merged, and what does not fit into the capacity goes."""

from __future__ import annotations

from mia.memories.workflow.bounds import Evicted
from mia.memories.workflow.consolidate import NEAR, better
from mia.memories.workflow.remember import Keeping, likeness, make_room
from mia.memories.workflow.rows import Rows
from mia.types import Noun, Workflow


class Merged(Noun, frozen=True):
    """One workflow that another one took in."""

    id: str
    into: str


class Compacted(Noun, frozen=True):
    """What tidying up did."""

    before: int
    after: int
    merged: tuple[Merged, ...]
    evicted: tuple[Evicted, ...]


def compact(rows: Rows, keeping: Keeping) -> Compacted:
    """Merges and evicts, in the caller's transaction. Only workflows that have vectors are
    compared; the others are embedded at the next recall."""
    before = rows.count(keeping.namespace)
    merged: list[Merged] = []
    gone: set[str] = set()
    for workflow in list(rows.all(keeping.namespace))[::-1]:
        if workflow.id in gone:
            continue
        for loser, keeper in _pairs(rows, workflow, keeping):
            _merge(rows, loser, keeper)
            merged.append(Merged(id=loser.id, into=keeper.id))
            gone.add(loser.id)
            if loser.id == workflow.id:
                break
    evicted = make_room(rows, keeping)
    return Compacted(
        before=before,
        after=rows.count(keeping.namespace),
        merged=tuple(merged),
        evicted=tuple(evicted),
    )


def _pairs(rows: Rows, workflow: Workflow, keeping: Keeping) -> list[tuple[Workflow, Workflow]]:
    """The near-duplicates of a workflow, each as who goes and who stays."""
    own = rows.vectors.of(workflow.id)
    if own is None:
        return []
    pairs: list[tuple[Workflow, Workflow]] = []
    for twin in list(rows.vectors.twins(workflow)):
        other = rows.get(twin.id)
        if other is None or other.id == workflow.id or other.trust != workflow.trust:
            continue
        if likeness(own, twin.vectors, keeping.weights) >= NEAR:
            pairs.append((workflow, other) if better(other, workflow) else (other, workflow))
    return pairs


def _merge(rows: Rows, loser: Workflow, keeper: Workflow) -> None:
    """Gives one workflow's episodes and counters to another, and removes it."""
    for source in rows.sources(loser.id):
        rows.merge(keeper.id, source, f"merged from {loser.id}")
    columns = rows.columns(keeper.id)
    if columns is not None:
        used = max(columns.used or "", loser.used or "") or None
        uses, wins = columns.uses + loser.uses, columns.wins + loser.wins
        counted = columns._replace(uses=uses, wins=wins, used=used)
        rows.stand(counted, "recount", f"merged with {loser.id}")
    rows.delete(loser.id, reason=f"merged into {keeper.id}")
