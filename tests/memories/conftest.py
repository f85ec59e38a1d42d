"""Episodes for the tests of memories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.planner import parse_plan
from mia.types import (
    Episode,
    Observation,
    Passage,
    Question,
    Recollection,
    ToolCall,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)


def _lookup(asked: str, found: str | None, passage: str) -> Turn:
    """One step of the stepwise executor."""
    shown = Passage(id=passage, title="A page", text=passage, url="https://wiki.example/page")
    return Turn(
        thought=asked,
        call=ToolCall(name="search", arguments={"query_list": [asked]}),
        observation=Observation(text=passage, passages=(shown,)),
        found=found,
    )


def _film_episode(
    film: str = "Jaws",
    *,
    director: str | None = "Steven Spielberg",
    date: str | None = "December 18, 1946",
    verdict: VerdictValue = VerdictValue.CORRECT,
    id: str | None = None,
    question_id: str | None = None,
    task: str | None = None,
    caption: str | None = None,
    recollection: Recollection | None = None,
    outcome: str = "answered",
    verb: str = "born",
) -> Episode:
    """Asks when a film's director was born, in two lookups."""
    plan = parse_plan(f"#1 Who directed [{film}]?\n#2 When was #1 {verb}?\nanswer #2")
    turns = [_lookup(f"Who directed {film}?", director, f"{film} was made by {director}.")]
    if director:
        passage = f"{director} was {verb} on {date}."
        turns.append(_lookup(f"When was {director} {verb}?", date, passage))
    if outcome == "answered":
        turns.append(Turn(answer=date))
    return Episode(
        id=id or f"episode of {film}",
        question=Question(
            text=f"When was the director of film {film} {verb}?",
            id=question_id or f"question of {film}",
            answers=(date,) if date else None,
            task=task,
            caption=caption,
        ),
        recollection=recollection or Recollection(),
        plan=plan,
        trajectory=Trajectory(turns=tuple(turns), outcome=outcome),
        verdict=Verdict(value=verdict, judge="exact_match"),
        started="2026-01-01T00:00:00.000+00:00",
    )


@pytest.fixture(scope="session")
def film_episode() -> Callable[..., Episode]:
    """Makes episodes of one family."""
    return _film_episode


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store in a file."""
    with SqliteStore(tmp_path / "memory.sqlite") as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store, of every kind in turn: what all of them promise."""
    if request.param == "sqlite":
        yield request.getfixturevalue("file_store")
    else:
        with PostgresStore(request.getfixturevalue("emptied")) as opened:
            yield opened
