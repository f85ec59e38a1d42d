"""Exercises with answers, to train policies on.

    python recipes/embedded/answered.py --data ../shared/data --out build/embedded

`planner.jsonl`: questions of the train splits, and questions composed of facts that were mined in
passages: a fact of a fact (`the director of X`, and when he died), or two things compared by one.
What patterns found is wrong at times. What a passage of reserved_ids.txt says is not asked.
`executor.jsonl`: questions of the train splits that have evidence, and the single facts of that
evidence, each with its plan of one step: an answer that took one lookup says which reading was
wrong. (Mined facts were tried here: of the hard relations, kinship and places, a third is wrong.)
`corpus.jsonl`: what may be searched in training, which is all passages but those.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from mine import Fact, mine

from mia.executors.stepwise.compute import before, country, parse_date
from mia.planner import parse_plan
from mia.planners.relations import ASK, BRIDGE, COMPARE, FINAL, MENTION
from mia.titles import name_of
from mia.training.exercises import Exercise, write_exercises
from mia.types import Passage, Question

_DATES = ("date of birth", "date of death", "publication date")
_NATIONS = ("country of citizenship", "country of origin")
_WHO = frozenset(
    "director composer producer screenwriter performer author creator father mother spouse child"
    " sibling".split()
)
_FACTS = ("date of birth", "date of death", "place of birth", "place of death", "father", "mother",
          "country of citizenship", "spouse")  # fmt: skip


class Known:
    """What was mined, by relation and name; names that two passages share are left out."""

    def __init__(self, facts: dict[str, list[Fact]]) -> None:
        self.of: dict[str, dict[str, str]] = {}
        for relation, found in facts.items():
            names = Counter(name_of(fact.passage.title) for fact in found)
            self.of[relation] = {
                name_of(fact.passage.title): fact.answer
                for fact in found
                if names[name_of(fact.passage.title)] == 1
            }

    def chains(self, first: str, second: str) -> list[tuple[str, str]]:
        """Things of which the fact of a fact is known, with it."""
        then = self.of.get(second, {})
        return [(about, then[middle]) for about, middle in self.of.get(first, {}).items()
                if middle in then]  # fmt: skip


def compared(rule: str, relation: str, one: str, other: str) -> bool | None:
    """For `same`: whether two facts are. Else whether the first wins; None when nobody can say."""
    if rule == "same":
        pair = (country(one), country(other))
        return None if None in pair else pair[0] == pair[1]
    dated = relation in _DATES and parse_date(one) and parse_date(other)
    smaller = before(one, other) if dated else None
    return None if smaller is None else smaller == (rule == "first")


def two_hops(known: Known, lot: random.Random) -> Iterator[tuple[str, str, str]]:
    """A fact of a fact."""
    for first, mentions, _ in MENTION:
        for second in _FACTS if first in _WHO else ():
            for about, answer in known.chains(first, second):
                mention = lot.choice(mentions).format(about)
                yield lot.choice(FINAL[second]).format(mention), answer, f"{first}|{second}"


def comparisons(known: Known, lot: random.Random) -> Iterator[tuple[str, str, str]]:
    """Two things by one fact of each, or by a fact of a fact."""
    kinds = [(relation, rule, forms, list(known.of.get(relation, {}).items()))
             for relation, rule, _, forms in COMPARE
             if relation in (*_DATES, *_NATIONS)]  # fmt: skip
    kinds += [(f"{first}|{second}", rule, forms, known.chains(first, second))
              for first, second, rule, forms in BRIDGE]  # fmt: skip
    for relation, rule, forms, pool in kinds:
        for _ in range(len(pool) // 2):
            (one, left), (other, right) = lot.sample(pool, 2)
            won = compared(rule, relation.split("|")[-1], left, right)
            if won is not None:
                answer = ("yes" if won else "no") if rule == "same" else (one if won else other)
                yield lot.choice(forms).format(one, other), answer, f"{rule}:{relation}"


def evenly(made: list[tuple[str, str, str]], count: int, lot: random.Random) -> list[Exercise]:
    """So many questions, no kind much more often than another, and no answer of yes or no more
    often than the other."""
    by_kind: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for question in made:
        side = question[1] if question[1] in ("yes", "no") else ""
        by_kind.setdefault((question[2], side), []).append(question)
    for pool in by_kind.values():
        lot.shuffle(pool)
    layers = zip_longest(*(by_kind[kind] for kind in sorted(by_kind)))
    chosen = [question for layer in layers for question in layer if question is not None][:count]
    return [
        Exercise(
            question=Question(
                text=text, id=f"made-{number}", family=family,
                answers=nation_or(answer, family.split("|")[-1]),
            )
        )
        for number, (text, answer, family) in enumerate(chosen)
    ]  # fmt: skip


def lookups(rows: list[dict]) -> list[Exercise]:
    """The single facts of the evidence."""
    answers: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        for about, relation, answer in row.get("evidences") or []:
            answers.setdefault((about, relation), {})[answer] = None
    return [
        lookup(about, relation, tuple(every))
        for (about, relation), every in answers.items()
        if relation in ASK
    ]


def lookup(about: str, relation: str, answers: tuple[str, ...]) -> Exercise:
    """One fact, asked for in the words that plans use."""
    asked = ASK[relation][0]
    digest = hashlib.sha256(f"{about} {relation}".encode()).hexdigest()[:12]
    return Exercise(
        question=Question(
            text=asked.format(about), id=f"lookup-{digest}", family=relation,
            answers=tuple(each for answer in answers for each in nation_or(answer, relation)),
        ),
        plan=parse_plan(f"#1 {asked.format(f'[{about}]')}\nanswer #1"),
    )  # fmt: skip


def nation_or(answer: str, relation: str) -> tuple[str, ...]:
    """An answer, and the country where a nationality stands for one."""
    nation = country(answer) if relation.startswith("country") else None
    return (nation, answer) if nation and nation != answer else (answer,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1200, help="composed questions")
    options = parser.parse_args()
    lot = random.Random(0)
    reserved = set((options.data / "reserved_ids.txt").read_text().split())
    with (options.data / "corpus/corpus.jsonl").open(encoding="utf-8") as corpus:
        rows = [json.loads(line) for line in corpus]
    rows = [row for row in rows if row["id"] not in reserved]
    free = [Passage(id=row["id"], title=row["title"], text=row["text"]) for row in rows]
    known = Known(mine(free))
    made = evenly([*two_hops(known, lot), *comparisons(known, lot)], options.count, lot)
    train = [
        json.loads(line)
        for name in ("2wikimultihopqa", "musique", "hotpotqa")
        for line in (options.data / f"train/{name}.jsonl").read_text("utf-8").splitlines()
    ]
    train = [row for row in train if reserved.isdisjoint(row["gold_ids"])]
    asked = [(row, Exercise(question=question_of_row(row))) for row in train]
    proven = [exercise for row, exercise in asked if row.get("evidences")]
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "corpus.jsonl").open("w", encoding="utf-8") as corpus:
        corpus.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for name, exercises in (("planner", [exercise for _, exercise in asked] + made),
                            ("executor", proven + lookups(train))):  # fmt: skip
        lot.shuffle(exercises)
        write_exercises(options.out / f"{name}.jsonl", exercises)
        kinds = Counter(exercise.question.family for exercise in exercises)
        print(f"{name}: {len(exercises)}", kinds.most_common(12))


def question_of_row(row: dict) -> Question:
    """A question of a train split."""
    answers = tuple(row["answers"])
    return Question(text=row["question"], id=row["id"], answers=answers, family=row.get("family"))


if __name__ == "__main__":
    main()
