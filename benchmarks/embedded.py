"""How well the embedded default answers, beside its controls, on real multi-hop questions.

    python benchmarks/embedded.py --data ../shared/data                  # all sets, all arms
    python benchmarks/embedded.py --data ../shared/data --sets smoke --arms rules,loop
    python benchmarks/embedded.py --data ../shared/data --report         # only the table
    python benchmarks/embedded.py --data ../shared/data --sets 2wikimultihopqa,hotpotqa --dev 300 \
        --arms closed,oneshot,rules,loop,loop@executor=1,memory@executor=1+planner=1

Arms, all over the same questions in the same order:
  closed   the untrained model, no search
  oneshot  one BM25 search with the question, the trained reader over what it returns
  rules    the loop without a model: plans by phrasing, answers by pattern
  loop     the loop with both adapters, memory off
  memory   the loop with both adapters and a memory that starts empty and grows
An arm with versions (`mia policy list`) speaks through them instead of the adapters that came with
MIA, and is compared with `loop`, question by question. Greedy calls are made once and shared by the
arms, so their seconds are those of the first that asked.
Sets: smoke (20 questions, 400 passages), mini (200 of four data sets, 5,000 passages), and a seeded
sample of 2wikimultihopqa, hotpotqa, musique or popqa (dev) over the full corpus of 49,856 passages;
dev is that of 2wikimultihopqa.

Answers go to a journal under build/bench, one run for each arm and set, so an interrupted
benchmark goes on where it stopped. Beside others on the machine, times are not comparable.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
from mia.models.shared import Replies
from mia.planners.procedures import ProcedurePlanner
from mia.planners.stepwise import StepwisePlanner, whole
from mia.solve import Team, solve
from mia.statistics import mcnemar, paired_bootstrap, wilson
from mia.team import House
from mia.tools.text_search import TextSearch
from mia.training.versions import Role
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
SMALL = ("smoke", "mini")
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
    if name in SMALL:
        path, corpus = data / name / "questions.jsonl", data / name / "corpus.jsonl"
    else:
        of = "2wikimultihopqa" if name == "dev" else name
        path, corpus = data / f"dev/{of}.jsonl", data / "corpus/corpus.jsonl"
    questions = load(path)
    if name not in SMALL:
        questions = tuple(random.Random(SEED).sample(questions, min(size, len(questions))))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return QuestionSet(name, questions, {row["id"]: row["dataset"] for row in rows}, corpus)


class Arm(NamedTuple):
    """A way to answer."""

    name: str
    kind: str
    versions: dict[Role, int]
    """Of the policies; 0 for those that came with MIA, whatever is in use."""

    @classmethod
    def of(cls, text: str) -> Arm:
        """Raises ValueError for what names none."""
        kind, _, spoken = text.partition("@")
        if kind not in ARMS:
            raise ValueError(f"no arm {kind!r}; there are {', '.join(ARMS)}")
        versions: dict[Role, int] = {"planner": 0, "executor": 0}
        for role, _, number in (each.partition("=") for each in spoken.split("+") if each):
            versions["planner" if role == "planner" else "executor"] = int(number)
        return cls(text, kind, versions)


class Whole:
    """A planner that only ever looks the whole question up."""

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        return whole(question)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        return Reflection(goal_met=True)

    async def replan(self, *_: object, **__: object) -> Plan:
        raise AssertionError("nothing is ever replanned")


def team_of(arm: Arm, house: House, record: RunRecord, store: Path) -> Team:
    tools, model = [TextSearch(house.search, house.settings.search.passages)], house.engines.model
    reader = RuleReader() if arm.kind == "rules" else ModelReader(model("executor", "reader"))
    executor = Stepwise(reader, tools)
    if arm.kind == "closed":
        executor = ClosedBook(model("executor"))
    planners = {"closed": Whole(), "oneshot": Whole(), "rules": ProcedurePlanner()}
    memory = NoMemory()
    if arm.kind == "memory":
        memory = WorkflowMemory(SqliteStore(store), house.embedder)
    return Team(
        captioner=Blind(),
        memory=memory,
        planner=planners.get(arm.kind) or StepwisePlanner(model("planner", "planner")),
        executor=executor,
        judge=ExactMatch(),
        record=record,
    )


async def run(arm: Arm, asked: QuestionSet, house: House, journal: Journal, out: Path) -> None:
    """Answers what is not answered yet."""
    record = journal.open_run(f"{asked.name}-{arm.name}", ABOUT)
    done = {entry.episode.question.id for entry in record.entries()}
    left = [question for question in asked.questions if question.id not in done]
    if not left:
        return
    team = team_of(arm, house, record, out / f"{asked.name}-{arm.name}.db")
    for number, question in enumerate(left, len(done) + 1):
        await solve(question, team)
        if number % 10 == 0:
            print(f"{asked.name} {arm.name}: {number} of {len(asked.questions)}", flush=True)


def report(asked: QuestionSet, arms: list[str], journal: Journal) -> None:
    """A row for each arm, and below it one for each data set or kind of question."""
    print(f"\n## {asked.name} ({len(asked.questions)} questions)\n")
    print("| arm | n | EM | 95 % | F1 | abstained | calls | tokens | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    wanted = {question.id for question in asked.questions}

    def answered(arm: str) -> dict[str, Episode]:
        episodes = (entry.episode for entry in journal.entries(f"{asked.name}-{arm}"))
        return {each.question.id: each for each in episodes if each.question.id in wanted}

    for arm in arms:
        episodes = list(answered(arm).values())
        print(row(arm, episodes))
        groups: dict[str, list[Episode]] = defaultdict(list)
        for episode in episodes:
            family = (episode.question.family or "").split(":")[0]
            source = asked.source[episode.question.id]
            groups[source if len(set(asked.source.values())) > 1 else family].append(episode)
        if len(groups) > 1:
            for name, part in sorted(groups.items()):
                print(row(f"  · {name or 'other'}", part))
    if "loop" in arms and any("@" in arm for arm in arms):
        compare(arms, {arm: answered(arm) for arm in arms if arm.startswith(("loop", "memory"))})


def compare(arms: list[str], answered: dict[str, dict[str, Episode]]) -> None:
    """Each arm of the loop against the loop with the adapters that came with MIA."""
    print("\n| against loop | n | EM | 95 % | better, worse | p (McNemar) | F1 | 95 % |")
    print("|---|---|---|---|---|---|---|---|")
    start = answered["loop"]
    for arm in arms:
        now = answered.get(arm, {})
        both = [(now[name], start[name]) for name in start if name in now]
        if arm == "loop" or not both:
            continue
        right = [tuple(e.verdict.value == "correct" for e in pair) for pair in both]
        f1 = [tuple(e.verdict.f1 or 0.0 for e in pair) for pair in both]
        em, also = (paired_bootstrap(*zip(*scores, strict=True)) for scores in (right, f1))
        if em is None or also is None:
            continue
        better, worse = right.count((True, False)), right.count((False, True))
        print(
            f"| {arm} | {len(both)} | {em.value:+.3f} | {em.low:+.3f} to {em.high:+.3f} "
            f"| {better}, {worse} | {mcnemar(better, worse):.3f} "
            f"| {also.value:+.3f} | {also.low:+.3f} to {also.high:+.3f} |"
        )


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
        for arm in () if options.report else map(Arm.of, arms):
            with (
                closing(Replies(options.out / "replies.db")) as replies,
                House(
                    loaded, corpus=asked.corpus, say=print, replies=replies, versions=arm.versions
                ) as house,
            ):
                house.complete(run(arm, asked, house, journal, options.out))
        report(asked, arms, journal)
    journal.close()


if __name__ == "__main__":
    main()
