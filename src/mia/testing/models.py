"""Doubles of the contracts: a scripted model, and toys that work on the words of a text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import MIAError
from mia.model import GREEDY, Message, Reply, Sampling, Shape, ToolSpec
from mia.router import PairRemembered, PlanPair
from mia.types import (
    Episode,
    Noun,
    Passage,
    Question,
    Recollection,
    Remembered,
    Usage,
)

_WORD = re.compile(r"\w+")
_DIMENSIONS = 64


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


class ScriptError(AssertionError):
    """A test's script does not fit what was asked. Not a MIAError, so that no loop survives it."""


class Asked(Noun, frozen=True):
    """One call to a ScriptedModel."""

    messages: tuple[Message, ...]
    sampling: Sampling
    shape: Shape | None
    tools: tuple[ToolSpec, ...]


class ScriptedModel:
    """A Model that gives the replies it was given, in order; an error in their place is raised.

    A reply that is a string costs one call and no tokens.
    """

    def __init__(self, replies: Sequence[str | Reply | MIAError]) -> None:
        self.unused: list[str | Reply | MIAError] = list(replies)
        """The replies that were not asked for."""
        self.calls: list[Asked] = []
        """Every call, with all that came with it."""

    @property
    def asked(self) -> list[tuple[Message, ...]]:
        """The messages of every call."""
        return [call.messages for call in self.calls]

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """The next reply. Raises ScriptError when the script is at its end."""
        call = Asked(messages=tuple(messages), sampling=sampling, shape=shape, tools=tuple(tools))
        self.calls.append(call)
        if not self.unused:
            last = messages[-1].content if messages else ""
            raise ScriptError(
                f"call {len(self.calls)} came after the script's end; it asked: {last[:300]!r}"
            )
        reply = self.unused.pop(0)
        if isinstance(reply, MIAError):
            raise reply
        if isinstance(reply, Reply):
            return reply
        return Reply(text=reply, usage=Usage(calls=1))


class ToyEmbedder:
    """An Embedder that hashes words into 64 buckets: texts with words in common are alike."""

    name = "toy-64"

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row a text; zeros for a text without words."""
        counts = np.zeros((len(texts), _DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in _words(text):
                bucket = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=2).digest()
                counts[row, int.from_bytes(bucket, "big") % _DIMENSIONS] += 1
        norms = np.linalg.norm(counts, axis=1, keepdims=True)
        return (counts / np.where(norms > 0, norms, 1)).astype(np.float32)


class ToySearch:
    """A Search over the passages it was given, by the words that a query has in common with title
    and text."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = tuple(passages)
        self.queries: list[str] = []
        """What was searched for."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The passages with most words in common, at least one; earlier ones first among equals."""
        self.queries.append(query)
        wanted = set(_words(query))
        scored = (
            replace(passage, score=float(len(wanted & set(_words(_whole(passage))))))
            for passage in self._passages
        )
        found = sorted((p for p in scored if p.score), key=lambda p: -p.score)
        return tuple(found[:limit])

    async def page(self, address: str) -> Passage | None:
        """The passage of that id, title or URL."""
        for passage in self._passages:
            if address in {passage.id, passage.title, passage.url}:
                return passage
        return None


def _whole(passage: Passage) -> str:
    return f"{passage.title} {passage.text}"


class ToyMemory:
    """A Memory that recalls what it was given, and keeps the episodes it is shown, each once."""

    def __init__(self, recollection: Recollection | None = None) -> None:
        self._recollection = recollection or Recollection()
        self.questions: list[Question] = []
        """What it was asked about."""
        self.episodes: list[Episode] = []
        """What it was to remember."""

    async def recall(self, question: Question) -> Recollection:
        """The recollection it was given, whatever the question."""
        self.questions.append(question)
        return self._recollection

    async def remember(self, episode: Episode) -> Remembered:
        """Keeps an episode that it has not seen."""
        if any(known.id == episode.id for known in self.episodes):
            return Remembered(decision="ignored", reason="seen before")
        self.episodes.append(episode)
        return Remembered(decision="stored", reason="a toy keeps all", workflow_id=episode.id)


class ToyPlanMemory:
    """A PlanMemory that returns the pairs it was given, and keeps the episodes it is shown, each
    couple once."""

    def __init__(self, pairs: Sequence[PlanPair] = ()) -> None:
        self._pairs = tuple(pairs)
        self.questions: list[Question] = []
        """What it was asked about."""
        self.couples: list[tuple[Episode, Episode]] = []
        """What it was to remember: the right episode, and the wrong one."""

    async def pairs(self, question: Question, k: int) -> tuple[PlanPair, ...]:
        """The first of the pairs it was given, whatever the question."""
        self.questions.append(question)
        return self._pairs[:k]

    async def remember_pair(
        self, question: Question, right: Episode, wrong: Episode
    ) -> PairRemembered:
        """Keeps a couple that it has not seen."""
        if any((a.id, b.id) == (right.id, wrong.id) for a, b in self.couples):
            return PairRemembered(decision="ignored", reason="seen before")
        self.couples.append((right, wrong))
        return PairRemembered(decision="stored", reason="a toy keeps all")


class MemoryRecord:
    """A Record in memory: what was written down, and what memory did with it."""

    def __init__(self) -> None:
        self.episodes: list[Episode] = []
        self.settled: dict[str, Remembered] = {}
        """By the id of the episode."""

    async def append(self, episode: Episode) -> None:
        """Keeps the episode."""
        self.episodes.append(episode)

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        """Raises ScriptError for an episode that was not written down before."""
        if all(known.id != episode_id for known in self.episodes):
            raise ScriptError(f"episode {episode_id} was settled before it was written down")
        self.settled[episode_id] = remembered
