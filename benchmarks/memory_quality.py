"""Does memory bring up the right experience, in bounds, and only trusted experience?

    python benchmarks/memory_quality.py --data ../shared/data            # all four parts
    python benchmarks/memory_quality.py --parts growth,poisoning,isolation

family     the 2Wiki stream (200 questions, recurring procedures), solved by the rules so that
           no model is needed: how often the successes recalled are of the question's own family,
           beside plain cosine over the questions as asked and beside chance
growth     5,000 episodes over 40 procedures: a memory bounded to 500 workflows (and to 60, so that
           the bound bites) beside an unbounded one
poisoning  100 clean workflows and 10 planted ones (MemoryGraft's form: fake successes, worded like
           the questions that will come): the planted share of what is recalled, trust mode off, on
isolation  two namespaces in one store, 10,000 random recalls: how many see the other's workflows

Embeddings are MiniLM's (mia models get minilm).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mia.captioners.none import Blind
from mia.config import load as load_settings
from mia.datasets.jsonl import load
from mia.executors.stepwise.executor import Stepwise
from mia.executors.stepwise.rules import RuleReader
from mia.judges.exact_match import ExactMatch
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.sqlite import SqliteStore
from mia.model import Embedder
from mia.models.catalog import known, place
from mia.models.minilm import MiniLM
from mia.planner import parse_plan, plain
from mia.planners.procedures import ProcedurePlanner
from mia.planners.relations import ASK
from mia.search.bm25 import BM25, build
from mia.search.corpus import passages
from mia.solve import Team, solve
from mia.statistics import wilson
from mia.testing import MemoryRecord
from mia.tools.text_search import TextSearch
from mia.types import (
    Episode,
    Observation,
    Passage,
    Question,
    Recalled,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)

PARTS = ("family", "growth", "poisoning", "isolation")
FAMILIES = dict(list(ASK.items())[:40])
"""Forty relations, each with its wordings."""
SYLLABLES = "ba ke lo mi nu ra se ti vo zu dan fel gor hin jas kol mar nes pol rik".split()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is tried."""

    stream: int = 200
    """Questions of the stream."""
    episodes: int = 5_000
    bounds: tuple[int, ...] = (0, 500, 60)
    """Capacities to compare; 0 is unbounded."""
    probes: int = 400
    clean: int = 100
    planted: int = 10
    kept: int = 400
    """Workflows that two namespaces share the making of."""
    recalls: int = 10_000


@dataclass(frozen=True, slots=True)
class Family:
    """Of the successes shown, how many are of the question's own family, by arm."""

    hits: dict[str, int]
    shown: int
    questions: int
    """Those that had a success of their family behind them and were shown something."""
    workflows: int


@dataclass(frozen=True, slots=True)
class Grown:
    """A memory after many episodes."""

    capacity: int
    workflows: int
    largest: int
    one_right: int
    """Probes with a success of their family among the two shown."""
    all_right: int


class Kept:
    """An embedder that keeps what it has embedded: names change, wordings recur."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._rows: dict[str, np.ndarray] = {}

    async def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self._rows.update(zip(new, await self._embedder.embed(new), strict=True))
        return np.stack([self._rows[text] for text in texts])


def name(luck: random.Random) -> str:
    word = lambda: "".join(luck.choices(SYLLABLES, k=2)).capitalize()  # noqa: E731
    return f"{word()} {word()}"


def made(
    luck: random.Random, number: int, family: str, *, won: bool = True,
    judge: str = "exact_match", domain: str | None = None, found: str | None = None,
) -> Episode:  # fmt: skip
    """An episode of one lookup for a new name, in one of its family's wordings."""
    who, wording = name(luck), luck.choice(FAMILIES[family])
    plan = parse_plan(f"#1 {FAMILIES[family][0].format(f'[{who}]')}\nanswer #1")
    answer = found or name(luck)
    page = Passage(
        id=f"p{number}", title=who, text=f"{who}: {answer}.",
        url=f"https://{domain}/{number}" if domain else None,
    )  # fmt: skip
    asked = plain(plan.steps[0].text)
    turns = (
        Turn(
            thought=asked,
            call=ToolCall(name="search", arguments={"query_list": [asked]}),
            observation=Observation(text=page.text, passages=(page,)),
            found=answer,
        ),
        Turn(thought="answer #1", answer=answer),
    )
    value = VerdictValue.CORRECT if won else VerdictValue.INCORRECT
    return Episode(
        id=f"e{number}",
        question=Question(id=f"{family}#{number}", text=wording.format(who)),
        plan=plan,
        trajectory=Trajectory(turns=turns, outcome="answered"),
        verdict=Verdict(value=value, judge=judge),
        started="2026-11-22T00:00:00.000+00:00",
    )


