"""Puts together the contestants of an evaluation: each method's memory, and how far it reaches.

All methods have the same executor, tools, judge and budgets. Published baselines hand what they
recall to the executor, as their papers do; MIA and Memento hand it to a planner. An executor that
needs typed plans (`stepwise`) cannot be handed anything else, so there every method plans, and the
planner is shown what was recalled.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from mia.config import quiet_mem0
from mia.errors import ConfigError, InputError, MissingError, adding
from mia.evaluate import Arm, Contestant, Size
from mia.executors.closed_book import ClosedBook
from mia.journal import RunRecord
from mia.memories.frozen import Frozen
from mia.memories.none import NoMemory
from mia.memories.permuted import Permuted
from mia.memories.workflow.sqlite import SqliteStore
from mia.memory import Memory
from mia.planner import Planner
from mia.planners.once import Once
from mia.planners.passthrough import Passthrough
from mia.solve import Team
from mia.team import House
from mia.types import Question

Reach = Literal["executor", "planner", "reflecting", "trained"]
"""Who is given what was recalled: the executor; a planner; one that reflects as well; and that one
trained for it."""


class Kept(Protocol):
    """A memory of an evaluation, which keeps what it knows in one place on the disk."""

    def count(self) -> int | None:
        """How many memories there are; None where nobody can tell."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where an arm's memory is to lie, and what it may use."""

    house: House
    path: Path
    questions: Sequence[Question]
    seed: int


@dataclass(frozen=True, slots=True)
class Method:
    """A memory, and how what it recalls is used."""

    about: str
    """In a few words, for tables and help."""
    reach: Reach
    memory: Callable[[Place], tuple[Memory, Kept]] | None = None
    """Makes the memory, with what counts and closes it; None for no memory."""
    closed: bool = False
    """Whether nothing may be looked up."""
    warms_up: bool = False
    """Whether memory grows for the first questions only."""


def _workflows(place: Place) -> tuple[Memory, Kept]:
    store = SqliteStore(place.path)
    return place.house.memory_in(store), store


def _placebo(place: Place) -> tuple[Memory, Kept]:
    memory, kept = _workflows(place)
    return Permuted(memory, place.questions, place.seed), kept


