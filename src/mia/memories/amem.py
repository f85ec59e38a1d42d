"""A-Mem: notes that a model describes, links with each other, and lets change each other.

After Xu et al., "A-MEM: Agentic Memory for LLM Agents" (arXiv 2502.12110). Taken: the note
(content, time, keywords, tags, context, a vector of all of these, links); link generation and
evolution over the 5 nearest notes, in one call as in the authors' code (the new note is linked,
neighbours get another context and other tags); retrieval of the k = 10 nearest by the question,
with the notes that those are linked with. Left out: the tools by which an agent edits notes itself,
and deletion. A run of ours is one note, where theirs is a turn of a dialogue, so its content is
cut. All finished runs are kept, since the paper knows no verdicts; what the judge said stands in
the content.

Where the model cannot be read, the method does without, as the authors' code does: a note without a
description, or one that stays as it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from mia import render
from mia.captioner import in_words
from mia.errors import ModelError
from mia.memories.asking import Metered, needed, schema, shape_of
from mia.memories.kept import (
    Held,
    Keeper,
    KeptMemory,
    Rows,
    Vector,
    Write,
    unfinished,
)
from mia.memories.told import judged, told
from mia.model import Embedder, Message, Model, Sampling, ask
from mia.prompts import fill
from mia.reading import read_json
from mia.types import Episode, Noun, Question, Recollection, Remembered
from mia.types import Note as Shown

_PACKAGE = "mia.memories"
_SAMPLING = Sampling(max_tokens=2048)
_CONTENT_WORDS = 200
"""Ten notes, and ten that they are linked with, are to fit into a prompt."""
_MOST_TAGS = 12
_CONTEXT_WORDS = 60
_TAG_WORDS = 6

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Tags = Annotated[list[_Text], msgspec.Meta(max_length=_MOST_TAGS)]


class Note(Noun, frozen=True):
    """One run, as the model describes it."""

    content: str
    at: str
    """ISO 8601, UTC."""
    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    context: str = ""
    links: tuple[str, ...] = ()
    """Ids of the notes that it is linked with."""


class _Description(msgspec.Struct, forbid_unknown_fields=True):
    keywords: _Tags
    context: str
    tags: _Tags


class Update(msgspec.Struct, forbid_unknown_fields=True):
    """What a neighbour should say from now on."""

    number: int
    context: str
    tags: _Tags


class Evolution(msgspec.Struct, forbid_unknown_fields=True):
    """What becomes of a new note and its neighbours, who have numbers from 1."""

    links: list[int]
    tags: _Tags
    updates: list[Update]


_TEXTS = {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_TAGS}
_NUMBER = {"type": "integer", "minimum": 1}
_DESCRIBING = schema("note", {"keywords": _TEXTS, "context": {"type": "string"}, "tags": _TEXTS})
_UPDATE = shape_of({"number": _NUMBER, "context": {"type": "string"}, "tags": _TEXTS})
_EVOLVING = schema(
    "evolution",
    {
        "links": {"type": "array", "items": _NUMBER},
        "tags": _TEXTS,
        "updates": {"type": "array", "items": _UPDATE},
    },
)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A new note, and what it changes of others, by their ids."""

    note: Note
    changed: Mapping[str, Note]
    happened: str
    """For people."""


class AMem(KeptMemory):
    """Notes of one file."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        k: int = 10,
        neighbours: int = 5,
        exclude_task: bool = True,
    ) -> None:
        """`neighbours` is how many notes a new one may change. Raises ConfigError without a model,
        and StoreError."""
        self._model = needed(model, "A-Mem")
        super().__init__(Keeper(path, "amem", embedder, exclude_task=exclude_task))
        self._k = k
        self._neighbours = neighbours

    async def recall(self, question: Question) -> Recollection:
        """The k nearest notes, and at most as many that they are linked with, each after the first
        that is linked with it. Raises ModelError, StoreError."""

        def job(rows: Rows, asked: Vector) -> Recollection:
            found = rows.nearest(Note, asked, self._k)
            return Recollection(notes=tuple(map(_shown, _with_links(rows, found, self._k))))

        return await self._kept.look(question, job)

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps every run that came to an end. Raises ModelError when the embedder cannot be
        asked, and StoreError."""
        refused = unfinished(episode)
        if refused is not None:
            return refused
        return await self._kept.once(episode, partial(self._write, episode))

    async def _write(self, episode: Episode, asked: Vector) -> Write:
        model = Metered(self._model)
        draft = await self._draft(episode, model)
        ids = (episode.id, *draft.changed)
        notes = (draft.note, *draft.changed.values())
        vectors = await self._kept.vectors(*map(_told, notes))

        def write(rows: Rows) -> Remembered:
            for id, note, vector in zip(ids, notes, vectors, strict=True):
                rows.put(id, note, vector, [episode.id])
            return Remembered(
                decision="stored", reason=draft.happened, workflow_id=episode.id, usage=model.usage
            )

        return write

    async def _draft(self, episode: Episode, model: Model) -> _Draft:
        """The note of a run, and what it does to its neighbours."""
        note, happened = Note(content=_content(episode), at=episode.started), "a new note"
        try:
            note = await _described(note, model)
        except ModelError as error:
            happened = f"{happened}, not described: {error}"
        (vector,) = await self._kept.vectors(_told(note))
        near = await self._kept.read(lambda rows: rows.nearest(Note, vector, self._neighbours))
        if not near:
            return _Draft(note, {}, happened)
        try:
            evolved = await _evolved(note, near, model)
        except ModelError as error:
            return _Draft(note, {}, f"{happened}, not linked: {error}")
        note = replace(
            note,
            tags=_short(evolved.tags) or note.tags,
            links=tuple(near[number - 1].id for number in dict.fromkeys(evolved.links)),
        )
        changed = dict(_changes(evolved.updates, near))
        return _Draft(note, changed, f"{happened}, {len(note.links)} links, {len(changed)} updates")


