"""What MIA itself costs beside the models it waits for.

    python benchmarks/overhead.py

A stub model answers every call in 200 ms, in this process. 64 questions at concurrency 16 go the
whole way (recall, plan, act, reflect, judge, journal, remember); throughput is compared with the
ideal one, in which nothing but the model takes time, and the process's own CPU time is divided by
the calls. Then the harness of evaluations: 1,000 questions at concurrency 16 to a model that
answers at once, with no memory and with one that grows. Then the start of the command line: median
of 10 fresh processes.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mia.captioners.none import Blind
from mia.demo import world
from mia.evaluate import Arm, Contestant, Evaluation, Folder, evaluate
from mia.executors.react.loop import React
from mia.journal import Journal, RunRecord
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoMemory
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.memory import Memory
from mia.model import GREEDY, Message, Reply, Sampling, Shape, ToolSpec
from mia.planners.conversational import Conversational
from mia.search.bm25 import BM25, build
from mia.solve import Team, solve
from mia.testing.models import ToyEmbedder
from mia.tools.text_search import TextSearch
from mia.types import Question, ToolCall, Usage

LATENCY = 0.2
EVALUATED = 1000
QUESTIONS = 64
CONCURRENCY = 16
STARTS = 10


class Stub:
    """Answers anything sensibly after a while: searches once, then answers."""

    def __init__(self, latency: float = LATENCY) -> None:
        self.calls = 0
        self._latency = latency

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        self.calls += 1
        await asyncio.sleep(self._latency)
        usage = Usage(calls=1, prompt_tokens=500, completion_tokens=50, seconds=self._latency)
        if shape is not None:
            return Reply(text='{"goal_met": true, "reason": "answered"}', usage=usage)
        if not tools:
            return Reply(text="1. Search for the subject.\n2. Answer.", usage=usage)
        if any(message.role == "tool" for message in messages):
            return Reply(text="<answer>Cairo</answer>", usage=usage)
        call = ToolCall(name="search", arguments={"query_list": ["Cairo"]}, id="1")
        return Reply(text="", calls=(call,), usage=usage)


async def throughput(folder: Path) -> None:
    """Prints the share of the ideal throughput, and CPU time a call."""
    build(world.passages(), folder / "index")
    search, model = BM25(folder / "index"), Stub()
    journal, store = Journal(folder / "journal.db"), SqliteStore(folder / "memory.db")
    team = Team(
        captioner=Blind(),
        memory=WorkflowMemory(store, ToyEmbedder()),
        planner=Conversational(model),
        executor=React(model, lambda _, __: (TextSearch(search),)),
        judge=ExactMatch(),
        record=journal.open_run("overhead", ""),
    )
    asked = [
        Question(text=f"Where was the author of book {n} born?", id=str(n), answers=("Cairo",))
        for n in range(QUESTIONS)
    ]
    slots = asyncio.Semaphore(CONCURRENCY)

    async def one(question: Question) -> None:
        async with slots:
            episode = await solve(question, team)
            assert episode.answer == "Cairo", episode.final

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(one, asked))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    ideal = model.calls * LATENCY / CONCURRENCY
    print(f"questions {QUESTIONS}, concurrency {CONCURRENCY}, model calls {model.calls}")
    print(f"took {took:.2f} s, ideal {ideal:.2f} s: {ideal / took:.1%} of the ideal throughput")
    print(f"own CPU a model call: {1000 * cpu / model.calls:.2f} ms")
    journal.close()
    store.close()


def harness(folder: Path) -> None:
    """Prints how long evaluations take beside their models."""
    build(world.passages(), folder / "index")
    search, model = BM25(folder / "index"), Stub(0.0)
    asked = [
        Question(text=f"Where was the author of book {n} born?", id=str(n), answers=("Cairo",))
        for n in range(EVALUATED)
    ]
    store = SqliteStore(folder / "memory.db")
    memories: dict[str, Memory] = {"none": NoMemory(), "mia": WorkflowMemory(store, ToyEmbedder())}

    def field(arm: Arm, record: RunRecord) -> Contestant:
        team = Team(
            captioner=Blind(),
            memory=memories[arm.method],
            planner=Conversational(model),
            executor=React(model, lambda _, __: (TextSearch(search),)),
            judge=ExactMatch(),
            record=record,
        )
        grows = arm.method != "none"
        return Contestant(team=team, frozen=team, grows=grows, size=lambda: None)

    for method in memories:
        arm = Arm(method=method, seed=0, run=method, order=tuple(each.id for each in asked))
        about = Evaluation(
            name=method, data="stub", digest="", arms=(arm,), judge="exact", settings="",
            machine="", started="", version="",
        )  # fmt: skip
        place = Folder(folder / method)
        place.begin(about, asked)
        journal = place.journal()
        began = time.perf_counter()
        asyncio.run(
            evaluate(
                about, asked, field, place, journal,
                concurrency=CONCURRENCY, answered=lambda arm, entry: True,
            )
        )  # fmt: skip
        took = time.perf_counter() - began
        journal.close()
        (done,) = place.results().arms
        assert len(done.entries) == EVALUATED
        print(
            f"evaluation of {EVALUATED:,} questions, memory {method}: {took:.1f} s, "
            f"{1000 * took / EVALUATED:.1f} ms each"
        )
    store.close()


def starts() -> None:
    """Prints how long the command line and the import take to begin."""
    for name, command in (
        ("mia --help", [sys.executable, "-m", "mia", "--help"]),
        ("import mia", [sys.executable, "-c", "import mia"]),
        ("python -c pass", [sys.executable, "-c", "pass"]),
    ):
        times = []
        for _ in range(STARTS):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        low, high = min(times), max(times)
        print(f"{name}: median {statistics.median(times):.2f} s ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(throughput(Path(place) / "throughput"))
        harness(Path(place) / "harness")
    starts()
