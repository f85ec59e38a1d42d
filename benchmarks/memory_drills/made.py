"""What is remembered: episodes and their workflows, always the same for a seed."""

from __future__ import annotations

import random
import zlib

import numpy as np
from msgspec.structs import replace

from mia.memories.workflow.records import Vectors
from mia.memories.workflow.remember import Draft
from mia.memories.workflow.session import Row
from mia.types import (
    Episode,
    Question,
    Recollection,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
    Workflow,
    WorkflowStep,
)

DIMENSIONS = 96
EMBEDDER = "drill-96"
OPEN, TIGHT = "open", "tight"
"""Namespaces: one without a bound, and one that has to evict."""
STARTED = "2026-01-01T00:00:00.000+00:00"


def unit(*seed: int) -> Row:
    """A vector of length 1, always the same for a seed."""
    row = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return (row / np.linalg.norm(row)).astype(np.float32)


def vectors_of(name: str, way: int, captioned: bool = False) -> Vectors:
    """What a way is found by."""
    place = zlib.crc32(name.encode())
    caption = unit(place, way, 3) if captioned else None
    return Vectors(unit(place, way, 1), unit(place, way, 2), caption)


def made(
    luck: random.Random, name: str, number: int, namespace: str, found: Recollection
) -> tuple[Episode, Draft]:
    """An episode and the workflow in it. Every third goes a way that was gone before, so that
    some are merged and some replaced."""
    way = luck.randrange(number + 1) if number % 3 == 2 else number
    won, captioned = luck.random() < 0.7, way % 5 == 0
    asked = Question(
        text=f"Who {name} thing {number} of way {way}?",
        id=f"{name}-{number}",
        caption=f"a thing of way {way}" if captioned else None,
    )
    verdict = Verdict(
        value=VerdictValue.CORRECT if won else VerdictValue.INCORRECT, judge="exact_match"
    )
    trajectory = Trajectory(turns=(Turn(answer="Ann Lee"),), outcome="answered")
    episode = Episode(
        id=f"{name}-{number}", question=asked, recollection=found, trajectory=trajectory,
        verdict=verdict, started=STARTED,
    )  # fmt: skip
    workflow = workflow_of(luck, episode, namespace, f"{name} {way}")
    return episode, Draft(workflow, vectors_of(name, way, captioned))


def workflow_of(luck: random.Random, episode: Episode, namespace: str, way: str) -> Workflow:
    """The workflow of an episode; its length is left to luck, so that a later one may be better."""
    asked, won = episode.question, episode.verdict.value is VerdictValue.CORRECT
    step = WorkflowStep(
        tool="search", purpose="find who made it", query=f"who made [A] {way}", yielded="a person"
    )
    return Workflow(
        id=f"w-{episode.id}", namespace=namespace, question=asked.text,
        question_template=f"Who {way} [A]?", category=luck.choice(("human", "time", "location")),
        steps=(step,) * luck.randint(1, 4), summary=" ".join(["so"] * luck.randint(5, 150)),
        plan=f"#1 Who {way} [A]?\nanswer #1", outcome="success" if won else "failure",
        verdict_kind="exact_match", confidence=1.0, caption=asked.caption, modality=asked.modality,
        lesson="" if won else luck.choice(("it went wrong at #1", "it went wrong")),
        question_id=asked.id, created=STARTED, source_episode=episode.id,
        source_domains=(f"{luck.choice('abcdef')}.example",),
        parents=tuple(item.workflow.id for item in episode.recollection.successes),
    )  # fmt: skip


def some(luck: random.Random, count: int) -> list[Workflow]:
    """Workflows that were used."""
    items: list[Workflow] = []
    for number in range(count):
        _, draft = made(luck, "some", number, OPEN, Recollection())
        uses = luck.randrange(5)
        items.append(replace(draft.workflow, uses=uses, wins=luck.randint(0, uses)))
    return items
