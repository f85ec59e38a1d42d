"""What passed from memory into weights: workflows whose questions a policy solves without them.

After a policy has learned, some of the questions that it learned from are asked again, greedily and
with nothing recalled. A workflow all of whose questions that were asked so are solved is absorbed:
the version's record says so, and once the version is in use, memory lets the workflow stand behind
those that are still needed. It is taken back when the version is left behind.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mia.memories.workflow.store import Store
from mia.training.buffer import Outcome
from mia.training.exercises import Exercise
from mia.training.rollouts import Actor, group
from mia.training.versions import Shelf, Version
from mia.training.voting import unjudged
from mia.types import Question, VerdictValue


class Case(NamedTuple):
    """A question that was solved, and the workflow that memory keeps of how."""

    question: Question
    workflow: str
    """Its id."""


class Settled(NamedTuple):
    """What changed in memory."""

    demoted: int
    """Workflows that stand behind others from here on."""
    readmitted: int
    """Workflows that stand as they did before."""


def cases(outcomes: Iterable[Outcome], questions: Iterable[Question]) -> tuple[Case, ...]:
    """The successes that memory kept, with questions whose right answer is known; each once,
    however often it was asked."""
    asked = {question.id: question for question in questions if question.answers}
    kept = {(one.question, one.success) for one in outcomes if one.success is not None}
    return tuple(
        Case(asked[question], workflow) for question, workflow in sorted(kept) if question in asked
    )


def made(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """The workflows that came of outcomes, each once."""
    return tuple(dict.fromkeys(id for one in outcomes for id in one.workflows))


async def absorbed(actor: Actor, tried: Sequence[Case], limit: int, seed: str) -> tuple[str, ...]:
    """The workflows that a policy does without. Of more than `limit` cases so many are tried, drawn
    by a lot that depends on `seed`. Raises what an attempt raises."""
    lot = random.Random(f"absorb {seed}")
    drawn = lot.sample(list(tried), limit) if len(tried) > limit else list(tried)
    if not drawn:
        return ()
    groups = await group(
        actor._replace(reward=unjudged),
        [Exercise(question=case.question) for case in drawn],
        attempts=1,
        seed=f"absorb {seed}",
        temperature=0.0,
    )
    failed = {
        case.workflow
        for case, (one,) in zip(drawn, groups, strict=True)
        if one.rollout.episode.verdict.value is not VerdictValue.CORRECT
    }
    return tuple(dict.fromkeys(case.workflow for case in drawn if case.workflow not in failed))


def mark(store: Store, version: Version) -> int:
    """Lets what a version absorbed stand behind others; how many workflows did not before. A second
    time changes nothing. Raises StoreError."""
    return store.demote(version.absorbed, _called(version)) if version.absorbed else 0


def settle(store: Store, shelf: Shelf) -> Settled:
    """Brings memory in line with the version in use: what it and those it came from absorbed stands
    behind others, and what other versions did stands as before. A second time changes nothing, so
    whoever was killed in it does it again. Raises StoreError."""
    there = {version.number: version for version in shelf.versions()}
    line = _line(there, shelf.current())
    reason = f"{_called(line[0])} is in use" if line else f"no version of {shelf.role} is in use"
    left = [f"{shelf.role} {number}" for number in _left(shelf, there, line)]
    readmitted = store.readmit(left, reason)
    return Settled(sum(mark(store, version) for version in reversed(line)), readmitted)


def _called(version: Version) -> str:
    """What memory calls a version."""
    return f"{version.role} {version.number}"


def _line(there: dict[int, Version], version: Version | None) -> list[Version]:
    """A version and those that it came from, the newest first, as far as they are there."""
    line: list[Version] = []
    while version is not None and version not in line:
        line.append(version)
        version = there.get(version.parent)
    return line


def _left(shelf: Shelf, there: dict[int, Version], line: Sequence[Version]) -> list[int]:
    """The numbers that are left behind. Of a version that is not there any more it is not known
    what it led to: an older one is taken for what the one in use came from."""
    newest = line[0].number if line else 0
    known = {*there, *(move.number for move in shelf.history())}
    kept = {version.number for version in line}
    return [n for n in sorted(known - kept) if n in there or n > newest]
