"""A process for the kill tests: remembers one episode after another and prints each once it is
acknowledged. Arguments: the store's file, a name for its episodes, how many (0: without end), and
how many threads do so at once (1)."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
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

_PRINTING = threading.Lock()


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


def _opened(where: str) -> Store:
    return PostgresStore(where) if "://" in where else SqliteStore(Path(where))


async def _remember(store: Store, name: str, count: int) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=Rules(floor=0.0))
    for number in range(1, count + 1) if count else itertools.count(1):
        episode = _episode(name, number)
        recollection = await memory.recall(episode.question)
        remembered = await memory.remember(replace(episode, recollection=recollection))
        line = f"{episode.id} {remembered.decision} {remembered.workflow_id}\n"
        with _PRINTING:
            sys.stdout.write(line)
            sys.stdout.flush()


def _main(where: str, name: str, count: int, threads: int) -> None:
    names = [name if threads == 1 else f"{name}{chr(97 + thread)}" for thread in range(threads)]
    with _opened(where) as store, ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(asyncio.run, _remember(store, own, count)) for own in names]:
            done.result()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int((*sys.argv, "1")[4]))