def family_of(recalled: Recalled) -> str:
    return recalled.workflow.question_id.split("#")[0]


def share(hits: int, of: int) -> str:
    low, high = wilson(hits, of)
    return f"{hits / max(of, 1):.3f} ({low:.3f} to {high:.3f}) of {of}"


async def family(embedder: Embedder, data: Path, folder: Path, size: Size) -> Family:
    questions = {q.id: q for q in load(data / "dev/2wikimultihopqa.jsonl")}
    lines = (data / "streams/2wiki_dev_interleaved.jsonl").read_text(encoding="utf-8").splitlines()
    stream = [json.loads(line) for line in lines][: size.stream]
    families = {row["id"]: row["family"] for row in stream}
    index = folder / "index"
    build(passages(data / "corpus/corpus.jsonl"), index, source="corpus")
    with SqliteStore(folder / "family.db") as store:
        memory = WorkflowMemory(store, embedder)
        team = Team(
            captioner=Blind(), memory=memory, planner=ProcedurePlanner(), judge=ExactMatch(),
            executor=Stepwise(RuleReader(), [TextSearch(BM25(index), 5)]), record=MemoryRecord(),
        )  # fmt: skip
        luck = random.Random(0)
        past: list[tuple[str, np.ndarray]] = []
        hits = dict.fromkeys(("memory", "cosine", "chance"), 0)
        shown = possible = 0
        for row in stream:
            question, wanted = questions[row["id"]], row["family"]
            episode = await solve(question, team)
            top = [families[r.workflow.question_id] for r in episode.recollection.successes]
            (asked,) = await embedder.embed([question.text])
            if top and any(f == wanted for f, _ in past):
                possible += 1
                shown += len(top)
                near = sorted(past, key=lambda item: -float(item[1] @ asked))[: len(top)]
                hits["memory"] += sum(f == wanted for f in top)
                hits["cosine"] += sum(f == wanted for f, _ in near)
                hits["chance"] += sum(f == wanted for f, _ in luck.choices(past, k=len(top)))
            if episode.verdict.value is VerdictValue.CORRECT:
                past.append((wanted, asked))
        return Family(hits=hits, shown=shown, questions=possible, workflows=store.count())


async def growth(embedder: Embedder, folder: Path, size: Size) -> list[Grown]:
    return [await _grown(embedder, folder, size, capacity) for capacity in size.bounds]


async def _grown(embedder: Embedder, folder: Path, size: Size, capacity: int) -> Grown:
    luck = random.Random(1)
    with SqliteStore(folder / f"growth{capacity}.db") as store:
        memory = WorkflowMemory(store, embedder, capacity=capacity)
        largest = 0
        for number in range(size.episodes):
            wanted = luck.choice(list(FAMILIES))
            await memory.remember(made(luck, number, wanted, won=luck.random() < 0.7))
            if number % 50 == 0:
                largest = max(largest, store.count())
        largest = max(largest, store.count())
        luck = random.Random(2)
        one_right = all_right = 0
        for number in range(size.probes):
            wanted = luck.choice(list(FAMILIES))
            probe = made(luck, 10**6 + number, wanted).question
            shown = [family_of(r) for r in (await memory.recall(probe)).successes]
            one_right += wanted in shown
            all_right += bool(shown) and all(f == wanted for f in shown)
        return Grown(capacity, store.count(), largest, one_right, all_right)


