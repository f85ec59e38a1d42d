"""A planner without a model: it knows the phrasings of `relations.py` and nothing else.

It is the control beside which figures of the embedded planner have to be read: what it gets right
is owed to the procedures, not to a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from mia.planner import numbered, parse_plan
from mia.planners.relations import AFTER, ASK, BRIDGE, COMPARE, FINAL, KIN, LIVED, MENTION, PERSONAL
from mia.planners.stepwise import whole
from mia.types import Plan, Question, Recollection, Reflection, Trajectory

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Procedure:
    """A way of asking, and the relations that answer it, for each thing the question names."""

    pattern: re.Pattern[str]
    chains: tuple[tuple[str, ...], ...]
    """One a name; two where two things are compared, four where two spans are."""
    rule: str


class ProcedurePlanner:
    """Typed plans by phrasing; the whole question where no phrasing fits."""

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        return read(question) or whole(question)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        met = trajectory.answer is not None or plan.text == whole(question).text
        return Reflection(goal_met=met, reason="" if met else "a step found nothing")

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        return whole(question)


def read(question: Question) -> Plan | None:
    """The typed plan of a question whose phrasing is known."""
    asked = _SPACE.sub(" ", question.text).strip()
    for procedure in procedures():
        match = procedure.pattern.fullmatch(asked)
        if match is None:
            continue
        names = [name.strip(" ,") for name in match.groups()]
        each = len(procedure.chains) // len(names)
        chains = [steps_of(chain, names[i // each]) for i, chain in enumerate(procedure.chains)]
        return parse_plan(numbered(chains, procedure.rule))
    return None


def steps_of(chain: tuple[str, ...], about: str) -> list[str]:
    """The steps that follow a chain of relations from one thing; `{prev}` is the step before."""
    bare = about.replace("[", "").replace("]", "").replace("#", "")
    return [
        ASK[relation][0].format(f"[{bare}]" if index == 0 else "#{prev}")
        for index, relation in enumerate(chain)
    ]


@cache
def procedures() -> tuple[Procedure, ...]:
    """Every known phrasing, the most particular first."""
    known = [*_comparisons(), *_kin(), *_chains(), *_single()]
    return tuple(known)


def _comparisons() -> list[Procedure]:
    found = [
        Procedure(_pattern(form), ((first, second), (first, second)), rule)
        for first, second, rule, forms in BRIDGE
        for form in forms
    ]
    found += [
        Procedure(_pattern(form), ((relation,), (relation,)), rule)
        for relation, rule, _, forms in COMPARE
        for form in forms
    ]
    span = (("date of birth",), ("date of death",)) * 2
    return [*found, *(Procedure(_pattern(form), span, "longer") for form in LIVED)]


def _kin() -> list[Procedure]:
    return [
        Procedure(_pattern(form.format("{}", name)), (chain,), "step")
        for name, chain in KIN.items()
        for form in ("Who is {0}'s {1}?", "Who is the {1} of {0}?", "Who was the {1} of {0}?")
    ]


def _chains() -> list[Procedure]:
    found: list[Procedure] = []
    for first, mentions, _ in MENTION:
        for second in AFTER.get(first, PERSONAL):
            for form in FINAL[second]:
                for mention in mentions:
                    pattern = _pattern(form.format(mention))
                    found.append(Procedure(pattern, ((first, second),), "step"))
    return found


def _single() -> list[Procedure]:
    return [
        Procedure(_pattern(form), ((relation,),), "step")
        for relation, forms in ASK.items()
        for form in forms
    ]


def _pattern(form: str) -> re.Pattern[str]:
    """A phrasing as a pattern; blanks before a possessive and letter case do not matter."""
    escaped = re.escape(form).replace(r"\{\}", "(.+?)").replace(r"\ 's", "'s")
    escaped = escaped.replace("'s", r"\ ?'s").replace(r"\?", r"\ ?\??")
    return re.compile(escaped, re.IGNORECASE)
