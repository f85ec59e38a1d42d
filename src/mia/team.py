"""Puts a team together from settings: the one place where parts are chosen."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from mia import config
from mia.captioner import Captioner
from mia.captioners.by_model import ByModel as DescribedByModel
from mia.captioners.by_search import BySearch
from mia.captioners.none import Blind
from mia.config import Loaded
from mia.engines import Engines
from mia.errors import ConfigError, MissingError, adding
from mia.executor import Budget, Executor
from mia.executors.react.loop import React, Seen
from mia.executors.react.native import Native
from mia.executors.react.protocol import ReactProtocol
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
from mia.models.recorded import (
    RecordedImageSearch,
    RecordedSearch,
    ReplayImageSearch,
    ReplaySearch,
    Tape,
)
from mia.models.shared import Replies
from mia.planner import Planner
from mia.planners.conversational import SAMPLING as PROSE
from mia.planners.conversational import Conversational
from mia.planners.routed import Routed
from mia.planners.stepwise import SAMPLING as TYPED
from mia.planners.stepwise import StepwisePlanner
from mia.router import Router
from mia.routers.by_likeness import ByLikeness
from mia.routers.by_model import ByModel
from mia.solve import Team
from mia.sources import Say, Sources
from mia.tool import ImageSearch, Search, Tool
from mia.tools.image_search import PictureSearch
from mia.tools.open_page import OpenPage
from mia.tools.text_search import TextSearch
from mia.training.versions import ROLES, Role
from mia.types import Picture, Question

T = TypeVar("T")

_EXPLORING = 1.0
"""The temperature of all candidate plans but the first."""


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
    web: bool = False
    """Whether to search the web, whatever the settings say."""
    record: Path | None = None
    """A tape to write every model, embedder and search call to."""
    replay: Path | None = None
    """A tape to take them all from; nothing is loaded or asked then."""
    replies: Replies | None = None
    """Where greedy calls that were made are kept, so that they are made once; None to make each."""
    versions: Mapping[Role, int] = field(default_factory=dict[Role, int])
    """The policy version of a role, where it is not the one in use; 0 for what came with MIA."""
    others: Collection[Role] = ()
    """Roles that a model of the caller's plays, of which nothing is known but that it is not the
    embedded one."""
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
                f"a memory on Postgres needs psycopg; run: {adding('postgres')}"
            ) from error
        return PostgresStore(address, password=password)

    @cached_property
    def engines(self) -> Engines:
        """Who thinks."""
        return Engines(
            loaded=self.loaded, shown=lambda picture: self.sources.pictures.data_url(picture),
            recorded=self._recorded, replayed=self._replayed, connections=self._connections,
            replies=self.replies, versions=self.versions,
        )  # fmt: skip

    @property
    def embedder(self) -> Embedder:
        """What memory is found by."""
        return self.engines.embedder

    @cached_property
    def sources(self) -> Sources:
        """Where evidence comes from."""
        return Sources(
            loaded=self.loaded, corpus=self.corpus, web_only=self.web, say=self.say,
            embedder=lambda: self.embedder,
            open=self._open, connections=self._connections,
        )  # fmt: skip

    @cached_property
    def search(self) -> Search:
        if self._replayed is not None:
            return ReplaySearch(self._replayed)
        search = self.sources.search
        return RecordedSearch(search, self._recorded) if self._recorded is not None else search

    @cached_property
    def _recorded(self) -> Tape | None:
        return Tape(self.record) if self.record else None

    @cached_property
    def _replayed(self) -> Tape | None:
        return Tape.existing(self.replay) if self.replay else None

    def picture(self, reference: str, name: str = "", beside: Path | None = None) -> Picture:
        """The picture behind a path or a URL, taken into the picture folder. Raises InputError."""
        return self.complete(self.sources.picture(reference, name, beside))

    def beside(self, rows: Path) -> Callable[[str, str], Picture]:
        """`picture` for the rows of a file: paths stay in its folder."""
        return lambda reference, name: self.picture(reference, name, rows.parent)

    def check_sight(self) -> None:
        """Raises ConfigError where pictures would be of no use to anybody."""
        roles = ("manager", "planner", "executor")
        if any(map(self.engines.sees, roles)) or self.sources.knows_pictures:
            return
        raise ConfigError(
            "nobody here can see: set `sees = true` on an endpoint whose model takes pictures, or"
            " build an index of labelled pictures (mia images build) and name it in [search.images]"
        )

    @cached_property
    def image_search(self) -> ImageSearch | None:
        """Where pictures are looked up; None where the settings name nothing."""
        if not self.sources.knows_pictures:
            return None
        if self._replayed is not None:
            return ReplayImageSearch(self._replayed)
        search = self.sources.similar
        return search if self._recorded is None else RecordedImageSearch(search, self._recorded)

    def captioner(self) -> Captioner:
        """Who says what a question's pictures show."""
        if self.engines.sees("manager"):
            return DescribedByModel(self.engines.model("manager"))
        return (
            Blind()
            if self.image_search is None
            else BySearch(self.image_search, PictureSearch.name)
        )

    @cached_property
    def memory(self) -> WorkflowMemory:
        return self.memory_in(self.store)

    def memory_in(self, store: Store) -> WorkflowMemory:
        """Workflow memory as the settings describe it, in a store."""
        chosen = self.settings.memory
        asked = self.settings.models.manager
        return WorkflowMemory(
            store,
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
            manager=Manager(self.engines.model("manager")) if asked is not None else None,
        )

    @property
    def stepwise(self) -> bool:
        """Whether plans are typed: what the embedded model needs, and can be asked of others."""
        kind = self.settings.executor.kind
        embedded = self.engines.endpoint("executor") is None and "executor" not in self.others
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
        model = self.engines.model("planner", "planner" if self.stepwise else None)
        return self.planners(memory)(model)

    def planners(self, memory: bool = True) -> Callable[[Model], Planner]:
        """Makes the planner of these settings on models of somebody's choice; one router picks for
        all of them."""
        count = self.settings.planner.candidates
        if count == 1:
            return self.planner_on
        router, pairs = self.router(), self.plan_memory if memory else NoPlanMemory()

        def routed(model: Model) -> Planner:
            exploring = self.planner_on(model, _EXPLORING)
            return Routed(self.planner_on(model), exploring, router, pairs, count)

        return routed

    def untrained_planner(self) -> Planner:
        """A planner on the model as it came: the default endpoint, or the embedded one without its
        adapter."""
        return self.planner_on(self.engines.model("default"))

    def planner_on(self, model: Model, temperature: float = 0.0) -> Planner:
        """The planner of these settings, on a model of somebody's choice."""
        if self.stepwise:
            return StepwisePlanner(model, replace(TYPED, temperature=temperature))
        return Conversational(model, replace(PROSE, temperature=temperature))

    def router(self) -> Router:
        chosen, asked = self.settings.planner.router, self.engines.endpoint("manager")
        if chosen == "model" and asked is None:
            raise ConfigError("the model router needs an endpoint; set [models.manager]")
        if chosen == "likeness" or asked is None:
            return ByLikeness()
        return ByModel(self.engines.model("manager"))

    def executor(self) -> Executor:
        """Who carries plans out."""
        model = self.engines.model("executor", "reader" if self.stepwise else None)
        return self.executor_on(model, self.protocol)

    @property
    def protocol(self) -> ReactProtocol:
        """How an executor that takes plans in prose calls tools."""
        return Native() if self.settings.executor.protocol == "native" else Tagged()

    def executor_on(
        self, model: Model, protocol: ReactProtocol, budget: Budget | None = None
    ) -> Executor:
        """The executor of these settings, on a model of somebody's choice; `protocol` is how it
        calls tools where plans are in prose, `budget` stands in place of the settings'."""
        search, passages = self.search, self.settings.search.passages
        budget = budget or self.settings.budget
        if self.stepwise:
            return Stepwise(ModelReader(model), [TextSearch(search, passages)], budget)
        images = self.image_search

        def tools(asked: Question, seen: Seen) -> tuple[Tool, ...]:
            text = (TextSearch(search, passages), OpenPage(search, seen))
            if images is None or not asked.pictures:
                return text
            return (*text, PictureSearch(images, asked.pictures))

        return React(
            model,
            tools,
            budget,
            protocol,
        )

    def judge(self) -> Judge:
        chosen = self.settings.judge
        asked = self.engines.endpoint("judge")
        if chosen in ("reference", "panel") and asked is None:
            raise ConfigError(f"the {chosen} judge needs an endpoint; set [models.judge]")
        if chosen == "reference":
            return Reference(self.engines.model("judge"))
        if chosen == "panel":
            return Panel(self.engines.model("judge"))
        without = Panel(self.engines.model("judge")) if chosen == "auto" and asked else None
        return GoldFirst(ExactMatch(), without)

    def team(self, record: RunRecord, memory: bool = True) -> Team:
        """Everybody that solves a question, writing to one run of the journal."""
        recalled: Memory = self.memory if memory else NoMemory()
        return Team(
            captioner=self.captioner(),
            memory=recalled,
            planner=self.planner(memory),
            executor=self.executor(),
            judge=self.judge(),
            record=record,
            version=self._version,
        )

    @property
    def _version(self) -> int | None:
        """Of the Planner's weights; None where they are not ours, and where nobody is asked."""
        if self._replayed is not None or self.engines.endpoint("planner") is not None:
            return None
        version = self.engines.version("planner")
        return 0 if version is None else version.number

    def run(self, name: str, about: str = "") -> RunRecord:
        """A run of the journal. A run keeps the settings that decide answers it was begun with."""
        return self.journal.open_run(name, about)

    def fingerprint(self, questions: bytes, memory: bool) -> str:
        """What a resumed run has to have in common with its beginning."""
        settings = self.settings
        used = {role: self.engines.version(role) for role in ROLES}
        versions = [f"{role} {version.number}" for role, version in used.items() if version]
        return fingerprint(
            settings.models, settings.memory, settings.search, settings.planner,
            settings.executor, settings.budget, settings.judge, settings.namespace,
            str(self.corpus or ""), str(memory), *versions, hashlib.sha256(questions).hexdigest(),
        )  # fmt: skip
