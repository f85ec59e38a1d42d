"""ReasoningBank: titled lessons from runs that succeeded and from runs that failed.

After Ouyang et al., "ReasoningBank: Scaling Agent Self-Evolving with Reasoning Memory" (arXiv
2509.25140). Taken: at most 3 items {title, description, content} from each run, by one prompt for
successes and another for failures; items are only ever added; a question is shown the items of the
k = 1 past run whose question is nearest. Not taken: the model that judges a run's success without
gold: the verdict is the episode's, so that all methods of a comparison learn from the same ones.
Left out: memory-aware test-time scaling (MaTTS), which draws several runs of each question.

Without a readable reply a run has no items, and nothing is kept of it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from mia import render
from mia.errors import ModelError
from mia.memories.asking import Metered, needed, schema, shape_of
from mia.memories.kept import (
    Held,
    Keeper,
    KeptMemory,
    Rows,
    Vector,
    Write,
    ignored,
    undecided,
)
from mia.memories.told import told
from mia.model import Embedder, Message, Model, Sampling, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.types import Episode, Note, Noun, Question, Recollection, Remembered, VerdictValue

MOST = 3
"""Items of one run."""
_RUN_WORDS = 3000
_TITLE_WORDS = 20
_DESCRIPTION_WORDS = 50
_CONTENT_WORDS = 150
_PACKAGE = "mia.memories"
_SAMPLING = Sampling(max_tokens=4096)
_TEXT = {"type": "string"}
_ITEM = shape_of({"title": _TEXT, "description": _TEXT, "content": _TEXT})
_SHAPE = schema("items", {"reason": _TEXT, "items": {"type": "array", "items": _ITEM}})

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Item(Noun, frozen=True):
    """One thing to remember."""

    title: str
    description: str
    content: str


class Lessons(Noun, frozen=True):
    """What one run teaches."""

    items: tuple[Item, ...]
    success: bool


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    title: _Text
    description: str
    content: _Text


class _Drawn(msgspec.Struct, forbid_unknown_fields=True):
    reason: str
    items: Annotated[list[_Item], msgspec.Meta(max_length=MOST)]


class ReasoningBank(KeptMemory):
    """Lessons of one file."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        k: int = 1,
        exclude_task: bool = True,
    ) -> None:
        """`k` is the past runs whose items are shown. Raises ConfigError without a model, and
        StoreError."""
        self._model = needed(model, "ReasoningBank")
        super().__init__(Keeper(path, "reasoningbank", embedder, exclude_task=exclude_task))
        self._k = k

    async def recall(self, question: Question) -> Recollection:
        """The items of the k runs of the nearest questions. Raises ModelError, StoreError."""

        def job(rows: Rows, asked: Vector) -> Recollection:
            found = rows.nearest(Lessons, asked, self._k)
            return Recollection(notes=tuple(note for one in found for note in _notes(one)))

        return await self._kept.look(question, job)

    async def remember(self, episode: Episode) -> Remembered:
        """Draws lessons from a judged run. Raises ModelError when the embedder cannot be asked,
        and StoreError."""
        refused = undecided(episode)
        if refused is not None:
            return refused
        return await self._kept.once(episode, partial(self._write, episode))

    async def _write(self, episode: Episode, asked: Vector) -> Write:
        model = Metered(self._model)
        try:
            lessons = await _lessons(episode, model)
        except ModelError as error:
            reason = f"no lessons could be drawn: {error}"
            return lambda rows: ignored(reason, model.usage)
        if not lessons.items:
            return lambda rows: ignored("the run teaches nothing", model.usage)

        def write(rows: Rows) -> Remembered:
            rows.put(episode.id, lessons, asked, [episode.id])
            return Remembered(
                decision="stored",
                reason=f"{len(lessons.items)} lessons",
                workflow_id=episode.id,
                usage=model.usage,
            )

        return write


async def _lessons(episode: Episode, model: Model) -> Lessons:
    """What the model draws from a run. Raises ModelError when it cannot be read."""
    success = episode.verdict.value is VerdictValue.CORRECT
    text = fill(
        _PACKAGE,
        "reasoningbank_success.txt" if success else "reasoningbank_failure.txt",
        question=render.fence(render.question(episode.question)),
        run=render.fence(told(episode.final, episode.recollection, _RUN_WORDS)),
        most=str(MOST),
    )
    message = Message(role="user", content=text)
    items, _ = await ask(model, (message,), read_items, sampling=_SAMPLING, shape=_SHAPE)
    return Lessons(items=items, success=success)


def read_items(text: str) -> tuple[Item, ...]:
    """The items of a reply, long ones cut. Raises ModelError, also for too many."""
    return tuple(
        Item(
            title=render.clip(item.title, _TITLE_WORDS),
            description=render.clip(item.description, _DESCRIPTION_WORDS),
            content=render.clip(item.content, _CONTENT_WORDS),
        )
        for item in read_json(text, _Drawn, ModelError).items
    )


def _notes(one: Held[Lessons]) -> list[Note]:
    return [
        Note(
            id=f"{one.id}/{number}",
            title=item.title,
            text=f"{item.description}\n{item.content}".strip(),
            score=one.similarity,
        )
        for number, item in enumerate(one.body.items, 1)
    ]
