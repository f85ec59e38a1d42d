"""What learning while answering is worth on a stream in which kinds of questions come back: the
tables "Learning while answering" of benchmarks/RESULTS.md.

    python recipes/learn_while_answering.py --data ../shared/data                       # a day
    python recipes/learn_while_answering.py --data ../shared/data --limit 10 --seeds 0  # a look

The embedded model on 200 questions of 2WikiMultiHopQA, of 20 families, interleaved, each answered
before anything is learned from it: `frozen` learns nothing, `memory` remembers, `learning`
remembers and learns in its weights. Supervised (`gold`) the right answers judge; unsupervised
(`vote`) the attempts judge each other, and right answers only count what came of it. Seed 0 asks in
the stream's own order, other seeds shuffle it, and each draws its own plans. 40 questions that are
not in the stream are asked of the weights before and after, without memory.

Interrupted, the same command goes on; what was asked greedily before is not asked again, so that
seconds are those of the arm that came first.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from mia.config import Loaded, load
from mia.datasets import jsonl
from mia.datasets.order import read_order
from mia.models.shared import Replies
from mia.report.learning import Standing, standing
from mia.statistics import paired_bootstrap, share
from mia.training.bench import Order
from mia.training.buffer import Outcome
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.presets import PRESETS
from mia.training.streams import Course, Judging, Taught, learn
from mia.training.workshop import Workshop
from mia.types import Noun, Question

PROBE = 40
SELDOM = 10_000
"""Updates between two looks at the probe: it is looked at before the first and after the last."""


class Arm(NamedTuple):
    """Who learns by what."""

    name: str
    judging: Judging
    memory: bool
    weights: bool


ARMS = (
    Arm("frozen", "gold", memory=False, weights=False),
    Arm("memory", "gold", memory=True, weights=False),
    Arm("learning", "gold", memory=True, weights=True),
    Arm("memory", "vote", memory=True, weights=False),
    Arm("learning", "vote", memory=True, weights=True),
)


Done = dict[Arm, list[tuple[Standing, Taught]]]
"""The runs of each arm, a seed each."""


@dataclass(frozen=True)
class Data:
    """What is asked."""

    stream: Sequence[Question]
    probe: Sequence[Question]
    corpus: Path

    def shuffled(self, seed: int) -> list[Question]:
        """Seed 0 is the stream's own order."""
        lot = random.Random(seed)
        return lot.sample(self.stream, len(self.stream)) if seed else list(self.stream)


def read(folder: Path, limit: int | None) -> Data:
    every = jsonl.load(folder / "dev/2wikimultihopqa.jsonl")
    stream = read_order(folder / "streams/2wiki_dev_interleaved.jsonl", every)
    asked = {question.id for question in stream}
    others = [question for question in every if question.id not in asked]
    random.Random(0).shuffle(others)
    return Data(stream[:limit], others[:PROBE][:limit], folder / "corpus/corpus.jsonl")


def course_of(arm: Arm, seed: int, data: Data, name: str) -> Course:
    supervision = "gold" if arm.judging == "gold" else "judge"
    preset = replace(PRESETS["embedded-online"], supervision=supervision, seed=seed)
    return Course(
        order=Order(
            role="planner", preset=preset, name=name, data="2wiki interleaved", begins="shipped"
        ),
        questions=data.shuffled(seed),
        judging=arm.judging,
        limits=Limits(canary_every=SELDOM),
        canary=[Exercise(question=question) for question in data.probe] if arm.weights else [],
        memory=arm.memory,
        weights=arm.weights,
    )


def answered(
    arm: Arm, seed: int, data: Data, loaded: Loaded, replies: Replies
) -> tuple[Standing, Taught]:
    """One arm's run over the stream, from where it was left."""
    name = f"stream-{len(data.stream)}-{arm.name}-{arm.judging}-{seed}"
    own = replace(loaded, settings=replace(loaded.settings, namespace=name))
    course = course_of(arm, seed, data, name)

    def watch(noun: Noun) -> None:
        if isinstance(noun, Outcome) and (noun.place + 1) % 10 == 0:
            print(f"{name}: {noun.place + 1} of {len(course.questions)}", flush=True)

    taught = learn(Workshop(own, data.corpus, False, print, replies), course, watch)
    told = standing(
        taught.outcomes, taught.learned, name=name, judge=arm.judging, learns=arm.name,
        length=len(course.questions), epochs=1,
    )  # fmt: skip
    return told, taught


