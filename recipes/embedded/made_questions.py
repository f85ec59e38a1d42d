"""Questions composed of phrasings and titles, each with its plan. They ask about real things, but
need have no answer: a plan does not depend on one."""

from __future__ import annotations

import random
import re

from reader_examples import ask

from mia.planner import numbered
from mia.planners.procedures import steps_of
from mia.planners.relations import AFTER, ASK, BRIDGE, COMPARE, FINAL, KIN, LIVED, MENTION, PERSONAL
from mia.titles import name_of
from mia.types import Passage

R = random.Random(1)
Made = tuple[str, str, list[str], str]
"""(question, plan, the things it names, kind)"""


def kind_of(passage: Passage) -> str | None:
    """What sort of thing a title is, by its first sentence."""
    head = passage.text[:260]
    for kind, pattern in (
        ("film", r"\b(?:is|was) an? [^.]{0,60}?\bfilm\b"),
        (
            "song",
            r"\b(?:is|was) an? [^.]{0,40}?\b(?:song|single|album)\b|\bis the [^.]{0,40}album\b",
        ),
        ("book", r"\b(?:is|was) an? [^.]{0,40}?\b(?:novel|book|play|memoir|short story)\b"),
        ("person", r"\((?:born |[^()]{0,40}\d{4} ?[–-])"),
        (
            "work",
            r"\b(?:is|was) an? [^.]{0,50}?\b(?:series|magazine|video game|newspaper|programme|comic)\b",
        ),
        (
            "organisation",
            r"\b(?:is|was) an? [^.]{0,50}?\b(?:company|band|university|college|school|organi[sz]ation|airline|club)\b",
        ),
        (
            "place",
            r"\b(?:is|was) an? [^.]{0,40}?\b(?:village|town|city|river|lake|mountain|municipality|airport|county|district|commune|island)\b",
        ),
    ):
        if re.search(pattern, head):
            return kind
    return None


class Titles:
    """Names of things by kind, to ask about."""

    def __init__(self, passages: list[Passage]) -> None:
        self.by_kind: dict[str, list[str]] = {}
        for passage in passages:
            kind = kind_of(passage)
            if kind and 2 < len(passage.title) < 70:
                self.by_kind.setdefault(kind, []).append(passage.title)

    def pick(self, kind: str) -> str:
        title = R.choice(self.by_kind[kind])
        if R.random() < 0.7:
            title = name_of(title)
        elif R.random() < 0.5:
            title = re.sub(r" \((.*)\)$", lambda m: f" ({m[1].title()})", title)
        return title.title() if R.random() < 0.12 else title


def linked(relations: list[str], about: str) -> list[str]:
    """Steps that follow a chain of relations from one thing."""
    return steps_of(tuple(relations), about)


def composed(titles: Titles) -> Made:
    """(question, plan, entities, kind) of a made-up question."""
    roll = R.random()
    if roll < 0.36:
        return _two_hops(titles)
    if roll < 0.47:
        return _kin(titles)
    if roll < 0.65:
        return _compare(titles)
    if roll < 0.84:
        return _bridge(titles)
    if roll < 0.94:
        relation = R.choice(list(ASK))
        about = titles.pick(
            R.choice(("person", "film", "place", "organisation", "work", "book", "song"))
        )
        question = R.choice(ASK[relation]).format(about)
        return question, f"#1 {question.replace(about, f'[{about}]')}\nanswer #1", [about], "one"
    return _three_hops(titles)


def _two_hops(titles: Titles) -> Made:
    relation, mentions, kind = R.choice(MENTION[:7] if R.random() < 0.5 else MENTION)
    about = titles.pick(kind)
    second = R.choice(AFTER.get(relation, PERSONAL))
    if relation == "performer" and R.random() < 0.1:
        second = "inception"
    question = R.choice(FINAL[second]).format(R.choice(mentions).format(about))
    return question, numbered([linked([relation, second], about)], "step"), [about], "two"


def _kin(titles: Titles) -> Made:
    name, (first, second) = R.choice(list(KIN.items()))
    about = titles.pick("person")
    form = R.choice(("Who is {}'s {}?", "Who is the {1} of {0}?", "Who was the {1} of {0}?"))
    question = form.format(about, name)
    return question, numbered([linked([first, second], about)], "step"), [about], "kin"


def _compare(titles: Titles) -> Made:
    if R.random() < 0.06:
        pair = [titles.pick("person"), titles.pick("person")]
        plan = "\n".join(
            f"#{2 * i + j + 1} {ask(relation, f'[{about}]')}"
            for i, about in enumerate(pair)
            for j, relation in enumerate(("date of birth", "date of death"))
        )
        return R.choice(LIVED).format(*pair), plan + "\nanswer longer #1 #2 #3 #4", pair, "lived"
    relation, rule, kinds, forms = R.choice(COMPARE)
    kind = R.choice(kinds)
    pair = [titles.pick(kind), titles.pick(kind)]
    plan = numbered([[ask(relation, f"[{about}]")] for about in pair], rule)
    return R.choice(forms).format(*pair), plan, pair, "compare"


def _bridge(titles: Titles) -> Made:
    first, second, rule, forms = R.choice(BRIDGE[:5] if R.random() < 0.8 else BRIDGE)
    kind = {"director": "film", "performer": "song", "author": "book", "composer": "song"}[first]
    pair = [titles.pick(kind), titles.pick(kind)]
    plan = numbered([linked([first, second], about) for about in pair], rule)
    return R.choice(forms).format(*pair), plan, pair, "bridge"


def _three_hops(titles: Titles) -> Made:
    relation, mentions, kind = R.choice([m for m in MENTION if m[0] not in AFTER])
    middle = R.choice(("father", "mother", "spouse", "place of birth"))
    last = R.choice(PERSONAL if middle != "place of birth" else AFTER["place of birth"])
    about = titles.pick(kind)
    mention = R.choice(mentions).format(about)
    inner = {"father": f"the father of {mention}", "mother": f"the mother of {mention}",
             "spouse": f"the spouse of {mention}",
             "place of birth": f"the birthplace of {mention}"}[middle]  # fmt: skip
    question = R.choice(FINAL[last]).format(inner)
    return question, numbered([linked([relation, middle, last], about)], "step"), [about], "three"
