"""Mem0: facts that the mem0 library draws from conversations.

After Chhikara et al., "Mem0: Building Production-Ready AI Agents with Scalable Long-Term Memory"
(arXiv 2504.19413), by its own library, mem0ai 2.2: it extracts facts with its own prompts, embeds
them, and keeps them in a local Qdrant folder. The whole conversation of a finished run is added,
whatever the judge said; the 3 best facts for a question are shown. The model and the embedder are
ours, in place of mem0's clients. Left out: the graph variant and mem0's extras for keywords and
entities, which fetch models of their own (fastembed, spaCy); without them mem0 searches by vectors
alone.

mem0 adds in several steps and knows nothing of episodes, so a ledger beside it has what was made of
each, and what a killed attempt left is taken out before the next one. Facts carry their episode:
those of the question itself, its task, or itself in other words are not shown.

mem0 reads the environment when it is first imported, and reports to its makers unless
MEM0_TELEMETRY is False by then; it keeps a file of its own in MEM0_DIR, or else at home. This
memory refuses to start while mem0 would report. Whoever assembles it sets both before.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mia.captioner import in_words
from mia.memories.asking import Metered, needed
from mia.memories.kept import Keeper, KeptMemory, Rows, Vector, Write, ignored, unfinished
from mia.memories.mem0_library import Library, Mem0Store, Unwritten
from mia.memories.told import thought
from mia.model import Embedder, Model
from mia.render import as_json
from mia.types import Episode, Note, Noun, Question, Recollection, Remembered, Turn

_USER = "mia"
"""mem0 keeps facts for users; ours is one."""
_MOST_LEFT = 10_000
"""Facts that a killed attempt may have left; one conversation gives a few dozen."""
_DIGITS = 6
_NO_VECTOR = np.zeros(0, dtype=np.float32)
"""The ledger is not searched: mem0 is."""


class Fact(Noun, frozen=True):
    """One fact, in the ledger; its text is with mem0."""

    episode: str


class Mem0(KeptMemory):
    """Facts of one folder."""

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        model: Model | None = None,
        *,
        k: int = 3,
        exclude_task: bool = True,
    ) -> None:
        """`path` is a folder. Raises MissingError without mem0, ConfigError without a model or
        where mem0 would report to its makers, and StoreError."""
        self._model = needed(model, "Mem0")
        self._library = Library(path, embedder)
        ledger = path / "episodes.db"
        super().__init__(Keeper(ledger, "mem0", embedder, exclude_task=exclude_task))
        self._k = k

    @property
    def path(self) -> Path:
        """Where it lies: a folder."""
        return self._kept.path.parent

    def close(self) -> None:
        """Closes mem0 and the ledger."""
        self._library.close()
        super().close()

    async def recall(self, question: Question) -> Recollection:
        """The k facts that mem0 finds for the question. Raises ModelError, StoreError."""
        shown = await self._kept.look(question, _ids)
        if not shown:
            return Recollection()
        search = partial(_search, in_words(question), self._k, shown)
        return Recollection(notes=await self._library.run(search))

    async def remember(self, episode: Episode) -> Remembered:
        """Adds the conversation of every run that came to an end. Raises ModelError when the
        embedder cannot be asked, and StoreError."""
        refused = unfinished(episode)
        if refused is not None:
            return refused
        return await self._kept.once(episode, partial(self._write, episode))

    async def _write(self, episode: Episode, asked: Vector) -> Write:
        model = Metered(self._model)
        await self._library.run(partial(_take_out, episode.id))
        try:
            ids = await self._library.run(partial(_add, episode), model)
        except Unwritten as error:
            reason = f"mem0 could not add the conversation: {error}"
            return lambda rows: ignored(reason, model.usage)
        if not ids:
            return lambda rows: ignored("mem0 found no new facts", model.usage)

        def write(rows: Rows) -> Remembered:
            for id in ids:
                rows.put(id, Fact(episode=episode.id), _NO_VECTOR, [episode.id])
            return Remembered(
                decision="stored",
                reason=f"{len(ids)} facts",
                workflow_id=ids[0],
                usage=model.usage,
            )

        return write


def _ids(rows: Rows, asked: Vector) -> frozenset[str]:
    return frozenset(fact.id for fact in rows.all(Fact))


def _search(query: str, k: int, shown: frozenset[str], store: Mem0Store) -> tuple[Note, ...]:
    """The k best facts of those that may be shown. mem0 cannot be told which, so it is asked for
    more until there are enough."""
    most = k
    while True:
        found = store.search(query, top_k=most, filters={"user_id": _USER})["results"]
        facts = [fact for fact in found if fact["id"] in shown][:k]
        if len(facts) == k or len(found) < most:
            return tuple(_note(fact) for fact in facts)
        most *= 4


def _note(fact: dict[str, Any]) -> Note:
    """A fact as mem0 gives it. Its scores differ in their last digits from one opening of the
    folder to the next."""
    return Note(id=fact["id"], text=fact["memory"], score=round(fact["score"], _DIGITS))


def _take_out(episode: str, store: Mem0Store) -> None:
    """Removes what an attempt at an episode left that nobody settled."""
    own = {"user_id": _USER, "episode": episode}
    for fact in store.get_all(filters=own, top_k=_MOST_LEFT)["results"]:
        store.delete(fact["id"])


def _add(episode: Episode, store: Mem0Store) -> list[str]:
    """The ids of the facts that mem0 finds new in a conversation."""
    added = store.add(_conversation(episode), user_id=_USER, metadata={"episode": episode.id})
    return [fact["id"] for fact in added["results"]]


def _conversation(episode: Episode) -> list[dict[str, str]]:
    """The question, what the agent did, and what tools told it."""
    asked = {"role": "user", "content": in_words(episode.question)}
    turns = (message for turn in episode.final.turns for message in _messages(turn, episode))
    return [asked, *turns]


def _messages(turn: Turn, episode: Episode) -> list[dict[str, str]]:
    said = [thought(turn, episode.recollection)]
    if turn.call is not None:
        said.append(f"{turn.call.name} {as_json(turn.call.arguments)}")
    if turn.answer is not None:
        said.append(turn.answer)
    messages = [{"role": "assistant", "content": "\n".join(filter(None, said))}]
    if turn.observation is not None:
        messages.append({"role": "user", "content": turn.observation.text})
    return [message for message in messages if message["content"]]