def right(runs: Sequence[Taught]) -> dict[str, float]:
    """Of each question, over the seeds."""
    scores: dict[str, list[bool]] = {}
    for run in runs:
        for one in run.outcomes:
            scores.setdefault(one.question, []).append(one.right is True)
    return {id: sum(each) / len(each) for id, each in scores.items()}


def rows(done: Done) -> Iterator[str]:
    frozen = right([taught for _, taught in done[ARMS[0]]])
    yield ("| judge | arm | asked | right | 95 % | against frozen | 95 % | best of 4 plans |"
           " updates | alike | tokens, answer | exploring | seconds to an answer |")  # fmt: skip
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for arm, runs in done.items():
        outcomes = [one for _, taught in runs for one in taught.outcomes]
        whole = share([one.right is True for one in outcomes], [one.question for one in outcomes])
        own = right([taught for _, taught in runs])
        apart = paired_bootstrap([own[id] for id in own], [frozen[id] for id in own])
        best = share([one.selections.oracle is True for one in outcomes])
        told = [each for each, _ in runs]
        against = ("", "") if arm is ARMS[0] or apart is None else (
            f"{apart.value:+.3f}", f"{apart.low:+.3f} to {apart.high:+.3f}")  # fmt: skip
        taught = sum(each.taught for each in told)
        yield (
            f"| {judge_of(arm)} | {arm.name} | {len(outcomes)} |"
            f" {whole.value or 0:.3f} | {whole.low:.3f} to {whole.high:.3f} | {against[0]} |"
            f" {against[1]} | {best.value or 0:.3f} | {sum(each.updates for each in told)} |"
            f" {sum(each.alike for each in told) / taught if taught else 0:.2f} |"
            f" {sum(each.answering.tokens for each in told) / len(outcomes):,.0f} |"
            f" {sum(each.exploring.tokens for each in told) / len(outcomes):,.0f} |"
            f" {sum(one.answered for one in outcomes) / len(outcomes):.1f} |"
        )


def occurrences(done: Done) -> Iterator[str]:
    (first, _) = done[ARMS[0]][0]
    bins = first.epochs[0].by_occurrence
    names = [str(each.first) if each.first == each.last else f"{each.first} to {each.last}"
             for each in bins]  # fmt: skip
    yield f"| judge | arm | {' | '.join(names)} | probe before | after |"
    yield f"|---|---|{'---|' * (len(names) + 2)}"
    for arm, runs in done.items():
        of = [[told.epochs[0].by_occurrence[at].accuracy for told, _ in runs]
              for at in range(len(bins))]  # fmt: skip
        shares = [sum(s.successes for s in each) / sum(s.trials for s in each) for each in of]
        cells = [*(f"{each:.3f}" for each in shares), *probed([taught for _, taught in runs])]
        yield f"| {judge_of(arm)} | {arm.name} | {' | '.join(cells)} |"


def probed(runs: Sequence[Taught]) -> tuple[str, str]:
    """Before the first update and after the last."""
    looks = [[each.canary for each in taught.learned if each.canary] for taught in runs]
    if not all(looks):
        return "", ""
    first, last = ([each for look in looks for each in look[at]] for at in (0, -1))
    return f"{sum(first) / len(first):.3f}", f"{sum(last) / len(last):.3f}"


def judge_of(arm: Arm) -> str:
    return arm.judging if arm.memory or arm.weights else ""


def main() -> None:
    """Asks what was not asked yet, arm by arm, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with streams/")
    parser.add_argument("--limit", type=int, help="only the first N questions")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("build/reports/learning"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    data, loaded = read(asked.data, asked.limit), load()
    done: Done = {arm: [] for arm in ARMS}
    with closing(Replies(asked.out / "replies.db")) as replies:
        for seed in map(int, asked.seeds.split(",")):
            for arm in ARMS:
                done[arm].append(answered(arm, seed, data, loaded, replies))
    for line in (*rows(done), "", *occurrences(done)):
        print(line)


if __name__ == "__main__":
    main()
