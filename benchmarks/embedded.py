"""How well the embedded default answers, beside its controls, on real multi-hop questions.

    python benchmarks/embedded.py --data ../shared/data                  # all sets, all arms
    python benchmarks/embedded.py --data ../shared/data --sets smoke --arms rules,loop
    python benchmarks/embedded.py --data ../shared/data --report         # only the table

Arms, all over the same questions in the same order:
  closed   the untrained model, no search
  oneshot  one BM25 search with the question, the trained reader over what it returns
  rules    the loop without a model: plans by phrasing, answers by pattern
  loop     the loop with both adapters, memory off
  memory   the loop with both adapters and a memory that starts empty and grows
Sets: smoke (20 questions, 400 passages), mini (200 of four data sets, 5,000 passages) and dev (a
seeded sample of 2WikiMultiHopQA dev over the full corpus of 49,856 passages).

Answers go to a journal under build/bench, one run for each arm and set, so an interrupted
benchmark goes on where it stopped. Beside others on the machine, times are not comparable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.config import load as load_settings
from mia.datasets.jsonl import load
from mia.executors.closed_book import ClosedBook
from mia.executors.stepwise.executor import Stepwise
from mia.executors.stepwise.reader import ModelReader
from mia.executors.stepwise.rules import RuleReader
from mia.journal import Journal, RunRecord
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoMemory
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.planners.procedures import ProcedurePlanner
from mia.planners.stepwise import StepwisePlanner, whole
from mia.solve import Team, solve
from mia.statistics import wilson
from mia.team import House
from mia.tools.text_search import TextSearch
from mia.types import (
    Episode,
    Plan,
    Question,
    Recollection,
    Reflection,
    Trajectory,
)

ARMS = ("closed", "oneshot", "rules", "loop", "memory")
SETS = ("smoke", "mini", "dev")
SEED = 0
ABOUT = "embedded benchmark"


@dataclass(frozen=True)
class QuestionSet:
    """Questions and what they are asked of."""

    name: str
    questions: tuple[Question, ...]
    source: dict[str, str]
    """Question id to the data set it comes from."""
    corpus: Path


def question_set(name: str, data: Path, size: int) -> QuestionSet:
    if name == "dev":
        path, corpus = data / "dev/2wikimultihopqa.jsonl", data / "corpus/corpus.jsonl"
    else:
        path, corpus = data / name / "questions.jsonl", data / name / "corpus.jsonl"
    questions = load(path)
    if name == "dev":
        questions = tuple(random.Random(SEED).sample(questions, min(size, len(questions))))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return QuestionSet(name, questions, {row["id"]: row["dataset"] for row in rows}, corpus)


class Whole:
    """A planner that only ever looks the whole question up."""

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        return whole(question)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        return Reflection(goal_met=True)

    async def replan(self, *_: object) -> Plan:
        raise AssertionError("nothing is ever replanned")


def team_of(arm: str, house: House, record: RunRecord, store: Path) -> Team:
    tools = [TextSearch(house.search, house.settings.search.passages)]
    engine = house.engines.engine
    reader = ModelReader(engine.role("reader")) if arm != "rules" else RuleReader()
    executor = ClosedBook(engine.role()) if arm == "closed" else Stepwise(reader, tools)
    planners = {"closed": Whole(), "oneshot": Whole(), "rules": ProcedurePlanner()}
    memory = NoMemory()
    if arm == "memory":
        memory = WorkflowMemory(SqliteStore(store), house.embedder)
    return Team(
        captioner=Blind(),
        memory=memory,
        planner=planners.get(arm) or StepwisePlanner(engine.role("planner")),
        executor=executor,
        judge=ExactMatch(),
        record=record,
    )


async def run(arm: str, asked: QuestionSet, house: House, journal: Journal, out: Path) -> None:
    """Answers what is not answered yet."""
    record = journal.open_run(f"{asked.name}-{arm}", ABOUT)
    done = {entry.episode.question.id for entry in record.entries()}
    left = [question for question in asked.questions if question.id not in done]
    if not left:
        return
    team = team_of(arm, house, record, out / f"{asked.name}-memory.db")
    for number, question in enumerate(left, len(done) + 1):
        await solve(question, team)
        if number % 10 == 0:
            print(f"{asked.name} {arm}: {number} of {len(asked.questions)}", flush=True)


def report(asked: QuestionSet, arms: list[str], journal: Journal) -> None:
    """A row for each arm, and below it one for each data set or kind of question."""
    print(f"\n## {asked.name} ({len(asked.questions)} questions)\n")
    print("| arm | n | EM | 95 % | F1 | abstained | calls | tokens | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    wanted = {question.id for question in asked.questions}
    for arm in arms:
        entries = journal.entries(f"{asked.name}-{arm}")
        episodes = [e.episode for e in entries if e.episode.question.id in wanted]
        print(row(arm, episodes))
        groups: dict[str, list[Episode]] = defaultdict(list)
        for episode in episodes:
            family = (episode.question.family or "").split(":")[0]
            source = asked.source[episode.question.id]
            groups[source if len(set(asked.source.values())) > 1 else family].append(episode)
        if len(groups) > 1:
            for name, part in sorted(groups.items()):
                print(row(f"  · {name or 'other'}", part))


def row(name: str, episodes: list[Episode]) -> str:
    n = max(1, len(episodes))
    right = sum(e.verdict.value == "correct" for e in episodes)
    low, high = wilson(right, len(episodes))
    return (
        f"| {name} | {len(episodes)} | {right / n:.3f} | {low:.3f}–{high:.3f} "
        f"| {sum(e.verdict.f1 or 0.0 for e in episodes) / n:.3f} "
        f"| {sum(e.answer is None for e in episodes)} "
        f"| {sum(e.usage.calls for e in episodes) / n:.1f} "
        f"| {sum(e.usage.tokens for e in episodes) / n:,.0f} "
        f"| {sum(e.seconds for e in episodes) / n:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--dev", type=int, default=160, help="questions of the dev sample")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="only print what is there")
    options = parser.parse_args()
    loaded = load_settings()
    settings = replace(loaded.settings, threads=options.threads)
    loaded = replace(loaded, settings=settings)
    arms = options.arms.split(",")
    journal = Journal(options.out / "journal.db")
    for name in options.sets.split(","):
        asked = question_set(name, options.data, options.dev)
        if not options.report:
            with House(loaded, corpus=asked.corpus, say=print) as house:
                for arm in arms:
                    asyncio.run(run(arm, asked, house, journal, options.out))
        report(asked, arms, journal)
    journal.close()


if __name__ == "__main__":
    main()
