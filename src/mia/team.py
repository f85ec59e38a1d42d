"""Puts a team together from settings: the one place where parts are chosen."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from mia import config
from mia.config import Endpoint, Loaded
from mia.demo import world
from mia.errors import ConfigError, MissingError
from mia.executor import Executor
from mia.executors.react.loop import React
from mia.executors.react.native import Native
from mia.executors.react.tagged import Tagged
from mia.executors.stepwise.executor import Stepwise
from mia.executors.stepwise.reader import ModelReader
from mia.journal import Journal, RunRecord, fingerprint
from mia.judge import Judge
from mia.judges.exact_match import ExactMatch
from mia.judges.gold_first import GoldFirst
from mia.judges.panel import Panel
from mia.judges.reference import Reference
from mia.memories.none import NoMemory, NoPlanMemory
from mia.memories.plan_pairs import PairMemory
from mia.memories.workflow.manager import Manager
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.memory import Memory
from mia.model import Embedder, Model
from mia.models.catalog import known, place, present
from mia.models.llama_cpp import Engine
from mia.models.minilm import MiniLM
from mia.models.openai_compatible import OpenAICompatible, OpenAIEmbeddings, Prices
from mia.models.recorded import (
    RecordedEmbedder,
    RecordedModel,
    RecordedSearch,
    ReplayEmbedder,
    ReplayModel,
    ReplaySearch,
    Tape,
)
from mia.planner import Planner
from mia.planners.conversational import SAMPLING as PROSE
from mia.planners.conversational import Conversational
from mia.planners.routed import Routed
from mia.planners.stepwise import SAMPLING as TYPED
from mia.planners.stepwise import StepwisePlanner
from mia.retry import Policy, Retry
from mia.router import Router
from mia.routers.by_likeness import ByLikeness
from mia.routers.by_model import ByModel
from mia.search import corpus
from mia.search.bm25 import BM25, build, is_index
from mia.solve import Team
from mia.tool import Search
from mia.tools.open_page import OpenPage
from mia.tools.text_search import TextSearch

T = TypeVar("T")

ADAPTERS = ("planner", "reader")
_EXPLORING = 1.0
"""The temperature of all candidate plans but the first."""
Say = Callable[[str], None]


def silent(_: str) -> None:
    """For callers who need no progress."""


@dataclass
class House:
    """The parts that settings describe, each made when it is first asked for.

    Use it as a context manager: leaving closes the stores.
    """

    loaded: Loaded
    corpus: Path | None = None
    """A corpus or an index; None for the one in the settings, or the demo's."""
    say: Say = silent
    record: Path | None = None
    """A tape to write every model, embedder and search call to."""
    replay: Path | None = None
    """A tape to take them all from; nothing is loaded or asked then."""
    _open: ExitStack = field(default_factory=ExitStack)
    _connections: AsyncExitStack = field(default_factory=AsyncExitStack)
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._runner.run(self._connections.aclose())
        finally:
            self._runner.close()
            self._open.close()

    def complete(self, work: Coroutine[object, object, T]) -> T:
        """The result of work, done in the house's own event loop: connections made there stay
        usable until the house is left."""
        return self._runner.run(work)

    @property
    def settings(self) -> config.Settings:
        return self.loaded.settings

    @cached_property
    def journal(self) -> Journal:
        journal = Journal(self.settings.folder / "journal.db")
        self._open.callback(journal.close)
        return journal

    @cached_property
    def store(self) -> Store:
        """Where workflows are kept. Raises StoreError when that cannot be opened."""
        chosen = self.settings.memory
        store = (
            SqliteStore(self.settings.folder / "memory.db")
            if chosen.store is None
            else self._on_postgres(chosen.store, self.loaded.secrets.key(chosen.store_key_env))
        )
        self._open.callback(store.close)
        return store

    def _on_postgres(self, address: str, password: str | None) -> Store:
        try:
            from mia.memories.workflow.postgres import PostgresStore
        except ImportError as error:
            raise MissingError(
                "a memory on Postgres needs psycopg; run: pip install 'mia[postgres]'"
            ) from error
        return PostgresStore(address, password=password)

    @cached_property
    def search(self) -> Search:
        if self._replayed is not None:
            return ReplaySearch(self._replayed)
        search = BM25(self.index())
        return RecordedSearch(search, self._recorded) if self._recorded is not None else search

    @cached_property
    def _recorded(self) -> Tape | None:
        return Tape(self.record) if self.record else None

    @cached_property
    def _replayed(self) -> Tape | None:
        return Tape.existing(self.replay) if self.replay else None

    def index(self) -> Path:
        """The index of the corpus, built when it is not there yet."""
        chosen = self.corpus or (
            Path(self.settings.search.corpus) if self.settings.search.corpus else None
        )
        if chosen is None:
            chosen = self._demo_corpus()
        if is_index(chosen):
            return chosen
        if not chosen.exists():
            raise MissingError(f"no corpus at {chosen}")
        folder = self.settings.folder / "indexes" / corpus.identity(chosen)
        if not is_index(folder):
            self.say(f"indexing {chosen} ...")
            count = build(corpus.passages(chosen), folder, source=str(chosen))
            self.say(f"indexed {count:,} passages")
        return folder

    def _demo_corpus(self) -> Path:
        folder = self.settings.folder / "demo"
        world.write(folder)
        return folder / "corpus.jsonl"

    def endpoint(self, role: str) -> Endpoint | None:
        """The endpoint that plays a role; None where the embedded model does."""
        models = self.settings.models
        named = {"manager": models.manager, "planner": models.planner,
                 "executor": models.executor, "judge": models.judge}  # fmt: skip
        return named[role] or models.default

    def model(self, role: str, adapter: str | None = None) -> Model:
        """The model of a role; `adapter` is what the embedded engine speaks through."""
        if self._replayed is not None:
            return ReplayModel(self._replayed, role)
        endpoint = self.endpoint(role)
        model = self.engine.role(adapter) if endpoint is None else self._remote(endpoint)
        return RecordedModel(model, self._recorded, role) if self._recorded is not None else model

    def _remote(self, endpoint: Endpoint) -> OpenAICompatible:
        policy = Policy(deadline=endpoint.deadline, concurrency=endpoint.concurrency)
        model = OpenAICompatible(
            endpoint.base_url,
            endpoint.model,
            api_key=self.loaded.secrets.key(endpoint.api_key_env),
            retry=Retry(policy),
            prices=Prices(
                prompt=endpoint.dollars_per_million_prompt,
                completion=endpoint.dollars_per_million_completion,
            ),
            grammars=endpoint.grammars,
        )
        self._connections.push_async_callback(model.aclose)
        return model

    @cached_property
    def engine(self) -> Engine:
        """The embedded model with its two adapters."""
        settings = self.settings
        model = (
            Path(settings.smollm2)
            if settings.smollm2
            else place(settings.folder, known("smollm2-135m"))
        )
        config.rest_idle_threads()
        return Engine(model, adapters(), settings.threads or None)

    @cached_property
    def embedder(self) -> Embedder:
        """What memory is found by."""
        endpoint = self.settings.models.embedder
        if self._replayed is not None:
            return ReplayEmbedder(self._replayed, endpoint.model if endpoint else MiniLM.name)
        embedder: Embedder
        if endpoint is None:
            embedder = MiniLM(place(self.settings.folder, known("minilm")).parent)
        else:
            embedder = self._remote_embedder(endpoint)
        return (
            RecordedEmbedder(embedder, self._recorded) if self._recorded is not None else embedder
        )

    def _remote_embedder(self, endpoint: Endpoint) -> OpenAIEmbeddings:
        embedder = OpenAIEmbeddings(
            endpoint.base_url,
            endpoint.model,
            api_key=self.loaded.secrets.key(endpoint.api_key_env),
            retry=Retry(Policy(deadline=endpoint.deadline, concurrency=endpoint.concurrency)),
        )
        self._connections.push_async_callback(embedder.aclose)
        return embedder

    @cached_property
    def memory(self) -> WorkflowMemory:
        chosen = self.settings.memory
        asked = self.settings.models.manager
        return WorkflowMemory(
            self.store,
            self.embedder,
            namespace=self.settings.namespace,
            rules=Rules(
                k_successes=chosen.successes,
                k_failures=chosen.failures,
                weights=chosen.weights,
                exclude_task=chosen.exclude_same_task,
                tokens=chosen.tokens,
                trust_mode=chosen.trust_mode,
            ),
            capacity=chosen.capacity,
            withhold=chosen.withhold,
            manager=Manager(self.model("manager")) if asked is not None else None,
        )

    @property
    def stepwise(self) -> bool:
        """Whether plans are typed: what the embedded model needs, and can be asked of others."""
        kind = self.settings.executor.kind
        embedded = self.endpoint("executor") is None
        if embedded and kind == "react":
            raise ConfigError("react needs an endpoint; the embedded model runs stepwise only")
        return embedded or kind == "stepwise"

    @cached_property
    def plan_memory(self) -> PairMemory:
        return PairMemory(
            self.store,
            self.embedder,
            self.settings.namespace,
            exclude_task=self.settings.memory.exclude_same_task,
        )

    def planner(self, memory: bool = True) -> Planner:
        """Who plans; where several plans are drawn, with the router that picks one."""
        model = self.model("planner", "planner" if self.stepwise else None)
        count = self.settings.planner.candidates
        if count == 1:
            return self._planner(model)
        return Routed(
            self._planner(model),
            self._planner(model, _EXPLORING),
            self.router(),
            self.plan_memory if memory else NoPlanMemory(),
            count,
        )

    def _planner(self, model: Model, temperature: float = 0.0) -> Planner:
        if self.stepwise:
            return StepwisePlanner(model, replace(TYPED, temperature=temperature))
        return Conversational(model, replace(PROSE, temperature=temperature))

    def router(self) -> Router:
        chosen, asked = self.settings.planner.router, self.endpoint("manager")
        if chosen == "model" and asked is None:
            raise ConfigError("the model router needs an endpoint; set [models.manager]")
        if chosen == "likeness" or asked is None:
            return ByLikeness()
        return ByModel(self.model("manager"))

    def executor(self) -> Executor:
        stepwise, passages = self.stepwise, self.settings.search.passages
        search, model = self.search, self.model("executor", "reader")
        if stepwise:
            tools = [TextSearch(search, passages)]
            return Stepwise(ModelReader(model), tools, self.settings.budget)
        return React(
            model,
            lambda seen: (TextSearch(search, passages), OpenPage(search, seen)),
            self.settings.budget,
            Native() if self.settings.executor.protocol == "native" else Tagged(),
        )

    def judge(self) -> Judge:
        chosen = self.settings.judge
        asked = self.endpoint("judge")
        if chosen in ("reference", "panel") and asked is None:
            raise ConfigError(f"the {chosen} judge needs an endpoint; set [models.judge]")
        if chosen == "reference":
            return Reference(self.model("judge"))
        if chosen == "panel":
            return Panel(self.model("judge"))
        without = Panel(self.model("judge")) if chosen == "auto" and asked else None
        return GoldFirst(ExactMatch(), without)

    def team(self, record: RunRecord, memory: bool = True) -> Team:
        """Everybody that solves a question, writing to one run of the journal."""
        recalled: Memory = self.memory if memory else NoMemory()
        return Team(
            memory=recalled,
            planner=self.planner(memory),
            executor=self.executor(),
            judge=self.judge(),
            record=record,
        )

    def run(self, name: str, about: str = "") -> RunRecord:
        """A run of the journal. A run keeps the settings that decide answers it was begun with."""
        return self.journal.open_run(name, about)

    def fingerprint(self, questions: bytes, memory: bool) -> str:
        """What a resumed run has to have in common with its beginning."""
        settings = self.settings
        return fingerprint(
            settings.models, settings.memory, settings.search, settings.planner,
            settings.executor, settings.budget, settings.judge, settings.namespace,
            str(self.corpus or ""), str(memory), hashlib.sha256(questions).hexdigest(),
        )  # fmt: skip


def adapters() -> dict[str, Path]:
    """The adapters shipped with MIA."""
    folder = Path(str(files("mia.models"))) / "adapters"
    return {name: folder / f"{name}.gguf" for name in ADAPTERS}


def missing_models(loaded: Loaded) -> list[str]:
    """The names of models that these settings need and that are not there yet."""
    settings = loaded.settings
    models, default = settings.models, settings.models.default
    needed: list[str] = []
    if not all((models.planner or default, models.executor or default)) and not settings.smollm2:
        needed.append("smollm2-135m")
    if models.embedder is None:
        needed.append("minilm")
    return [name for name in needed if not present(settings.folder, known(name))]
