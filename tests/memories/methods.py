"""What the tests of the published methods share: a model that always has something to write."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mia.errors import ModelError
from mia.memories.amem import AMem
from mia.memories.expel import ExpeL
from mia.memories.kept import KeptMemory
from mia.memories.mem0 import Mem0
from mia.memories.memento import Memento
from mia.memories.rag import Rag
from mia.memories.reasoningbank import ReasoningBank
from mia.model import GREEDY, Embedder, Message, Model, Reply, Sampling, Schema, Shape, ToolSpec
from mia.testing.models import ToyEmbedder
from mia.types import Note, Question, Recalled, Recollection, Usage

os.environ["MEM0_TELEMETRY"] = "False"  # mem0 reads both when it is first imported
_ITS_OWN = tempfile.TemporaryDirectory(prefix="mem0-")
os.environ.setdefault("MEM0_DIR", _ITS_OWN.name)

without_mem0 = pytest.mark.skipif(
    find_spec("mem0") is None, reason="mem0 is not installed: pip install 'mia[mem0]'"
)


class Willing:
    """A Model that writes for every method, never the same twice."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The last message of every call."""

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """What the schema asks for, with the number of the call in it."""
        self.asked.append(messages[-1].content)
        assert isinstance(shape, Schema)
        written = _WRITTEN[shape.name](len(self.asked))
        return Reply(text=json.dumps(written), usage=Usage(calls=1, prompt_tokens=10))


_WRITTEN: dict[str, Callable[[int], dict[str, Any]]] = {
    "note": lambda n: {"keywords": ["film"], "context": f"context {n}", "tags": ["person"]},
    "evolution": lambda n: {"links": [1], "tags": ["director"], "updates": []},
    "items": lambda n: {
        "reason": "",
        "items": [{"title": f"title {n}", "description": "one thing", "content": "do that"}],
    },
    "insights": lambda n: {
        "reason": "",
        "operations": [{"operation": "ADD", "number": 0, "text": f"insight {n}"}],
    },
    "memory": lambda n: {
        "memory": [{"id": "0", "text": f"When the director of film number {n} was born"}]
    },
}


class Mumbling(Willing):
    """A Model whose replies cannot be read."""

    async def reply(self, messages: Sequence[Message], **_: Any) -> Reply:
        """Prose."""
        self.asked.append(messages[-1].content)
        return Reply(text="Well, it depends.", usage=Usage(calls=1, prompt_tokens=10))


class Down(Willing):
    """A Model that cannot be reached."""

    async def reply(self, messages: Sequence[Message], **_: Any) -> Reply:
        """Raises."""
        self.asked.append(messages[-1].content)
        raise ModelError("the model is down")


class Broken(ToyEmbedder):
    """An embedder that is down."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises."""
        raise ModelError("the embedder is down")


class Other(ToyEmbedder):
    """Another embedder."""

    name = "other-64"


Make = Callable[[Path, Embedder, Model], KeptMemory]


def _raw(path: Path, embedder: Embedder, model: Model) -> KeptMemory:
    return Rag(path, embedder, model, form="raw")


def _expel(path: Path, embedder: Embedder, model: Model) -> KeptMemory:
    return ExpeL(path, embedder, model, together=1)


ALL: dict[str, Make] = {
    "rag": Rag,
    "rag-raw": _raw,
    "mem0": Mem0,
    "amem": AMem,
    "expel": _expel,
    "reasoningbank": ReasoningBank,
    "memento": Memento,
}


def names(*left_out: str) -> list[Any]:
    """Methods as parameters of a test."""
    return [
        pytest.param(name, marks=without_mem0 if name == "mem0" else ())
        for name in ALL
        if name not in left_out
    ]


def shown(found: Recollection) -> list[str]:
    """The texts that a recollection shows."""
    workflows = (item.workflow for item in (*found.successes, *found.failures))
    return [*(f"{w.question_template} {w.plan}" for w in workflows), *(n.text for n in found.notes)]


def a_film(film: str = "Alien") -> Question:
    """A question like those of the episodes, of another film."""
    return Question(text=f"When was the director of film {film} born?", id=f"new {film}")


def noted(*texts: str) -> Recollection:
    """A recollection of notes."""
    return Recollection(notes=tuple(Note(text=text, title="A note") for text in texts))


def ids_of(found: Recollection) -> list[str]:
    """The ids of all that was recalled."""
    items: tuple[Recalled, ...] = (*found.successes, *found.failures)
    return [*(item.workflow.id for item in items), *(note.id for note in found.notes)]
