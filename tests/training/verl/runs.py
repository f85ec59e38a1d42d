"""Runs on verl as tests describe them: a home whose partners are endpoints, and a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mia.training.exercises import Exercise
from mia.training.presets import PRESETS
from mia.training.rollouts import Role
from mia.training.verl.job import Job
from mia.types import Note, Plan, Question, Recollection

NOWHERE = "http://127.0.0.1:9/v1"
"""Nobody listens there."""


def exercises(count: int) -> tuple[Exercise, ...]:
    """About the items that `tests.cli.playing` plays."""
    return tuple(
        Exercise(
            question=Question(text=f"What is item {n}?", id=f"q{n}", answers=(f"kind {n}",)),
            recollection=Recollection(notes=(Note(text=f"look item {n} up"),)),
            plan=Plan(text=f"1. Search for item {n}."),
        )
        for n in range(1, count + 1)
    )


def settings(folder: Path, url: str = NOWHERE, *, role: Role = "planner", more: str = "") -> Path:
    """A mia.toml in which the partner of a role is at the URL."""
    partner = "executor" if role == "planner" else "planner"
    path = folder / "mia.toml"
    path.write_text(
        f'judge = "exact"\n{more}\n'
        f'[models.{partner}]\nbase_url = "{url}"\nmodel = "toy"\ndeadline = 10.0\n',
        encoding="utf-8",
    )
    return path


def job(folder: Path, role: Role = "planner", **changes: Any) -> Job:
    """A run by the published preset, on four exercises a step."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").touch()
    plain = Job(
        role=role,
        preset=replace(PRESETS[role], questions=4),
        name="a run",
        model=model,
        exercises=exercises(10),
        folder=folder / "run",
        settings=settings(folder, role=role),
        home=folder / "home",
    )
    return replace(plain, **changes)
