"""Examples for the reader: (one passage, one question) -> a span of the passage, or `none`."""

from __future__ import annotations

import random
import re

from mine import Fact

from mia.executors.stepwise.reader import reading_messages
from mia.models.llama_cpp import chatml
from mia.planners.relations import ASK
from mia.search.bm25 import BM25
from mia.snippets import snippet, stems
from mia.titles import name_of
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
MONTHS = frozenset(
    "January February March April May June July August September October November December".split()
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


def ask(relation: str, about: str, varied: bool = False) -> str:
    forms = ASK.get(relation, (f"What is the {relation} of {{}}?",))
    return (R.choice(forms) if varied and R.random() < 0.5 else forms[0]).format(about)


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
            if name_of(passage.title).lower() == name_of(subject).lower():
                hops.append((passage, ask(relation, name_of(subject), True), answer, relation))
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
            about = fact.passage.title if R.random() < 0.25 else name_of(fact.passage.title)
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
            asked = ask(relation, name_of(passage.title), True)
            made.append(reader_example(passage, asked, "none", "none:unsaid"))
    return made
