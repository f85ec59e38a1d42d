"""Builds the training examples of the two embedded adapters.

    python recipes/embedded/data.py --data ../shared/data --out build/embedded

Reader: (one passage, one question) -> a span of the passage, or `none`. From the evidence of train
questions and from facts mined in passages; no passage of reserved_ids.txt is used anywhere.
Planner: question (and perhaps a remembered example) -> a typed plan. From the plans of train
questions, from questions composed of the relations in relations.py about titles of unreserved
passages, and from train questions of no known kind, which get the fallback plan.
Every example goes through the same prompt and snippet code that the running system uses.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path

from mine import Fact, entity, mine

from mia.executors.stepwise.reader import reading_messages
from mia.models.llama_cpp import chatml
from mia.planner import numbered, parse_plan
from mia.planners.procedures import steps_of
from mia.planners.relations import (
    AFTER,
    ASK,
    BRIDGE,
    COMPARE,
    FINAL,
    KIN,
    LIVED,
    MENTION,
    PERSONAL,
)
from mia.planners.stepwise import planning_messages
from mia.search.bm25 import BM25, build
from mia.snippets import snippet, stems
from mia.types import Passage

R = random.Random(0)
READER_CAP = {
    "spouse": 380, "mother": 400, "father": 420, "child": 200, "sibling": 240,
    "place of birth": 420, "place of death": 171, "director": 420, "performer": 330,
    "composer": 260, "date of birth": 260, "date of death": 200, "publication date": 180,
    "country of citizenship": 330, "country of origin": 200, "country": 186, "author": 200,
    "educated at": 150, "founded by": 180, "inception": 170,
}  # fmt: skip
OTHER_CAP = 70
NONE_SHARE = 0.22
MONTHS = set(
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
)
RELATED = {
    "father": "son daughter father child", "mother": "son daughter mother child",
    "spouse": "married wife husband spouse widow", "sibling": "brother sister sibling",
    "child": "son daughter father mother child", "place of death": "died death",
    "cause of death": "died death killed", "place of birth": "born birth native",
    "director": "directed director", "composer": "music composed composer score",
    "performer": "by singer band", "date of death": "died death –", "educated at": "univers school college stud graduat educat",
    "founded by": "found establish", "award received": "award prize won medal",
    "publisher": "publish", "place of burial": "buried interred", "employer": "work profess",
    "headquarters": "headquart based", "author": "novel book written wrote author",
}  # fmt: skip
"""A passage without any of these words does not say it: a safe source of `none`."""


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


def ask(relation: str, about: str, varied: bool = False) -> str:
    forms = ASK.get(relation, (f"What is the {relation} of {{}}?",))
    return (R.choice(forms) if varied and R.random() < 0.5 else forms[0]).format(about)


# --- reader ------------------------------------------------------------------------------------


def reader_example(passage: Passage, question: str, answer: str, kind: str) -> dict | None:
    cut = snippet(passage, question)
    if answer != "none" and answer.lower() not in cut.lower():
        return None
    if answer != "none":  # the spelling of the text is what a span is
        start = cut.lower().index(answer.lower())
        answer = cut[start : start + len(answer)]
    prompt = chatml(reading_messages(cut, question))
    return {"prompt": prompt, "answer": answer, "kind": kind}


def gold_hops(row: dict, passages: dict[str, Passage]) -> list[tuple[Passage, str, str, str]]:
    """(passage, question, answer, kind) for the hops of a train question."""
    gold = [passages[g] for g in row["gold_ids"] if g in passages]
    hops = []
    for subject, relation, answer in row["evidences"] or ():
        for passage in gold:
            if entity(passage.title).lower() == entity(subject).lower():
                hops.append((passage, ask(relation, entity(subject), True), answer, relation))
                break
    answers: list[str] = []
    for text, answer in row["decomposition"] or ():
        asked = hop_text(text, answers)
        answers.append(answer)
        holding = [p for p in gold if answer.lower() in p.text.lower()]
        if holding:
            best = max(holding, key=lambda p: len(stems(asked) & stems(p.title + " " + p.text)))
            hops.append((best, asked, answer, "nl"))
    if (
        row["dataset"] == "hotpotqa"
        and row["type"] == "bridge"
        and len(gold) == len(row["gold_ids"])
    ):
        holding = [p for p in gold if row["answers"][0].lower() in p.text.lower()]
        if len(holding) == 1:
            hops.append((holding[0], row["question"], row["answers"][0], "whole"))
    return hops


def hop_text(text: str, answers: list[str]) -> str:
    """A MuSiQue hop as a question."""
    filled = re.sub(r"#(\d) ?", lambda m: answers[int(m[1]) - 1] + " ", text).strip()
    if ">>" in filled:
        about, relation = (part.strip() for part in filled.split(">>")[:2])
        return ask(relation, about, True)
    filled = re.sub(r" +([?,.'])", r"\1", re.sub(r"  +", " ", filled))
    return filled[0].upper() + filled[1:].rstrip("?").strip() + "?"


def good(fact: Fact) -> bool:
    words = fact.answer.split()
    if words[0] in MONTHS and len(words) == 1:
        return False
    if re.search(r"\. (?:The|After|He|She|It|In)\b", fact.answer):
        return False
    names = {"father", "mother", "spouse", "child", "sibling", "director", "performer", "composer",
             "author", "founded by", "producer", "screenwriter"}  # fmt: skip
    return not (fact.relation in names and re.fullmatch(r"\w+(?:ish|ese|ian|can)", fact.answer))


def reader_examples(
    rows: list[dict], facts: dict[str, list[Fact]], free: dict[str, Passage], index: BM25
) -> list[dict]:
    items = [hop for row in rows for hop in gold_hops(row, free)]
    examples = [reader_example(*hop) for hop in items]
    for relation, found in facts.items():
        chosen = [fact for fact in found if good(fact)]
        R.shuffle(chosen)
        for fact in chosen[: READER_CAP.get(relation, OTHER_CAP)]:
            about = fact.passage.title if R.random() < 0.25 else entity(fact.passage.title)
            asked = ask(relation, about, True)
            examples.append(reader_example(fact.passage, asked, fact.answer, relation))
            items.append((fact.passage, asked, fact.answer, relation))
    kept = [example for example in examples if example]
    wanted = int(len(kept) * NONE_SHARE / (1 - NONE_SHARE))
    kept += none_examples(items, wanted, free, index)
    R.shuffle(kept)
    return kept


def none_examples(items: list, wanted: int, free: dict[str, Passage], index: BM25) -> list[dict]:
    """Questions that their passage does not answer: about somebody else, or about something else."""
    made: list[dict] = []
    R.shuffle(items)
    for passage, question, answer, _ in items:
        if len(made) >= wanted:
            break
        if R.random() < 0.55:
            others = [
                p for p in index.search_now(question, 8) if p.id != passage.id and p.id in free
            ]
            others = [p for p in others if answer.lower() not in p.text.lower()]
            if others:
                made.append(reader_example(others[0], question, "none", "none:other"))
            continue
        relation = R.choice(list(RELATED))
        if not any(word in passage.text.lower() for word in RELATED[relation].split()):
            asked = ask(relation, entity(passage.title), True)
            made.append(reader_example(passage, asked, "none", "none:unsaid"))
    return made


# --- planner -----------------------------------------------------------------------------------


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
            title = entity(title)
        elif R.random() < 0.5:
            title = re.sub(r" \((.*)\)$", lambda m: f" ({m[1].title()})", title)
        return title.title() if R.random() < 0.12 else title


def linked(relations: list[str], about: str) -> list[str]:
    """Steps that follow a chain of relations from one thing."""
    return steps_of(tuple(relations), about)


def composed(titles: Titles) -> tuple[str, str, list[str], str]:
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


def _two_hops(titles: Titles) -> tuple[str, str, list[str], str]:
    relation, mentions, kind = R.choice(MENTION[:7] if R.random() < 0.5 else MENTION)
    about = titles.pick(kind)
    second = R.choice(AFTER.get(relation, PERSONAL))
    if relation == "performer" and R.random() < 0.1:
        second = "inception"
    question = R.choice(FINAL[second]).format(R.choice(mentions).format(about))
    return question, numbered([linked([relation, second], about)], "step"), [about], "two"


def _kin(titles: Titles) -> tuple[str, str, list[str], str]:
    name, (first, second) = R.choice(list(KIN.items()))
    about = titles.pick("person")
    form = R.choice(("Who is {}'s {}?", "Who is the {1} of {0}?", "Who was the {1} of {0}?"))
    question = form.format(about, name)
    return question, numbered([linked([first, second], about)], "step"), [about], "kin"


def _compare(titles: Titles) -> tuple[str, str, list[str], str]:
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


def _bridge(titles: Titles) -> tuple[str, str, list[str], str]:
    first, second, rule, forms = R.choice(BRIDGE[:5] if R.random() < 0.8 else BRIDGE)
    kind = {"director": "film", "performer": "song", "author": "book", "composer": "song"}[first]
    pair = [titles.pick(kind), titles.pick(kind)]
    plan = numbered([linked([first, second], about) for about in pair], rule)
    return R.choice(forms).format(*pair), plan, pair, "bridge"


def _three_hops(titles: Titles) -> tuple[str, str, list[str], str]:
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


def plan_of_row(row: dict) -> tuple[str, str, list[str], str] | None:
    """A train question with the plan its evidence or decomposition spells out."""
    question = re.sub(r"\s+", " ", row["question"]).strip()
    if row["evidences"]:
        return _plan_of_evidence(question, row)
    if row["decomposition"]:
        return _plan_of_hops(question, row)
    return None


def _plan_of_evidence(question: str, row: dict) -> tuple[str, str, list[str], str] | None:
    pattern = re.escape(row["template"] or "").replace(r"\[E\]", "(.+?)")
    match = re.fullmatch(pattern, row["question"])
    if not match:
        return None
    names = [name.strip() for name in match.groups()]
    chain = row["relation_chain"].split("|")
    if "comparison" not in row["type"]:
        return question, numbered([linked(chain, names[0])], "step"), names, row["type"]
    if len(names) != 2:
        return None
    relations = [relation for subject, relation, _ in row["evidences"]]
    per_name = (
        relations[: len(relations) // 2]
        if row["type"] == "comparison"
        else [relations[0], relations[-1]]
    )
    if len(set(per_name)) != len(per_name):
        return None
    rule = _rule_of(question, row)
    if rule is None or len(per_name) > 2:
        return None
    return question, numbered([linked(per_name, name) for name in names], rule), names, row["type"]


def _rule_of(question: str, row: dict) -> str | None:
    if row["answers"][0].lower() in ("yes", "no"):
        return "same"
    if re.search(r"\b(?:later|younger|last|recent|recently|newer|latest)\b", question):
        return "last"
    if re.search(r"\b(?:earlier|older|first|oldest|earliest)\b", question):
        return "first"
    return None


def _plan_of_hops(question: str, row: dict) -> tuple[str, str, list[str], str] | None:
    lines, names = [], []
    for number, (text, _) in enumerate(row["decomposition"], 1):
        text = re.sub(r"#(\d) ", r"#\1 ", text.strip())
        if ">>" in text:
            about, relation = (part.strip() for part in text.split(">>")[:2])
            if not about.startswith("#"):
                names.append(about)
                about = f"[{about}]"
            lines.append(f"#{number} {ask(relation, about)}")
            continue
        text = text[0].upper() + text[1:].rstrip("? ") + "?" if text[0] != "#" else text
        found = None if "#" in text else _longest_name(text, question)
        if found:
            names.append(found)
            text = text.replace(found, f"[{found}]", 1)
        text = re.sub(r" +([?,.])", r"\1", text)
        lines.append(f"#{number} {text}")
    plan = "\n".join([*lines, f"answer #{len(lines)}"])
    return question, plan, names, "hops"


def _longest_name(step: str, question: str) -> str | None:
    """The longest capitalised run of words that the step shares with the question."""
    runs = re.findall(
        r"[A-ZÀ-Þ][\w.'’-]*(?: (?:of|the|and|in|on|a|de) ?(?=[A-Z])|(?: [A-ZÀ-Þ0-9][\w.'’-]*))*",
        step,
    )
    shared = [run for run in runs if run in question and not step.startswith(run)]
    return max(shared, key=len, default=None)


LETTERS = "ABCDEFGH"


def templated(text: str, names: list[str]) -> str:
    """Entities as letters: what a stored workflow shows."""
    for letter, name in zip(LETTERS, names, strict=False):
        text = text.replace(f"[{name}]", f"[{letter}]").replace(name, f"[{letter}]")
    return text


def planner_examples(rows: list[dict], titles: Titles, count: int) -> list[dict]:
    pool = [made for row in rows if (made := plan_of_row(row))]
    fallback = [
        (re.sub(r"\s+", " ", row["question"]).strip(), "#1 ?\nanswer #1", [], "whole")
        for row in rows
        if row["dataset"] == "hotpotqa" and row["type"] == "bridge"
    ]
    pool = pool * 2 + fallback * 4
    swapped = [made for row in rows for _ in range(2) if (made := _swap_names(row, titles))]
    pool += swapped + [composed(titles) for _ in range(count - len(pool) - len(swapped))]
    checked = []
    for made in pool:
        if not made[1].startswith("#1 ?"):
            parse_plan(made[1])
        checked.append(made)
    by_kind: dict[tuple[str, str], list] = {}
    for made in checked:
        by_kind.setdefault(_procedure(made[1]), []).append(made)
    examples = [_planner_example(made, checked, by_kind) for made in checked]
    R.shuffle(examples)
    return examples


def _procedure(plan: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", plan)


def _swap_names(row: dict, titles: Titles) -> tuple[str, str, list[str], str] | None:
    made = plan_of_row(row) if row["evidences"] else None
    if not made or not row["template"]:
        return None
    relation = row["evidences"][0][1]
    kind = {"director": "film", "publication date": "film", "country of origin": "film",
            "composer": "film", "performer": "song", "country": "place", "founded by": "organisation",
            "publisher": "work"}.get(relation, "person")  # fmt: skip
    question, plan, names, label = made
    fresh = [titles.pick(kind) for _ in names]
    question = row["template"]
    for name in fresh:
        question = question.replace("[E]", name, 1)
    for old, new in zip(names, fresh, strict=True):
        plan = plan.replace(f"[{old}]", f"[{new}]")
    return question, plan, fresh, label


def _planner_example(made: tuple, everything: list, by_kind: dict) -> dict:
    question, plan, _, kind = made
    shown = ""
    roll = R.random()
    if roll < 0.5:
        same = by_kind[_procedure(plan)]
        other = R.choice(same) if roll < 0.33 and len(same) > 1 else R.choice(everything)
        if other[0] != question and not other[1].startswith("#1 ?"):
            shown = (
                f"Solved before: {templated(other[0], other[2])}\n{templated(other[1], other[2])}\n"
            )
    prompt = chatml(planning_messages(question, shown))
    return {"prompt": prompt, "answer": plan, "kind": kind}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plans", type=int, default=6000)
    parser.add_argument("--show", action="store_true", help="print a sample of both")
    options = parser.parse_args()
    reserved = set((options.data / "reserved_ids.txt").read_text().split())
    corpus = [
        Passage(id=row["id"], title=row["title"], text=row["text"])
        for row in read_jsonl(options.data / "corpus/corpus.jsonl")
    ]
    free = {passage.id: passage for passage in corpus if passage.id not in reserved}
    options.out.mkdir(parents=True, exist_ok=True)
    build(free.values(), options.out / "index")
    rows = [
        row
        for name in ("2wikimultihopqa", "musique", "hotpotqa")
        for row in read_jsonl(options.data / f"train/{name}.jsonl")
    ]
    held_back = {row["id"] for row in rows[::12]}
    facts = mine(list(free.values()))
    reader = reader_examples(
        [row for row in rows if row["id"] not in held_back],
        facts,
        free,
        BM25(options.out / "index"),
    )
    planner = planner_examples(
        [row for row in rows if row["id"] not in held_back],
        Titles(list(free.values())),
        options.plans,
    )
    kept_out = [row for row in rows if row["id"] in held_back]
    check_reader = [
        e for row in kept_out for hop in gold_hops(row, free) if (e := reader_example(*hop))
    ]
    check_planner = [
        _planner_example(made, [made], {_procedure(made[1]): [made]})
        for row in kept_out
        if (made := plan_of_row(row))
    ]
    for name, examples in (("reader", reader), ("planner", planner),
                           ("reader_check", check_reader), ("planner_check", check_planner)):  # fmt: skip
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(examples, ensure_ascii=False))
        print(path, len(examples), Counter(e["kind"] for e in examples).most_common(60))
    if options.show:
        for example in R.sample(reader, 25) + R.sample(planner, 25):
            print("=" * 80, example["kind"], example["prompt"], example["answer"], sep="\n")


if __name__ == "__main__":
    main()
