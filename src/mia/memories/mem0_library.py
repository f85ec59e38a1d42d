"""The mem0 library with our model and embedder in it, in a thread of its own.

mem0 blocks, and is not made for several threads at once. It runs in one thread, whose jobs take
turns, and waits there for our models, which run in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import msgspec

from mia.errors import ConfigError, MissingError, ModelError, StoreError, adding
from mia.locks import alone
from mia.memories.asking import schema, shape_of
from mia.model import Embedder, Message, Model, Sampling, ask
from mia.reading import read_json

T = TypeVar("T")

_SAMPLING = Sampling(max_tokens=4096)
_POLL_SECONDS = 0.5
_NOBODY = "nobody waits for mem0 any more"
_TEXT = {"type": "string"}
_FACT = shape_of(
    {
        "id": _TEXT,
        "text": _TEXT,
        "attributed_to": {"type": "string", "enum": ["user", "assistant"]},
        "linked_memory_ids": {"type": "array", "items": _TEXT},
    }
)
_SHAPE = schema("memory", {"memory": {"type": "array", "items": _FACT}})


class _Fact(msgspec.Struct, omit_defaults=True):
    """What mem0 reads of a fact; models may write more, as mem0's prompt asks them to."""

    text: Annotated[str, msgspec.Meta(min_length=1)]
    attributed_to: str = ""


class _Facts(msgspec.Struct):
    memory: list[_Fact]


class Unwritten(ModelError):
    """The model did not write what mem0 asked for."""


class Mem0Store(Protocol):
    """What we use of mem0's `Memory`. Facts come as dictionaries with `id`, `memory` (the text)
    and, from a search, `score`."""

    llm: object
    embedding_model: object
    vector_store: Any

    def add(
        self, messages: list[dict[str, str]], *, user_id: str, metadata: dict[str, str]
    ) -> dict[str, list[dict[str, Any]]]: ...

    def search(
        self, query: str, *, top_k: int, filters: dict[str, str]
    ) -> dict[str, list[dict[str, Any]]]: ...

    def get_all(
        self, *, filters: dict[str, str], top_k: int
    ) -> dict[str, list[dict[str, Any]]]: ...

    def delete(self, memory_id: str) -> object: ...

    def close(self) -> None: ...


class Library:
    """mem0 on one folder."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        """Raises MissingError where mem0 is not installed, and ConfigError where it would report
        to its makers."""
        self._mem0 = _installed()
        self._folder = folder
        self._embedder = embedder
        self._bridge = _Bridge()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="mem0")
        self._opened: Mem0Store | None = None
        self._held = ExitStack()

    async def run(self, job: Callable[[Mem0Store], T], model: Model | None = None) -> T:
        """What a job in mem0's thread comes to; `model` writes for it. Raises ModelError when
        the embedder cannot be asked, also where mem0 would go on without, Unwritten when the model
        cannot, and StoreError for whatever else goes wrong in mem0."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, partial(self._run, loop, job, model))

    def close(self) -> None:
        """Closes mem0's files, after the job that is under way, which waits for no model now."""
        if not self._bridge.over:
            self._bridge.over = True
            self._worker.submit(self._close).result()
            self._worker.shutdown()

    def _run(
        self, loop: asyncio.AbstractEventLoop, job: Callable[[Mem0Store], T], model: Model | None
    ) -> T:
        self._bridge.begin(loop)
        store = self._open()
        store.llm = _OurModel(model, self._bridge)
        try:
            done = job(store)
        except (self._mem0.errors, sqlite3.Error, OSError, ValueError) as error:
            raise self._bridge.fault or StoreError(f"mem0: {error}") from error
        if self._bridge.fault is not None:  # which mem0 has passed over
            raise self._bridge.fault
        return done

    def _open(self) -> Mem0Store:
        if self._opened is None:
            ours = _OurEmbedder(self._embedder, self._bridge)
            settings = _settings(self._folder, len(ours.embed("one text, to count numbers")))
            busy = f"another process has {self._folder} open, and mem0 can only be in one"
            with ExitStack() as opening:
                opening.enter_context(alone(self._folder / "mem0.lock", busy))
                try:
                    self._opened = self._mem0.make(settings)
                except (OSError, RuntimeError, ValueError) as error:
                    raise StoreError(f"mem0 cannot open {self._folder}: {error}") from error
                self._held = opening.pop_all()
            self._opened.embedding_model = ours
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.vector_store.client.close()
            self._opened.close()
            self._opened = None
        self._held.close()


