"""A process for the kill tests: evaluates three arms over real stores and prints every question
once it is answered. Arguments: the evaluation's folder, and how many questions an arm has."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from mia.captioners.none import Blind
from mia.evaluate import Arm, Contestant, Evaluation, Folder, evaluate, shuffled
from mia.executor import Watch, unwatched
from mia.journal import Entry, RunRecord
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoMemory
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.memory import Memory
from mia.planners.passthrough import Passthrough
from mia.solve import Record, Team
from mia.testing.models import ToyEmbedder
from mia.types import (
    Episode,
    Observation,
    Passage,
    Plan,
    Question,
    Recollection,
    Remembered,
    ToolCall,
    Trajectory,
    Turn,
)

WARM = 20


class Searching:
    """An executor that looks one thing up and knows."""

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        await asyncio.sleep(0.004)
        passage = Passage(id="p", title="Thing", text="It is by Ann Lee.")
        call = ToolCall(name="search", arguments={"query_list": [question.text]})
        seen = Observation(text=passage.text, passages=(passage,))
        turn = Turn(thought=question.text, call=call, observation=seen, found="Ann Lee")
        return Trajectory(turns=(turn, Turn(answer="Ann Lee")), outcome="answered")


class Shut:
    """Recalls only."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, question: Question) -> Recollection:
        return await self._memory.recall(question)

    async def remember(self, episode: Episode) -> Remembered:
        return Remembered(decision="ignored", reason="frozen")


def questions(count: int) -> tuple[Question, ...]:
    """Each of a way of its own, so that each is a workflow of its own."""
    ways = ("".join(chr(97 + int(digit)) for digit in f"{number:03}") for number in range(count))
    return tuple(
        Question(text=f"Who {way}ed the {way} of Thing {number}?", id=f"q{number}",
                 answers=("Ann Lee",) if number % 3 else ("Bob",))
        for number, way in enumerate(ways)
    )  # fmt: skip


def team(memory: Memory, record: Record) -> Team:
    return Team(
        captioner=Blind(), memory=memory, planner=Passthrough(), executor=Searching(),
        judge=ExactMatch(), record=record,
    )  # fmt: skip


def evaluation(count: int) -> Evaluation:
    ids = [question.id for question in questions(count)]
    order = shuffled(ids, 7)
    arms = (
        Arm(method="grows", seed=7, run="grows", order=order),
        Arm(method="none", seed=7, run="none", order=order),
        Arm(method="warm", seed=7, run="warm", order=order, warm=WARM),
    )
    return Evaluation(
        name="drill", data="things", digest="0", arms=arms, judge="exact", settings="{}",
        machine="", started="", version="0",
    )  # fmt: skip


def main(path: Path, count: int) -> None:
    folder = Folder(path)
    if not folder.begun:
        folder.begin(evaluation(count), questions(count))
    journal = folder.journal()

    def field(arm: Arm, record: RunRecord) -> Contestant:
        if arm.method == "none":
            nobody = team(NoMemory(), record)
            return Contestant(team=nobody, frozen=nobody, grows=False, size=lambda: None)
        memory = WorkflowMemory(SqliteStore(folder.memories / f"{arm.run}.db"), ToyEmbedder())
        return Contestant(
            team=team(memory, record), frozen=team(Shut(memory), record), grows=True,
            size=lambda: None,
        )  # fmt: skip

    def answered(arm: Arm, entry: Entry) -> bool:
        print(f"{arm.run} {entry.episode.question.id} {entry.episode.id}", flush=True)
        return True

    asyncio.run(
        evaluate(
            folder.head(), questions(count), field, folder, journal,
            concurrency=4, answered=answered,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
