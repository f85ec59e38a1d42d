"""MIA: WorkflowMemory over SqliteStore, with an embedder that hands out given vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from threading import local

import numpy as np
from benchmarks.memory_peers.store import Kept, Store
from benchmarks.memory_peers.world import ASKED, DIMENSIONS, NAMESPACES, Asked, Record, Vector
from benchmarks.memory_peers.written import KNOWN, NAMESPACE, credited, known_record, record

from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.records import Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.planner import parse_plan
from mia.types import (
    Episode,
    Observation,
    Passage,
    Question,
    Recalled,
    Recollection,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)


class Given:
    """An embedder that finds every text at the vector it was given."""

    name = "given-384"

    def __init__(self, vector: Vector) -> None:
        self.vector = vector

    async def embed(self, texts: Sequence[str]) -> Vector:
        """The vector for each text, zeros for an empty one."""
        return np.stack([self.vector if text else np.zeros_like(self.vector) for text in texts])


class Mia(Store):
    """Everything that a question or an episode goes through but the embedding. Two vectors a
    record, because it also knows questions as asked."""

    def __init__(self, folder: Path) -> None:
        self._store = SqliteStore(folder / "memory.sqlite")
        self._given = Given(np.zeros(DIMENSIONS, dtype=np.float32))
        self._memories = {n: WorkflowMemory(self._store, self._given, n) for n in NAMESPACES}
        self._of_thread = local()

    def add(self, records: Sequence[Record]) -> None:
        def job(rows: Rows) -> None:
            for each in records:
                # the question as asked is another text than its template
                vectors = Vectors(question=np.roll(each.vector, 1), template=each.vector)
                rows.put(each.workflow)
                rows.vectors.set(each.workflow.id, Given.name, vectors)

        self._store.write(job)

    def ask(self, asked: Asked) -> list[tuple[int, str]]:
        self._given.vector = asked.vector
        question = Question(text=ASKED[asked.category], id="asked")
        recall = self._memories[asked.namespace].recall(question)
        found = self._loop.run_until_complete(recall)
        items = [item.workflow for item in (*found.successes, *found.failures)]
        return [(int(item.id[1:]), item.plan) for item in items]

    def remember(self, number: int, full: bool) -> None:
        assert full, "it knows nothing less"
        memory = WorkflowMemory(self._store, Given(record(number).vector), NAMESPACE)
        remembered = self._loop.run_until_complete(memory.remember(_episode(number)))
        assert remembered.decision == "stored", remembered

    def kept(self, numbers: Sequence[int]) -> Kept:
        """Counts what has both its workflow and the note of its episode, in a store whose log and
        checksums are right."""
        self._store.check()
        there = {workflow.source_episode for workflow in self._store.all(NAMESPACE)}
        decided = self._store.read(
            lambda rows: [rows.absorbed(NAMESPACE, _name(number)) for number in numbers]
        )
        noted = zip(map(_name, numbers), decided, strict=True)
        known = (self._store.get(record(number).workflow.id) for number in range(KNOWN))
        return Kept(
            there=sum(name in there and decision is not None for name, decision in noted),
            uses=sum(workflow.uses for workflow in known if workflow),
        )

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if not hasattr(self._of_thread, "loop"):
            self._of_thread.loop = asyncio.new_event_loop()
        return self._of_thread.loop


def _episode(number: int) -> Episode:
    """A run of two lookups whose way no other run went, for which three workflows were recalled."""
    way = "".join(chr(97 + int(digit)) for digit in str(number))
    plan = parse_plan(f"#1 Who {way} [Thing {number}]?\n#2 When was #1 {way}ed?\nanswer #2")
    turns: list[Turn] = []
    for asked, found in (
        (f"Who {way} Thing {number}?", "Ann Lee"),
        (f"When was Ann Lee {way}ed?", "1946"),
    ):
        text = f"Thing {number} was made by Ann Lee, born in 1946. " * 5
        passage = Passage(id=f"p{number}", title=f"Thing {number}", text=text)
        turns.append(
            Turn(
                thought=asked,
                call=ToolCall(name="search", arguments={"query_list": [asked]}),
                observation=Observation(text=text, passages=(passage,)),
                found=found,
            )
        )
    known = (
        Recalled(
            workflow=known_record(at).workflow, score=0.9, similarity=0.9, value=0.5, frequency=1.0
        )
        for at in credited(number)
    )
    return Episode(
        id=_name(number),
        question=Question(
            text=f"When was who {way} Thing {number} {way}ed?", id=f"question-{number}"
        ),
        recollection=Recollection(successes=tuple(known)),
        plan=plan,
        trajectory=Trajectory(turns=(*turns, Turn(answer="1946")), outcome="answered"),
        verdict=Verdict(value=VerdictValue.CORRECT, judge="exact_match"),
        started="2026-01-01T00:00:00.000+00:00",
    )


def _name(number: int) -> str:
    return f"episode-{number}"