class _Bridge:
    """Where mem0's thread waits for what our event loop does."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.over = False
        """Whether nobody waits for mem0 any more: its loop may stand still."""
        self.fault: ModelError | None = None
        """What first went wrong in a job: mem0 leaves out what it could not embed."""

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """A new job, for which somebody waits in this loop."""
        self._loop = loop
        self.fault = None

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work comes to. Raises ModelError, also when nobody waits for it any more."""
        try:
            return self._waited(work)
        except ModelError as error:
            self.fault = self.fault or error
            raise

    def _waited(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            raise ModelError(_NOBODY)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        while True:
            try:
                return future.result(_POLL_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                if self.over or loop.is_closed():
                    future.cancel()
                    raise ModelError(_NOBODY) from None


class _OurModel:
    """Our model where mem0 expects one of its clients."""

    def __init__(self, model: Model | None, bridge: _Bridge) -> None:
        self._model = model
        self._bridge = bridge

    def generate_response(self, messages: list[dict[str, str]], **_: object) -> str:
        """Facts as JSON. mem0 takes what it cannot read for no facts, so it is read strictly here.
        Raises Unwritten."""
        if self._model is None:
            raise Unwritten("mem0 asked a model where it should not")
        asked = [msgspec.convert(message, Message) for message in messages]
        return self._bridge.wait(_extracted(self._model, asked))


class _OurEmbedder:
    """Our embedder where mem0 expects one of its clients."""

    def __init__(self, embedder: Embedder, bridge: _Bridge) -> None:
        self._embedder = embedder
        self._bridge = bridge

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The vector of a text."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str], memory_action: str = "add") -> list[list[float]]:
        """The vectors of texts. Raises ModelError."""

        async def embedded() -> list[list[float]]:
            rows: list[list[float]] = (await self._embedder.embed(texts)).tolist()
            return rows

        return self._bridge.wait(embedded())


async def _extracted(model: Model, asked: Sequence[Message]) -> str:
    try:
        facts, _usage = await ask(model, asked, _read, sampling=_SAMPLING, shape=_SHAPE)
    except ModelError as error:
        raise Unwritten(str(error)) from error
    return msgspec.json.encode(facts).decode()


def _read(text: str) -> _Facts:
    return read_json(text, _Facts, ModelError)


def _settings(folder: Path, dimensions: int) -> dict[str, Any]:
    """Everything on the disk, in one folder. mem0 makes clients at once, for which a key has to be
    there; ours take their place before they are used."""
    client = {"provider": "openai", "config": {"api_key": "none"}}
    place = {
        "path": str(folder / "qdrant"),
        "collection_name": "facts",
        "embedding_model_dims": dimensions,
        "on_disk": True,
    }
    return {
        "llm": client,
        "embedder": client,
        "vector_store": {"provider": "qdrant", "config": place},
        "history_db_path": str(folder / "history.db"),
    }


@dataclass(frozen=True, slots=True)
class _Mem0:
    """What the library's modules have for us."""

    make: Callable[[dict[str, Any]], Mem0Store]
    errors: type[Exception]


def _installed() -> _Mem0:
    try:
        mem0 = import_module("mem0")
        telemetry = import_module("mem0.memory.telemetry")
        exceptions = import_module("mem0.exceptions")
    except ImportError as error:
        raise MissingError(f"mem0 is not installed; run: {adding('mem0')}") from error
    # what it warns of is for who set it up by hand; a handler of the application's still gets it
    logging.getLogger("mem0").addHandler(logging.NullHandler())
    if telemetry.MEM0_TELEMETRY:
        raise ConfigError("mem0 would report to its makers; set MEM0_TELEMETRY=False before")
    return _Mem0(make=mem0.Memory.from_config, errors=exceptions.MemoryError)
