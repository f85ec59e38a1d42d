"""Examples for the planner: question (and perhaps a remembered example) -> a typed plan."""

from __future__ import annotations

import random
import re

from made_questions import Made, Titles, composed, linked
from reader_examples import ask

from mia.models.llama_cpp import chatml
from mia.planner import numbered, parse_plan
from mia.planners.stepwise import planning_messages

R = random.Random(2)


def plan_of_row(row: dict) -> Made | None:
    """A train question with the plan its evidence or decomposition spells out."""
    question = re.sub(r"\s+", " ", row["question"]).strip()
    if row["evidences"]:
        return _plan_of_evidence(question, row)
    if row["decomposition"]:
        return _plan_of_hops(question, row)
    return None


def _plan_of_evidence(question: str, row: dict) -> Made | None:
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


def _plan_of_hops(question: str, row: dict) -> Made | None:
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


def check_examples(rows: list[dict]) -> list[dict]:
    """Held-back train questions with their plans, to watch the training by."""
    made = [plan for row in rows if (plan := plan_of_row(row))]
    return [_planner_example(one, [one], {_procedure(one[1]): [one]}) for one in made]


def _procedure(plan: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", plan)


def _swap_names(row: dict, titles: Titles) -> Made | None:
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
