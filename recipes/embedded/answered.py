"""Questions with answers, to train policies on: those of the train splits, and questions composed of
facts that were mined in passages.

    python recipes/embedded/answered.py --data ../shared/data --out build/embedded/questions.jsonl

The composed ones ask for a fact of a fact (`the director of X` and when he died) or compare two
things by one; their answers are what the patterns of `mine.py` found, so a few are wrong. No
passage of reserved_ids.txt is used.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mine import Fact, mine

from mia.executors.stepwise.compute import before, country, parse_date
from mia.planners.relations import BRIDGE, COMPARE, FINAL, MENTION
from mia.titles import name_of
from mia.types import Passage

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


def evenly(made: list[tuple[str, str, str]], count: int, lot: random.Random) -> list[dict]:
    """So many questions, no kind much more often than another, and no answer of yes or no more
    often than the other."""
    by_kind: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for question in made:
        side = question[1] if question[1] in ("yes", "no") else ""
        by_kind.setdefault((question[2], side), []).append(question)
    for pool in by_kind.values():
        lot.shuffle(pool)
    taken: list[dict] = []
    while by_kind and len(taken) < count:
        for kind in sorted(by_kind):
            question, answer, family = by_kind[kind].pop()
            nation = country(answer) if family.endswith("citizenship") else None
            answers = [nation, answer] if nation and nation != answer else [answer]
            taken.append({"id": f"made-{len(taken)}", "question": question, "answers": answers,
                          "family": family})  # fmt: skip
            if not by_kind[kind]:
                del by_kind[kind]
    return taken[:count]


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
    free = [Passage(id=row["id"], title=row["title"], text=row["text"])
            for row in rows if row["id"] not in reserved]  # fmt: skip
    known = Known(mine(free))
    questions = evenly([*two_hops(known, lot), *comparisons(known, lot)], options.count, lot)
    print(Counter(row["family"] for row in questions).most_common())
    for name in ("2wikimultihopqa", "musique", "hotpotqa"):
        for line in (options.data / f"train/{name}.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            questions.append({key: row.get(key) for key in ("id", "question", "answers", "family")})
    lot.shuffle(questions)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in questions)
    print(f"{options.out}: {len(questions)} questions")


if __name__ == "__main__":
    main()
