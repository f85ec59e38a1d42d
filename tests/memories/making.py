"""Workflows, vectors and queries for the tests of the store."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from mia.memories.workflow.records import Outcome, Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.store import Own, Query, Store
from mia.memory import Weights
from mia.types import Workflow, WorkflowStep

DIMENSIONS = 8
EMBEDDER = "toy-8"


def a_workflow(id: str = "w1", **changed: Any) -> Workflow:
    """A small workflow; its texts tell its id."""
    workflow = Workflow(
        id=id,
        namespace="default",
        question=f"When was the director of film {id} born?",
        question_template="When was the director of film [A] born?",
        category="time",
        steps=(WorkflowStep(tool="search", purpose="find it", query="[A]", yielded="a date"),),
        summary=f"summary of {id}",
        plan=f"#1 plan of {id}\nanswer #1",
        outcome="success",
        verdict_kind="exact_match",
        confidence=1.0,
        question_id=f"question of {id}",
        created="2026-01-01T00:00:00.000+00:00",
        source_episode=f"episode of {id}",
        source_domains=("wiki.example",),
    )
    return replace(workflow, **changed)


def vector(*numbers: float) -> np.ndarray:
    """A unit vector that begins with these numbers."""
    row = np.zeros(DIMENSIONS)
    row[: len(numbers)] = numbers
    return (row / np.linalg.norm(row)).astype(np.float32)


def found_by(*numbers: float, caption: tuple[float, ...] | None = None) -> Vectors:
    """Vectors, the same for the question and its template."""
    row = vector(*numbers)
    return Vectors(row, row, None if caption is None else vector(*caption))


def keep(store: Store, workflow: Workflow, vectors: Vectors | None = None) -> Workflow:
    """Puts a workflow with its vectors."""

    def job(rows: Rows) -> None:
        rows.put(workflow)
        rows.vectors.set(workflow.id, EMBEDDER, vectors or found_by(1))

    store.write(job)
    return workflow


def credit(store: Store, id: str, won: bool = True, at: str = "2026-02-02") -> None:
    """Counts one use."""
    store.write(lambda rows: rows.credit(id, won, at))


def a_query(
    *numbers: float,
    namespace: str = "default",
    outcome: Outcome = "success",
    limit: int = 10,
    floor: float = -1.0,
    category: str | None = None,
    without: Own | None = None,
    modality: str = "text",
    caption: tuple[float, ...] | None = None,
    weights: Weights | None = None,
) -> Query:
    """What recall would ask for."""
    return Query(
        namespace=namespace,
        modality=modality,
        outcome=outcome,
        asked=found_by(*numbers, caption=caption),
        weights=weights or Weights(),
        floor=floor,
        limit=limit,
        category=category,
        without=without,
    )


def ids(store: Store, query: Query) -> list[str]:
    """What is best, in order."""
    return [item.id for item in store.best(query)]