def _rag(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.rag import Rag

    made = Rag(place.path, place.house.embedder)
    return made, made


def _rag_raw(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.rag import Rag

    made = Rag(place.path, place.house.embedder, form="raw")
    return made, made


def _mem0(place: Place) -> tuple[Memory, Kept]:
    quiet_mem0(place.path.parent / "mem0-library")
    from mia.memories.mem0 import Mem0

    made = Mem0(place.path, place.house.embedder, place.house.engines.model("manager"))
    return made, made


def _amem(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.amem import AMem

    made = AMem(place.path, place.house.embedder, place.house.engines.model("manager"))
    return made, made


def _expel(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.expel import ExpeL

    made = ExpeL(place.path, place.house.embedder, place.house.engines.model("manager"))
    return made, made


def _reasoning_bank(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.reasoningbank import ReasoningBank

    made = ReasoningBank(place.path, place.house.embedder, place.house.engines.model("manager"))
    return made, made


def _memento(place: Place) -> tuple[Memory, Kept]:
    from mia.memories.memento import Memento

    made = Memento(place.path, place.house.embedder)
    return made, made


METHODS: Mapping[str, Method] = {
    "none": Method("no memory", "executor"),
    "rag": Method("summaries of the nearest runs", "executor", _rag),
    "rag-raw": Method("the nearest runs as they were", "executor", _rag_raw),
    "mem0": Method("facts by mem0ai", "executor", _mem0),
    "amem": Method("A-Mem: linked notes that evolve", "executor", _amem),
    "expel": Method("ExpeL: insights and the nearest successes", "executor", _expel),
    "reasoningbank": Method("ReasoningBank: titled lessons", "executor", _reasoning_bank),
    "memento": Method("Memento: a case bank before a planner", "reflecting", _memento),
    "mia": Method("MIA", "trained", _workflows),
    "only-memory": Method("MIA's memory, to the executor", "executor", _workflows),
    "only-plan": Method("a planner without memory", "planner"),
    "memory-for-planner": Method("MIA's memory, to a planner", "planner", _workflows),
    "plus-reflect": Method("the same, which reflects", "reflecting", _workflows),
    "placebo": Method("MIA, its memories those of other questions", "trained", _placebo),
    "frozen": Method("MIA, frozen after a warm-up", "trained", _workflows, warms_up=True),
    "closed": Method("the model alone, nothing looked up", "executor", closed=True),
}
BASELINES = ("none", "rag", "mem0", "amem", "expel", "reasoningbank", "memento", "mia")
"""What the paper compares."""
ABLATION = ("none", "only-memory", "only-plan", "memory-for-planner", "plus-reflect", "mia")
"""What the paper takes away from MIA, one after the other; its last row, test-time learning, is
`mia learn`."""


_PROSE_ONLY = {
    "only-memory": "a stepwise executor needs a planner's typed plan",
    "plus-reflect": "a stepwise executor's only planner is the trained one, so it would be mia",
}
"""Methods that need an executor which takes plans in prose, and why."""


def method(name: str) -> Method:
    """A method by name, or one of somebody's own by the path of its file. Raises InputError for a
    name that nobody has."""
    if name.endswith(".py"):
        return Method(f"own: {Path(name).stem}", "executor", _own(Path(name)))
    if name not in METHODS:
        raise InputError(
            f"there is no method {name!r}; there are {', '.join(METHODS)}, and files of your own"
            " (./mine.py)"
        )
    return METHODS[name]


def _own(file: Path) -> Callable[[Place], tuple[Memory, Kept]]:
    from mia.memories.own import Own

    def make(place: Place) -> tuple[Memory, Kept]:
        made = Own(file, place.path.with_name(f"{place.path.name}-files"), place.seed)
        return made, made

    return make


class Field:
    """All contestants of an evaluation. Leaving it closes their memories."""

    def __init__(self, house: House, memories: Path, questions: Sequence[Question]) -> None:
        """`memories` is the folder where each arm's memory lies."""
        self._house = house
        self._memories = memories
        self._questions = questions
        self._kept: list[Kept] = []

    def __enter__(self) -> Field:
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._kept:
            kept.close()

    def contestant(self, arm: Arm, record: RunRecord) -> Contestant:
        """Who answers the questions of an arm. Raises ConfigError for a method that these settings
        cannot field."""
        chosen = method(arm.method)
        if chosen.memory is None:
            team = self._team(chosen, NoMemory(), record)
            return Contestant(team=team, grows=False, frozen=team, size=lambda: None)
        path = self._memories / f"{Path(arm.method).stem}-{arm.seed}.db"
        asked = {question.id: question for question in self._questions}
        ordered = tuple(asked[id] for id in arm.order)
        memory, kept = chosen.memory(Place(self._house, path, ordered, arm.seed))
        self._kept.append(kept)
        return Contestant(
            team=self._team(chosen, memory, record),
            grows=True,
            frozen=self._team(chosen, Frozen(memory), record),
            size=lambda: Size(memories=kept.count(), bytes=_bytes(path)),
        )

    def _team(self, chosen: Method, memory: Memory, record: RunRecord) -> Team:
        house = self._house
        executor = ClosedBook(house.engines.model("default")) if chosen.closed else house.executor()
        return Team(
            captioner=house.captioner(),
            memory=memory,
            planner=Passthrough() if chosen.closed else self._planner(chosen.reach),
            executor=executor,
            judge=house.judge(),
            record=record,
        )

    def _planner(self, reach: Reach) -> Planner:
        house = self._house
        if house.stepwise:
            typed = house.planner(memory=False)
            return Once(typed) if reach == "planner" else typed
        if reach == "executor":
            return Passthrough()
        if reach == "trained":
            return house.planner(memory=False)
        untrained = house.untrained_planner()
        return Once(untrained) if reach == "planner" else untrained


def check(names: Sequence[str], house: House, warm: int | None) -> None:
    """Raises InputError for a method that there is none of, or two of, or whose warm-up is not set,
    ConfigError for one that these settings cannot field or judge, and MissingError for one whose
    library is not installed."""
    house.judge()
    stems: set[str] = set()
    for name in names:
        if name == "mem0":
            _need("mem0", "mem0")
        if method(name).warms_up and warm is None:
            raise InputError(f"{name} learns from a warm-up: say how long it is, with --warm")
        if house.stepwise and name in _PROSE_ONLY:
            raise ConfigError(f"{name} cannot be told apart here: {_PROSE_ONLY[name]}")
        if Path(name).stem in stems:
            raise InputError(f"the method {Path(name).stem} is named twice")
        stems.add(Path(name).stem)


def _need(module: str, extra: str) -> None:
    if find_spec(module) is None:
        raise MissingError(
            f"the method {module} needs its library; leave it out of --methods, or run:"
            f" {adding(extra)}"
        )


def _bytes(path: Path) -> int:
    """What a database with the files and folders beside it takes on the disk. Its log counts as
    what it is folded into: pages of the database."""
    passing = {f"{path.name}{end}" for end in (".lock", "-wal", "-shm")}
    beside = [each for each in path.parent.glob(f"{path.name}*") if each.name not in passing]
    files = [inner for each in beside for inner in (each.rglob("*") if each.is_dir() else [each])]
    return sum(_pages(file) if file == path else file.stat().st_size for file in files)


def _pages(database: Path) -> int:
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        (count,), (size,) = (
            db.execute(f"PRAGMA {each}").fetchone() for each in ("page_count", "page_size")
        )
    return count * size
