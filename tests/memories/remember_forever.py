"""A process for the kill tests: remembers one episode after another and prints each once it is
acknowledged. Arguments: the store's file, a name for its episodes, how many (0: without end)."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from msgspec.structs import replace

from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.sqlite import SqliteStore
from mia.planner import parse_plan
from mia.testing.models import ToyEmbedder
from mia.types import (
    Episode,
    Observation,
    Passage,
    Question,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)


def _episode(name: str, number: int) -> Episode:
    """Every third one goes the way of the one before, so that some are merged."""
    way = "".join(chr(97 + int(digit)) for digit in str(number - (number % 3 == 2)))
    plan = parse_plan(f"#1 Who {name}{way} [Thing {number}]?\nanswer #1")
    passage = Passage(id="p", title="Thing", text=f"Thing {number} is by Ann Lee.")
    turn = Turn(
        thought=f"Who {name}{way} Thing {number}?",
        call=ToolCall(name="search", arguments={"query_list": ["Thing"]}),
        observation=Observation(text=passage.text, passages=(passage,)),
        found="Ann Lee",
    )
    right = number % 4 > 0
    return Episode(
        id=f"{name}-{number}",
        question=Question(text=f"Who {name}{way} Thing {number}?", id=f"{name}-{number}"),
        plan=plan,
        trajectory=Trajectory(turns=(turn, Turn(answer="Ann Lee")), outcome="answered"),
        verdict=Verdict(
            value=VerdictValue.CORRECT if right else VerdictValue.INCORRECT, judge="exact_match"
        ),
        started="2026-01-01T00:00:00+00:00",
    )


async def _main(path: str, name: str, count: int) -> None:
    with SqliteStore(Path(path)) as store:
        memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(floor=0.0))
        for number in range(1, count + 1) if count else itertools.count(1):
            episode = _episode(name, number)
            recollection = await memory.recall(episode.question)
            remembered = await memory.remember(replace(episode, recollection=recollection))
            print(episode.id, remembered.decision, remembered.workflow_id, flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
