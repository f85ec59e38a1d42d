"""The Planner for capable models: plans in prose, a typed reflection, a shorter second plan."""

from __future__ import annotations

import msgspec

from mia import render
from mia.errors import ModelError
from mia.model import Message, Model, Sampling, Schema, ask
from mia.planner import Planner
from mia.prompts import fill
from mia.reading import read_json, split_thought
from mia.types import Plan, Question, Recollection, Reflection, Trajectory

PLAN_WORDS = 400
REPLAN_WORDS = 200
SAMPLING = Sampling(max_tokens=4096)
_MEMORY_WORDS = 1500
_PACKAGE = "mia.planners"
_REFLECTION = Schema(
    name="reflection",
    schema={
        "type": "object",
        "properties": {"goal_met": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["goal_met", "reason"],
        "additionalProperties": False,
    },
)


class _Reflected(msgspec.Struct, forbid_unknown_fields=True):
    goal_met: bool
    reason: str


class Conversational(Planner):
    """Plans, reflects and replans by talking to one model. A plan that runs over its words is cut
    there; an empty one, or a reflection that cannot be read, is asked for once again and then
    raises ModelError."""

    def __init__(self, model: Model, sampling: Sampling = SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        """Steps in prose, after what worked before and around what failed."""
        return await self._prose(_opening(question, recollection), PLAN_WORDS)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        """Whether the run reached its goal."""
        request = fill(
            _PACKAGE,
            "conversational_reflect.txt",
            question=render.question(question),
            plan=render.neutralise(plan.text),
            trajectory=render.trajectory(trajectory),
        )
        messages = (_system(), Message(role="user", content=request))
        reflected, usage = await ask(
            self._model, messages, _reflected, sampling=self._sampling, shape=_REFLECTION
        )
        return Reflection(goal_met=reflected.goal_met, reason=reflected.reason, usage=usage)

    async def replan(
        self,
        question: Question,
        recollection: Recollection,
        plan: Plan,
        trajectory: Trajectory,
        reflection: Reflection,
    ) -> Plan:
        """What to do from here: names where the run failed and keeps what it reached."""
        request = fill(
            _PACKAGE,
            "conversational_replan.txt",
            reason=render.neutralise(reflection.reason),
            trajectory=render.trajectory(trajectory),
            words=str(REPLAN_WORDS),
        )
        first = Message(role="assistant", content=render.neutralise(plan.text))
        opening = _opening(question, recollection)
        return await self._prose(
            (*opening, first, Message(role="user", content=request)), REPLAN_WORDS
        )

    async def _prose(self, messages: tuple[Message, ...], words: int) -> Plan:
        text, usage = await ask(self._model, messages, _prose, sampling=self._sampling)
        return Plan(text=render.clip(text, words), usage=usage)


def _system() -> Message:
    return Message(role="system", content=fill(_PACKAGE, "conversational_system.txt"))


def _opening(question: Question, recollection: Recollection) -> tuple[Message, ...]:
    memory = render.clip(render.recollection(recollection), _MEMORY_WORDS)
    request = fill(
        _PACKAGE,
        "conversational_plan.txt",
        question=render.question(question),
        memory=render.fence(memory),
        words=str(PLAN_WORDS),
    )
    return _system(), Message(role="user", content=request, pictures=question.pictures)


def _prose(text: str) -> str:
    said = split_thought(text)[1]
    if not said:
        raise ModelError("the plan was empty")
    return said


def _reflected(text: str) -> _Reflected:
    return read_json(text, _Reflected, ModelError)
