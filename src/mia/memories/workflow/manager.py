"""The Manager with a model: sorts questions, and tells how a run went better than its form does.

The model replaces the steps of the deterministic draft, their summary and the lesson of a failure.
The question's template and the plan stay as the draft has them, and whatever the model writes goes
through `vetting`. What cannot be used is a ModelError; whoever asked has the draft.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, get_args

import msgspec
from msgspec.structs import replace

from mia import render
from mia.errors import ModelError
from mia.memories.workflow.classify import CATEGORIES, Category
from mia.memories.workflow.compress import MAX_STEPS, MAX_WORDS
from mia.memories.workflow.vetting import WORDS, Vetting
from mia.model import Message, Model, Sampling, Schema, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.types import Episode, Question, Usage, Workflow, WorkflowStep

Kind = Literal[
    "a person", "a date", "a place", "a number", "a name", "yes or no", "some text", "nothing"
]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_PURPOSE_WORDS = 25
_QUERY_WORDS = 40
_LESSON_WORDS = 60
_REASON_WORDS = 100
"""Of what the judge said."""
_PACKAGE = "mia.memories.workflow"
_CLASSIFY = Sampling(max_tokens=1024)
_COMPRESS = Sampling(max_tokens=4096)


class _Sorted(msgspec.Struct, forbid_unknown_fields=True):
    category: Category


class _Step(msgspec.Struct, forbid_unknown_fields=True):
    tool: str
    purpose: str
    query: str
    yielded: Kind


class _Told(msgspec.Struct, forbid_unknown_fields=True):
    steps: list[_Step]
    lesson: str


class Manager:
    """A model that keeps memory."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def classify(self, question: Question) -> tuple[Category, Usage]:
        """The kind of thing that would answer the question, and what it cost to know. Raises
        ModelError when the model's second reply cannot be read either."""
        asked = render.fence(render.question(question))
        text = fill(_PACKAGE, "manager_classify.txt", question=asked)
        shape = _schema("category", {"category": {"type": "string", "enum": list(CATEGORIES)}})
        read, usage = await ask(
            self._model, (Message(role="user", content=text),), _sorted,
            sampling=_CLASSIFY, shape=shape,
        )  # fmt: skip
        return read.category, usage

    async def compress(self, episode: Episode, draft: Workflow) -> tuple[Workflow, Usage]:
        """The draft, which is the episode's deterministic workflow, with the model's steps and
        lesson, and what they cost. Raises ModelError when the second reply cannot be used
        either."""
        read = partial(_workflow, draft=draft, vetting=Vetting(episode, draft))
        message = Message(role="user", content=_prompt(episode, draft))
        shape = _shape(draft)
        return await ask(self._model, (message,), read, sampling=_COMPRESS, shape=shape)


def _prompt(episode: Episode, draft: Workflow) -> str:
    reason = render.clip(episode.verdict.reason, _REASON_WORDS)
    return fill(
        _PACKAGE,
        "manager_compress.txt",
        question=render.fence(render.question(episode.question)),
        run=render.trajectory(episode.final),
        verdict=render.fence(f"{episode.verdict.value}. {reason}".strip()),
        draft=render.fence(_drafted(draft)),
        most=str(MAX_STEPS),
        tools=", ".join(_tools(draft)),
        purpose_words=str(_PURPOSE_WORDS),
        query_words=str(_QUERY_WORDS),
        kinds=", ".join(_KINDS),
        lesson_words=str(_LESSON_WORDS),
        words=" ".join(WORDS),
    )


def _drafted(draft: Workflow) -> str:
    steps = "\n".join(
        f"#{number} tool: {step.tool}; purpose: {step.purpose}; query: {step.query};"
        f" yielded: {step.yielded}"
        for number, step in enumerate(draft.steps, 1)
    )
    lesson = f"\n\nLesson: {draft.lesson}" if draft.lesson else ""
    return f"Question: {draft.question_template}\n\nPlan:\n{draft.plan}\n\nSteps:\n{steps}{lesson}"


def _tools(draft: Workflow) -> tuple[str, ...]:
    """What the run used, by the names that a workflow may show."""
    return tuple(sorted({step.tool for step in draft.steps}))


def _shape(draft: Workflow) -> Schema:
    text = {"type": "string"}
    step = {
        "tool": {"type": "string", "enum": list(_tools(draft))},
        "purpose": text,
        "query": text,
        "yielded": {"type": "string", "enum": list(_KINDS)},
    }
    steps = {"type": "array", "items": _object(step), "minItems": 1, "maxItems": MAX_STEPS}
    return _schema("workflow", {"steps": steps, "lesson": text})


def _schema(name: str, properties: dict[str, Any]) -> Schema:
    return Schema(name=name, schema=_object(properties))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _sorted(text: str) -> _Sorted:
    return read_json(text, _Sorted, ModelError)


def _workflow(text: str, *, draft: Workflow, vetting: Vetting) -> Workflow:
    """What a reply makes of the draft. Raises ModelError for anything that must not be kept."""
    told = read_json(text, _Told, ModelError)
    if not 1 <= len(told.steps) <= MAX_STEPS:
        raise ModelError(f"there should be 1 to {MAX_STEPS} steps, got {len(told.steps)}")
    steps = tuple(_step(step, number, draft, vetting) for number, step in enumerate(told.steps, 1))
    summary = _summary(steps)
    words = len(summary.split())
    if words > MAX_WORDS:
        raise ModelError(f"the steps have {words} words together; at most {MAX_WORDS} are kept")
    lesson = ""
    if draft.outcome == "failure":
        after = len(steps) + 1
        lesson = vetting.text(told.lesson, "lesson", words=_LESSON_WORDS, before=after)
    return replace(draft, steps=steps, summary=summary, lesson=lesson)


def _step(step: _Step, number: int, draft: Workflow, vetting: Vetting) -> WorkflowStep:
    where = f"step {number}"
    if step.tool not in _tools(draft):
        raise ModelError(f"{where}: the run used {', '.join(_tools(draft))} and no other tool")
    purpose = vetting.text(step.purpose, f"{where}, purpose", words=_PURPOSE_WORDS, before=number)
    query = vetting.text(step.query, f"{where}, query", words=_QUERY_WORDS, before=number)
    return WorkflowStep(tool=step.tool, purpose=purpose, query=query, yielded=step.yielded)


def _summary(steps: tuple[WorkflowStep, ...]) -> str:
    """One line a step, as the deterministic way has it."""
    lines: list[str] = []
    for number, step in enumerate(steps, 1):
        asked = "" if step.query == step.purpose else f" ({step.tool}: {step.query})"
        lines.append(f"#{number} {step.purpose}{asked} -> {step.yielded}")
    return "\n".join(lines)
