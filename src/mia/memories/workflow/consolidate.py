"""Which of two memories of the same kind is worth keeping. Pure.

Only workflows of one outcome are ever compared, so a success never yields to a failure, and
contradicting outcomes both stay.
"""

from __future__ import annotations

from mia.planner import refs
from mia.types import Workflow

NEAR = 0.95
"""Similarity of templates from which workflows with the same plan count as one: the same question
but for its names and a word or two."""


def better(new: Workflow, old: Workflow) -> bool:
    """Whether the newcomer should take the place of a near-duplicate of its outcome: the shorter
    success, the failure whose lesson names the step that went wrong."""
    if new.outcome == "success":
        return _length(new) < _length(old)
    return bool(refs(new.lesson)) and not refs(old.lesson)


def _length(workflow: Workflow) -> tuple[int, int]:
    return len(workflow.steps), len(workflow.summary.split())
