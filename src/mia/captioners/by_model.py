"""The Captioner that asks a model that sees."""

from __future__ import annotations

from mia import render
from mia.captioner import needs_caption
from mia.errors import ModelError
from mia.model import Message, Model, Sampling, ask
from mia.prompts import fill
from mia.reading import split_thought
from mia.types import Observation, Question, Turn

WORDS = 120
"""Of a caption; a longer one is cut."""
SAMPLING = Sampling(max_tokens=1024)
_THOUGHT = "What do the pictures show?"


class ByModel:
    """Describes the pictures in the light of the question, without answering it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    async def look(self, question: Question) -> tuple[Turn, ...]:
        """One turn, where there is something to look at."""
        if not needs_caption(question):
            return ()
        asked = render.fence(render.question(question))
        prompt = fill("mia.captioners", "by_model.txt", question=asked, words=str(WORDS))
        message = Message(role="user", content=prompt, pictures=question.pictures)
        try:
            text, usage = await ask(self._model, (message,), _said, sampling=SAMPLING)
        except ModelError as error:
            told = f"the pictures could not be described: {error}"
            return (Turn(thought=_THOUGHT, observation=Observation(text=told, error=told)),)
        return (Turn(thought=_THOUGHT, found=render.clip(text, WORDS), usage=usage),)


def _said(text: str) -> str:
    said = " ".join(split_thought(text)[1].split())
    if not said:
        raise ModelError("the description was empty")
    return said