async def _described(note: Note, model: Model) -> Note:
    """The note with the model's description. Raises ModelError when it cannot be read."""
    text = fill(_PACKAGE, "amem_note.txt", content=render.fence(note.content))
    read = partial(read_json, kind=_Description, error=ModelError)
    message = Message(role="user", content=text)
    described, _ = await ask(model, (message,), read, sampling=_SAMPLING, shape=_DESCRIBING)
    return replace(
        note,
        keywords=_short(described.keywords),
        tags=_short(described.tags),
        context=render.clip(described.context, _CONTEXT_WORDS),
    )


async def _evolved(note: Note, near: Sequence[Held[Note]], model: Model) -> Evolution:
    """What the model makes of a note beside its neighbours. Raises ModelError when it cannot be
    read."""
    numbered = (f"Note {number}\n{_told(one.body)}" for number, one in enumerate(near, 1))
    text = fill(
        _PACKAGE,
        "amem_evolve.txt",
        note=render.fence(_told(note)),
        neighbours=render.fence("\n\n".join(numbered)),
    )
    read = partial(read_evolution, neighbours=len(near))
    message = Message(role="user", content=text)
    evolved, _ = await ask(model, (message,), read, sampling=_SAMPLING, shape=_EVOLVING)
    return evolved


def read_evolution(text: str, *, neighbours: int) -> Evolution:
    """What a reply makes of a note. Raises ModelError also for numbers that no neighbour has, and
    for two updates of one."""
    evolved = read_json(text, Evolution, ModelError)
    updated = [update.number for update in evolved.updates]
    for number in (*evolved.links, *updated):
        if not 1 <= number <= neighbours:
            raise ModelError(f"there are notes 1 to {neighbours}, and no note {number}")
    if len(set(updated)) < len(updated):
        raise ModelError("a note is updated twice")
    return evolved


def _changes(updates: Sequence[Update], near: Sequence[Held[Note]]) -> Iterator[tuple[str, Note]]:
    """The neighbours that change, by their ids."""
    for update in updates:
        old = near[update.number - 1]
        context = render.clip(update.context, _CONTEXT_WORDS) or old.body.context
        changed = replace(old.body, context=context, tags=_short(update.tags) or old.body.tags)
        if changed != old.body:
            yield old.id, changed


def _content(episode: Episode) -> str:
    asked = f"Question: {in_words(episode.question)}"
    run = told(episode.final, episode.recollection, _CONTENT_WORDS)
    return f"{asked}\n{run}\nThe answer was {judged(episode)}."


def _told(note: Note) -> str:
    """A note with all that describes it: what is shown of it and, as in the paper, what it is
    found by."""
    parts = [note.content]
    if note.context:
        parts.append(f"Context: {note.context}")
    if note.keywords:
        parts.append(f"Keywords: {', '.join(note.keywords)}")
    if note.tags:
        parts.append(f"Tags: {', '.join(note.tags)}")
    return "\n".join(parts)


def _short(texts: Sequence[str]) -> tuple[str, ...]:
    """Keywords or tags, each once, none of them a sentence."""
    cut = (render.clip(text.strip(), _TAG_WORDS) for text in texts)
    return tuple(dict.fromkeys(text for text in cut if text))


def _with_links(rows: Rows, found: Sequence[Held[Note]], most: int) -> Iterator[Held[Note]]:
    """What was found, each with those it is linked with that were not, at most so many more."""
    seen = {one.id for one in found}
    for one in found:
        yield one
        for id in one.body.links:
            linked = rows.get(id, Note)
            if most > 0 and linked is not None and id not in seen:
                seen.add(id)
                most -= 1
                yield Held(id, linked, one.similarity)


def _shown(one: Held[Note]) -> Shown:
    return Shown(id=one.id, text=_told(one.body), score=one.similarity)
