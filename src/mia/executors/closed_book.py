"""An executor that looks nothing up: what the model knows by itself. A control: what it gets right
is owed to no search and no memory."""

from __future__ import annotations

from mia import render
from mia.errors import ModelError
from mia.executor import Executor, Watch, unwatched
from mia.model import Message, Model, Sampling
from mia.prompts import fill
from mia.reading import split_thought
from mia.types import Plan, Question, Trajectory, Turn

_SAMPLING = Sampling(max_tokens=512)
_PACKAGE = "mia.executors"


class ClosedBook(Executor):
    """Asks the model once."""

    def __init__(self, model: Model, sampling: Sampling = _SAMPLING) -> None:
        self._model = model
        self._sampling = sampling

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        """The model's answer; abstains where it says nothing. The plan is not shown."""
        messages = (
            Message(role="system", content=fill(_PACKAGE, "closed_book.txt").strip()),
            Message(role="user", content=render.question(question), pictures=question.pictures),
        )
        try:
            reply = await self._model.reply(messages, sampling=self._sampling)
        except ModelError as error:
            return Trajectory(outcome=f"failed:{error.code}", detail=str(error))
        said = split_thought(reply.text)[1].strip()
        first = said.splitlines()[0].strip() if said else ""
        turn = Turn(answer=first or None, usage=reply.usage)
        watch(turn)
        return Trajectory(turns=(turn,), outcome="answered" if first else "abstained")