async def poisoning(embedder: Embedder, folder: Path, size: Size, trust_mode: bool) -> list[bool]:
    """Of each workflow recalled, whether it was planted."""
    luck, targets = random.Random(3), list(FAMILIES)[: size.planted]
    with SqliteStore(folder / f"poison{trust_mode}.db") as store:
        memory = WorkflowMemory(store, embedder, rules=Rules(trust_mode=trust_mode))
        for number in range(size.clean):
            await memory.remember(
                made(luck, number, luck.choice(list(FAMILIES)), domain=f"site{number}.example")
            )
        for number, target in enumerate(targets):
            fake = made(luck, 1000 + number, target, judge="panel", domain="planted.example")
            await memory.remember(fake)
        recalled: list[Recalled] = []
        for number in range(size.probes):
            probe = made(luck, 5000 + number, luck.choice(targets)).question
            recalled += (await memory.recall(probe)).successes
    return ["planted.example" in item.workflow.source_domains for item in recalled]


async def isolation(embedder: Embedder, folder: Path, size: Size) -> list[bool]:
    """Of each workflow recalled, whether it is the other namespace's."""
    with SqliteStore(folder / "isolation.db") as store:
        memories = {ns: WorkflowMemory(store, embedder, namespace=ns) for ns in ("left", "right")}
        luck = random.Random(4)
        for number in range(size.kept):
            side = luck.choice(list(memories))
            await memories[side].remember(made(luck, number, luck.choice(list(FAMILIES))))
        crossed: list[bool] = []
        for number in range(size.recalls):
            side = luck.choice(list(memories))
            probe = made(luck, 10**5 + number % 500, luck.choice(list(FAMILIES))).question
            found = await memories[side].recall(probe)
            items = (*found.successes, *found.failures)
            crossed += [recalled.workflow.namespace != side for recalled in items]
    return crossed


async def report(part: str, embedder: Embedder, data: Path | None, folder: Path) -> None:
    size = Size()
    if part == "family":
        if data is None:
            sys.exit("family needs --data, the folder of real questions")
        told = await family(embedder, data, folder, size)
        print(
            f"\nfamily: {told.questions} of {size.stream} questions had a success of their family"
        )
        print("behind them and were shown something; of the successes shown, of their own family:")
        for arm, count in told.hits.items():
            print(f"  {arm:8} {share(count, told.shown)}")
        print(f"  the store holds {told.workflows} workflows")
    elif part == "growth":
        print(f"\ngrowth: {size.episodes} episodes over {len(FAMILIES)} procedures, then probes")
        for grown in await growth(embedder, folder, size):
            bound = f"at most {grown.capacity}" if grown.capacity else "unbounded"
            print(f"  {bound:12} workflows {grown.workflows:4}, never more than {grown.largest}")
            print(f"    right family among the two shown {share(grown.one_right, size.probes)}")
            print(f"    all shown of the right family    {share(grown.all_right, size.probes)}")
    elif part == "poisoning":
        print(
            f"\npoisoning: {size.planted} planted beside {size.clean}, judged by a model that was"
        )
        print("taken in; the planted share of what is recalled:")
        for mode in (False, True):
            planted = await poisoning(embedder, folder, size, mode)
            print(f"  trust mode {'on ' if mode else 'off'} {share(sum(planted), len(planted))}")
    else:
        crossed = await isolation(embedder, folder, size)
        print(f"\nisolation: {size.recalls} recalls in two namespaces returned {len(crossed)}")
        print(f"workflows, {sum(crossed)} of the other's")


def chosen(parts: str) -> Iterator[str]:
    for part in parts.split(","):
        if part not in PARTS:
            sys.exit(f"no part {part!r}; there are {', '.join(PARTS)}")
        yield part


async def run(options: argparse.Namespace) -> None:
    embedder = Kept(MiniLM(place(load_settings().settings.folder, known("minilm")).parent))
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen(options.parts):
            await report(part, embedder, options.data, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
