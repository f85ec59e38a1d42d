"""Methods beside each other: the same questions in the same order, the same executor, tools, judge
and budget, and nothing but the memory and its way to the planner or executor between them.

An evaluation is a set of arms; an arm is one method over the questions in one order. Each arm is a
run of the journal, so what was killed goes on where it stopped, and nothing is asked twice.
"""

from __future__ import annotations

from typing import NamedTuple

from mia.journal import Entry
from mia.types import Noun, Question


class Arm(Noun, frozen=True):
    """One method over the questions in one order."""

    method: str
    seed: int
    """Of the order; all arms of a seed have the same."""
    run: str
    """Its name in the journal."""
    order: tuple[str, ...]
    """Question ids as they were asked."""
    warm: int | None = None
    """Questions after which memory stopped growing; None where it never did."""


class Evaluation(Noun, frozen=True):
    """What was compared with what, on what and how: the head of every report."""

    name: str
    data: str
    """What the questions are, for people."""
    digest: str
    """SHA-256 of the questions."""
    arms: tuple[Arm, ...]
    judge: str
    settings: str
    """What decides answers: models, search, budgets, as JSON."""
    machine: str
    started: str
    """ISO 8601, UTC."""
    version: str
    """Of MIA."""


class Done(NamedTuple):
    """What came of one arm."""

    arm: Arm
    entries: tuple[Entry, ...]
    """In the order in which they were asked; fewer than the arm has where it is not at its end."""
    memories: int | None
    """Memories kept at its end; None where the method keeps none."""
    memory_bytes: int | None
    """What they take on the disk."""


class Results(NamedTuple):
    """All that reports and comparisons are made of."""

    evaluation: Evaluation
    questions: tuple[Question, ...]
    arms: tuple[Done, ...]
