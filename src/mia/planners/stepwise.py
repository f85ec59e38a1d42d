"""The Planner for small models: typed plans from an adapter, under a grammar.

It reconsiders by what the run shows, not by asking a model that cannot judge: a run that answered
has met its goal; one that found nothing is attacked again, without the remembered example if there
was one, and at last with the question as a whole as its only step.
"""

from __future__ import annotations

import re

from mia import render
from mia.captioner import in_words
from mia.grammar import span_rules
from mia.model import Grammar, Message, Model, Sampling, ask
from mia.planner import ARITY, MAX_STEPS, parse_plan
from mia.prompts import fill
from mia.types import (
    Plan,
    Question,
    Recollection,
    Reflection,
    Step,
    Trajectory,
    Usage,
)

SAMPLING = Sampling(max_tokens=220)
_PACKAGE = "mia.planners"
_WHOLE = "?"
"""A step that is the question itself, as asked."""
_LETTER = re.compile(r"\[[A-Z]\d?\]")
"""What stands for an entity in a template."""
_WORD = re.compile(r"[^\W\d_]+")
_FILLER = frozenset(
    "a an the of is was were are did does do has had have in on at to for from by with and or s "
    "de du la le van von der".split()
)
"""Words of which some are in names, and which make no other question."""
_SPACE = re.compile(r"\s+")
_NOTE_WORDS = 80
_MAX_QUESTION = 600
"""Characters of a question that a small model is shown."""


class StepwisePlanner:
    """Typed plans by a small model."""

    def __init__(self, model: Model, sampling: Sampling = SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """Raises ModelError when no plan could be read, even after asking again."""
        return await self._ask(question, _shown(recollection, question))

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        if trajectory.answer is not None:
            return Reflection(goal_met=True, reason="every step found what it asked for")
        if plan.text == whole(question).text:
            return Reflection(goal_met=True, reason="nothing is left to try")
        missing = next((t.thought for t in reversed(trajectory.turns) if t.found is None), "")
        return Reflection(goal_met=False, reason=f"nothing found for: {missing}")

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """Another typed plan; the whole question where the model has no other."""
        usage = Usage()
        if _shown(recollection, question):
            other = await self._ask(question, "")
            usage = other.usage
            if other.text != plan.text:
                return other
        return whole(question, usage)

    async def _ask(self, question: Question, example: str) -> Plan:
        asked = _SPACE.sub(" ", in_words(question)).strip()[:_MAX_QUESTION]
        plan, usage = await ask(
            self._model,
            planning_messages(asked, example),
            parse_plan,
            sampling=self._sampling,
            shape=Grammar(gbnf=plan_grammar(asked)),
        )
        if plan.steps[0].text == _WHOLE:
            return whole(question, usage)
        return Plan(text=plan.text, steps=plan.steps, rule=plan.rule, usage=usage)


def planning_messages(question: str, example: str) -> tuple[Message, ...]:
    """What a small model is shown to get a plan; training shows it the same."""
    filled = fill(_PACKAGE, "stepwise_plan.txt", example=example, question=question)
    return (
        Message(role="system", content=fill(_PACKAGE, "stepwise_system.txt")),
        Message(role="user", content=filled),
    )


def whole(question: Question, usage: Usage = Usage()) -> Plan:
    """The plan for questions of no known kind: look the whole question up."""
    asked = _SPACE.sub(" ", in_words(question)).strip()
    plan = parse_plan("#1 ?\nanswer #1", usage)
    return Plan(
        text=plan.text.replace(f" {_WHOLE}", f" {asked}", 1),
        steps=(Step(text=asked.replace("#", " ")),),
        rule=plan.rule,
        usage=usage,
    )


def _shown(recollection: Recollection, question: Question) -> str:
    """What a small model is shown of a recollection: one workflow, or the best note."""
    example = example_of(recollection, in_words(question))
    if example or not recollection.notes:
        return example
    note = _SPACE.sub(" ", f"{recollection.notes[0].title} {recollection.notes[0].text}").strip()
    return f"Remembered: {render.neutralise(render.clip(note, _NOTE_WORDS))}\n"


def example_of(recollection: Recollection, question: str) -> str:
    """The remembered success that a small model is shown: one, with its entities as letters, and
    only when it is the same question but for its names. A small model copies what it is shown, and
    one word makes another procedure: older and younger, father and mother."""
    for recalled in recollection.successes:
        workflow, template = recalled.workflow, recalled.workflow.question_template
        if workflow.plan.startswith("#1 ") and _form(template) == _form(question):
            return f"Solved before: {template}\n{workflow.plan}\n"
    return ""


def _form(question: str) -> set[str]:
    """The words that make a kind of question: all but names, articles and the like. "When" and
    "where" are among them."""
    first, *rest = _WORD.findall(_LETTER.sub(" ", question)) or [""]
    return {first.lower(), *(word for word in rest if word[0].islower())} - _FILLER


def plan_grammar(question: str) -> str:
    """A GBNF grammar of typed plans for one question.

    A step may cite earlier steps only, and a marked subject is a span of the question.
    """
    spans, rules = span_rules(question, "w", banned="[]#")
    return "\n".join(
        [
            'root ::= "#1 " first ("\\nanswer #1" | "\\n" s2)',
            'first ::= "?" | (char | subject)+',
            f'subject ::= "[" ({spans}) "]"',
            r"char ::= [^\[\]#\n]",
            *_step_rules(),
            *rules,
        ]
    )


def _step_rules() -> list[str]:
    rules: list[str] = []
    for number in range(2, MAX_STEPS + 1):
        earlier = " | ".join(f'"#{k}"' for k in range(1, number))
        any_step = f'({earlier} | "#{number}")'
        more = f" | s{number + 1}" if number < MAX_STEPS else ""
        rules.append(
            f's{number} ::= "#{number} " (char | subject | {earlier})+ "\\n" (a{number}{more})'
        )
        two = f'{any_step} " " {any_step}'
        four = f' | "longer " {two} " " {two}' if number >= ARITY["longer"] else ""
        rules.append(
            f'a{number} ::= "answer " ({any_step} | ("first " | "last " | "same ") {two}{four})'
        )
    return rules
