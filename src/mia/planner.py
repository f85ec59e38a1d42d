"""The Planner's contract, and the language of typed plans.

A typed plan is written one step a line:

    #1 Who is the director of [Hanna's War]?
    #2 When did #1 die?
    answer #2

A step cites earlier steps as `#k` and marks in brackets what it is about. The last line says how
the answer comes about: a step's result (`#2`); the earlier, smaller (`first #3 #4`) or the later,
larger (`last #3 #4`) of two, which answers with what the winning chain began with; whether two
are the same (`same #3 #4`: yes or no); which of two spans is longer (`longer #1 #2 #3 #4`).
"""

from __future__ import annotations

import re
from typing import Protocol

from mia.errors import ModelError
from mia.types import Plan, Question, Recollection, Reflection, Rule, Step, Trajectory, Usage

MAX_STEPS = 6
ARITY = {"step": 1, "first": 2, "last": 2, "same": 2, "longer": 4}
"""How many steps each rule combines."""

_STEP = re.compile(r"#(\d) (\S.*)")
_ANSWER = re.compile(r"answer (?:(first|last|same|longer) )?(#\d(?: #\d)*)")
_REF = re.compile(r"#(\d+)")
_SUBJECT = re.compile(r"\[([^\[\]]+)\]")


class Planner(Protocol):
    """Turns a question and what memory knows into a plan, and reconsiders it after a run."""

    async def plan(self, question: Question, recollection: Recollection) -> Plan: ...

    async def reflect(
        self, question: Question, plan: Plan, trajectory: Trajectory
    ) -> Reflection: ...

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan: ...


def refs(text: str) -> tuple[int, ...]:
    """The steps a step cites."""
    return tuple(int(number) for number in _REF.findall(text))


def subject(text: str) -> str | None:
    """What a step is about, when it says so in brackets."""
    match = _SUBJECT.search(text)
    return match[1].strip() if match else None


def plain(text: str) -> str:
    """A step's text without its brackets."""
    return _SUBJECT.sub(r"\1", text)


def render_plan(steps: tuple[Step, ...], rule: Rule) -> str:
    """A typed plan as text; `parse_plan` reads it back."""
    lines = [f"#{number} {step.text}" for number, step in enumerate(steps, 1)]
    operands = " ".join(f"#{number}" for number in rule.steps)
    op = "" if rule.op == "step" else f"{rule.op} "
    return "\n".join([*lines, f"answer {op}{operands}"])


def numbered(chains: list[list[str]], rule: str) -> str:
    """A plan's text from chains of steps, one chain for each thing the question names, and the
    rule over their ends. A later step of a chain says `#{prev}` for the step before it. All first
    steps come first, then all second ones, except for spans (`longer`), which stay together."""
    places = [(c, s) for c, chain in enumerate(chains) for s in range(len(chain))]
    if rule != "longer":
        places.sort(key=lambda place: (place[1], place[0]))
    number = {place: n for n, place in enumerate(places, 1)}
    lines = [
        f"#{number[c, s]} " + chains[c][s].replace("{prev}", str(number.get((c, s - 1), "")))
        for c, s in places
    ]
    ends = " ".join(f"#{number[c, len(chain) - 1]}" for c, chain in enumerate(chains))
    return "\n".join([*lines, f"answer {ends}" if rule == "step" else f"answer {rule} {ends}"])


def parse_plan(text: str, usage: Usage = Usage()) -> Plan:
    """Reads a typed plan. Raises ModelError for anything that is not exactly one."""
    *step_lines, answer_line = text.strip().splitlines() or [""]
    steps: list[Step] = []
    for number, line in enumerate(step_lines, 1):
        match = _STEP.fullmatch(line.strip())
        if match is None or int(match[1]) != number:
            raise ModelError(f"plan line {number} should read '#{number} ...', got {line!r}")
        if any(not 1 <= ref < number for ref in refs(match[2])):
            raise ModelError(f"step #{number} cites a step that is not before it: {line!r}")
        steps.append(Step(text=match[2].strip()))
    if not 1 <= len(steps) <= MAX_STEPS:
        raise ModelError(f"a plan has 1 to {MAX_STEPS} steps, got {len(steps)}")
    rule = _parse_rule(answer_line.strip(), len(steps))
    return Plan(text=render_plan(tuple(steps), rule), steps=tuple(steps), rule=rule, usage=usage)


def _parse_rule(line: str, steps: int) -> Rule:
    match = _ANSWER.fullmatch(line)
    if match is None:
        raise ModelError(f"a plan ends in 'answer ...', got {line!r}")
    op, operands = match[1] or "step", refs(match[2])
    if len(operands) != ARITY[op] or any(not 1 <= ref <= steps for ref in operands):
        raise ModelError(f"the answer line does not fit a plan of {steps} steps: {line!r}")
    return Rule(op=op, steps=operands)  # type: ignore[arg-type]  # _ANSWER admits only these


def root(steps: tuple[Step, ...], number: int) -> str | None:
    """What the chain that ends in step `number` began with."""
    step = steps[number - 1].text
    cited = refs(step)
    return root(steps, cited[0]) if cited else subject(step)
