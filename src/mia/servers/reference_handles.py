"""Integers for workflows, as the published protocol names them.

The published service calls a workflow by its place in a list, which changes under its clients. A
handle is the number of the log's entry that brought the workflow. The log is kept in the store and
only grows, so handles need no place of their own, survive a restart, are the same for all servers
of one store, and are never given to another workflow: what was forgotten keeps its entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mia.errors import InputError
from mia.memories.workflow.log import TEXTS
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Store
from mia.types import Recalled, Recollection


def handles(store: Store, found: Sequence[Recalled]) -> tuple[int, ...]:
    """The handles of what was recalled; without those that are gone since."""

    def job(rows: Rows) -> tuple[int, ...]:
        columns = (rows.columns(item.workflow.id) for item in found)
        return tuple(known.seq for known in columns if known is not None)

    return store.read(job)


def recalled(store: Store, namespace: str, used: Iterable[int]) -> Recollection:
    """The workflows of handles, for credit: those that are gone have none to get. Raises InputError
    for a number that no workflow of the namespace was ever called by."""

    def job(rows: Rows) -> Recollection:
        ids = dict.fromkeys(_id(rows, namespace, handle) for handle in used)
        known = [workflow for workflow in map(rows.get, ids) if workflow is not None]
        items = [
            Recalled(workflow=workflow, score=0.0, similarity=0.0, value=0.0, frequency=0.0)
            for workflow in known
        ]
        return Recollection(
            successes=tuple(item for item in items if item.workflow.outcome == "success"),
            failures=tuple(item for item in items if item.workflow.outcome == "failure"),
        )

    return store.read(job)


def _id(rows: Rows, namespace: str, handle: int) -> str:
    entry = next(rows.log.entries(after=handle - 1, upto=handle), None)
    if entry is None or entry.workflow is None or entry.action not in TEXTS:
        raise InputError(f"{handle} is no index that this service gave")
    if entry.namespace != namespace:
        raise InputError(f"{handle} is no index that this service gave")
    return entry.workflow
