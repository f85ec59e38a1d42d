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
from pathlib import Path

import numpy as np

from mia.captioners.none import Blind
from mia.config import load as load_settings
from mia.datasets.jsonl import load
from mia.executors.stepwise.executor import Stepwise
from mia.executors.stepwise.rules import RuleReader
from mia.intervals import wilson
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
EPISODES, CAPACITY, TIGHT, PROBES = 5_000, 500, 60, 400
CLEAN, PLANTED = 100, 10
RECALLS = 10_000
SYLLABLES = "ba ke lo mi nu ra se ti vo zu dan fel gor hin jas kol mar nes pol rik".split()


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


async def family(embedder: Embedder, data: Path, folder: Path) -> None:
    questions = {q.id: q for q in load(data / "dev/2wikimultihopqa.jsonl")}
    lines = (data / "streams/2wiki_dev_interleaved.jsonl").read_text(encoding="utf-8").splitlines()
    stream = [json.loads(line) for line in lines]
    families = {row["id"]: row["family"] for row in stream}
    index = folder / "index"
    build(passages(data / "corpus/corpus.jsonl"), index, source="corpus")
    with SqliteStore(folder / "family.db") as store:
        memory = WorkflowMemory(store, embedder)
        team = Team(
            captioner=Blind(),
            memory=memory, planner=ProcedurePlanner(), judge=ExactMatch(), record=MemoryRecord(),
            executor=Stepwise(RuleReader(), [TextSearch(BM25(index), 5)]),
        )  # fmt: skip
        luck = random.Random(0)
        past: list[tuple[str, np.ndarray]] = []
        hits = dict.fromkeys(("memory", "cosine", "chance"), 0)
        places = possible = 0
        for row in stream:
            question, wanted = questions[row["id"]], row["family"]
            episode = await solve(question, team)
            top = [families[r.workflow.question_id] for r in episode.recollection.successes]
            (asked,) = await embedder.embed([question.text])
            if top and any(f == wanted for f, _ in past):
                possible += 1
                places += len(top)
                near = sorted(past, key=lambda item: -float(item[1] @ asked))[: len(top)]
                hits["memory"] += sum(f == wanted for f in top)
                hits["cosine"] += sum(f == wanted for f, _ in near)
                hits["chance"] += sum(f == wanted for f, _ in luck.choices(past, k=len(top)))
            if episode.verdict.value is VerdictValue.CORRECT:
                past.append((wanted, asked))
        print(
            f"\nfamily: {possible} of {len(stream)} questions had a success of their family behind"
        )
        print("them and were shown something; of the successes shown, of the question's family:")
        for arm, count in hits.items():
            print(f"  {arm:8} {share(count, places)}")
        print(f"  the store holds {store.count()} workflows")


async def recall_at_2(memory: WorkflowMemory, seed: int) -> tuple[int, int]:
    """Probes with at least one success of their family among the two shown, and all shown right."""
    luck = random.Random(seed)
    at_least_one = all_right = 0
    for number in range(PROBES):
        wanted = luck.choice(list(FAMILIES))
        probe = made(luck, 10**6 + number, wanted).question
        shown = [family_of(r) for r in (await memory.recall(probe)).successes]
        at_least_one += wanted in shown
        all_right += bool(shown) and all(f == wanted for f in shown)
    return at_least_one, all_right


async def growth(embedder: Embedder, folder: Path) -> None:
    print(f"\ngrowth: {EPISODES} episodes over {len(FAMILIES)} procedures, {PROBES} probes after")
    for label, capacity in (
        ("unbounded", 0),
        (f"at most {CAPACITY}", CAPACITY),
        (f"at most {TIGHT}", TIGHT),
    ):
        luck = random.Random(1)
        with SqliteStore(folder / f"growth{capacity}.db") as store:
            memory = WorkflowMemory(store, embedder, capacity=capacity)
            largest = 0
            for number in range(EPISODES):
                wanted = luck.choice(list(FAMILIES))
                await memory.remember(made(luck, number, wanted, won=luck.random() < 0.7))
                if number % 50 == 0:
                    largest = max(largest, store.count())
            one, both = await recall_at_2(memory, 2)
            largest = max(largest, store.count())
            print(f"  {label:12} workflows {store.count():4}, never more than {largest}")
            print(f"    right family among the two shown {share(one, PROBES)}")
            print(f"    all shown of the right family    {share(both, PROBES)}")


async def poisoning(embedder: Embedder, folder: Path) -> None:
    print(
        f"\npoisoning: {PLANTED} planted of {CLEAN + PLANTED} episodes, judged by a model that was"
        " taken in"
    )
    for mode in (False, True):
        luck = random.Random(3)
        with SqliteStore(folder / f"poison{mode}.db") as store:
            memory = WorkflowMemory(store, embedder, rules=Rules(trust_mode=mode))
            targets = list(FAMILIES)[:PLANTED]
            for number in range(CLEAN):
                await memory.remember(
                    made(luck, number, luck.choice(list(FAMILIES)), domain=f"site{number}.example")
                )
            for number, target in enumerate(targets):
                fake = made(luck, 1000 + number, target, judge="panel", domain="planted.example")
                await memory.remember(fake)
            shown = planted = 0
            for number in range(PROBES):
                probe = made(luck, 5000 + number, luck.choice(targets)).question
                found = (await memory.recall(probe)).successes
                shown += len(found)
                planted += sum("planted.example" in r.workflow.source_domains for r in found)
            print(
                f"  trust mode {'on ' if mode else 'off'}: planted {share(planted, shown)} recalled"
            )


async def isolation(embedder: Embedder, folder: Path) -> None:
    with SqliteStore(folder / "isolation.db") as store:
        memories = {ns: WorkflowMemory(store, embedder, namespace=ns) for ns in ("left", "right")}
        luck = random.Random(4)
        for number in range(400):
            side = luck.choice(list(memories))
            await memories[side].remember(made(luck, number, luck.choice(list(FAMILIES))))
        crossed = returned = 0
        for number in range(RECALLS):
            side = luck.choice(list(memories))
            probe = made(luck, 10**5 + number % 500, luck.choice(list(FAMILIES))).question
            found = await memories[side].recall(probe)
            for recalled in (*found.successes, *found.failures):
                returned += 1
                crossed += recalled.workflow.namespace != side
        print(
            f"\nisolation: {RECALLS} recalls in two namespaces returned {returned} workflows,"
            f" {crossed} of the other's"
        )


def chosen(parts: str) -> Iterator[str]:
    for part in parts.split(","):
        if part not in PARTS:
            sys.exit(f"no part {part!r}; there are {', '.join(PARTS)}")
        yield part


async def run(options: argparse.Namespace) -> None:
    embedder = Kept(MiniLM(place(load_settings().settings.folder, known("minilm")).parent))
    with tempfile.TemporaryDirectory() as folder:
        for part in chosen(options.parts):
            if part == "family":
                if options.data is None:
                    sys.exit("family needs --data, the folder of real questions")
                await family(embedder, options.data, Path(folder))
            else:
                parts = {"growth": growth, "poisoning": poisoning, "isolation": isolation}
                await parts[part](embedder, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
