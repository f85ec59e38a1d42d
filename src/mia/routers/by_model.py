"""A model that picks a plan, shown what worked and what did not for questions of the kind."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from mia import render
from mia.errors import ModelError
from mia.model import Message, Model, Sampling, Schema, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.router import Choice, PlanPair, Router
from mia.types import Plan, Question

_SAMPLING = Sampling(max_tokens=2048)
_PLAN_WORDS = 400
_PAIR_WORDS = 200
"""Of each of the two plans of a pair."""


class _Picked(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    plan: int


class ByModel(Router):
    """Asks a model for the number of the plan that is most likely to succeed."""

    def __init__(self, model: Model, sampling: Sampling = _SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        """Raises ModelError when the reply names no plan, even after asking again."""
        text = fill(
            "mia.routers",
            "by_model.txt",
            question=render.question(question),
            pairs=_pairs(pairs),
            candidates=_candidates(candidates),
        )

        def read(reply: str) -> _Picked:
            return _picked(reply, len(candidates))

        picked, usage = await ask(
            self._model,
            (Message(role="user", content=text),),
            read,
            sampling=self._sampling,
            shape=_shape(len(candidates)),
        )
        return Choice(index=picked.plan - 1, reason=picked.reason, usage=usage)


def _shape(options: int) -> Schema:
    return Schema(
        name="choice",
        schema={
            "type": "object",
            "properties": {
                "reason": {"type": "string"},
                "plan": {"type": "integer", "enum": list(range(1, options + 1))},
            },
            "required": ["reason", "plan"],
            "additionalProperties": False,
        },
    )


def _picked(text: str, options: int) -> _Picked:
    picked = read_json(text, _Picked, ModelError)
    if not 1 <= picked.plan <= options:
        raise ModelError(f"there are plans 1 to {options}, and no plan {picked.plan}")
    return picked


def _candidates(plans: Sequence[Plan]) -> str:
    fenced = (render.fence(render.clip(plan.text, _PLAN_WORDS)) for plan in plans)
    return "\n\n".join(f"Plan {number}\n{plan}" for number, plan in enumerate(fenced, 1))


def _pairs(pairs: Sequence[PlanPair]) -> str:
    if not pairs:
        return "There are no records."
    records = (
        f"Record {number}: {pair.question_template}\n"
        f"Right plan:\n{render.clip(pair.right, _PAIR_WORDS)}\n"
        f"Wrong plan:\n{render.clip(pair.wrong, _PAIR_WORDS)}"
        for number, pair in enumerate(pairs, 1)
    )
    return render.fence("\n\n".join(records))
