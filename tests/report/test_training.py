"""The picture of a run of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.errors import InputError, StoreError
from mia.report.training import FORMATS, draw
from mia.training.learner import Update
from mia.training.presets import PRESETS
from mia.training.stages import Check, Progress, Spec, Step

SPEC = Spec(
    role="planner", preset=PRESETS["tiny"], reward="", exercises="", held_out="", base="",
    begins="", settings="",
)  # fmt: skip


def step(number: int, reward: float | None) -> Step:
    return Step(
        step=number, steps=9, episodes=8, unrewarded=0 if reward else 8, groups=2 if reward else 0,
        dropped=1, reward=reward, parts={}, response_tokens=12.5, truncated=0.0, attempting=1.0,
        learning=2.0, update=Update(version=number, samples=7, rows=4, tokens=80),
    )  # fmt: skip


def check(step: int, correct: int) -> Check:
    return Check(
        step=step, n=9, correct=correct, unknown=0, answered=9, reward=None, response_tokens=9.0,
        seconds=0.5,
    )  # fmt: skip


TOLD = Progress(
    SPEC, tuple(step(at + 1, at / 10 or None) for at in range(9)), (check(0, 3), check(9, 8))
)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_run_is_drawn_as_what_the_files_name_says(kind: str, tmp_path: Path) -> None:
    draw(TOLD, tmp_path / f"curve{kind}")
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[kind]
    assert (tmp_path / f"curve{kind}").read_bytes().startswith(begins)


def test_a_run_shows_its_curves_and_its_checks(tmp_path: Path) -> None:
    draw(TOLD, tmp_path / "two.svg")
    draw(TOLD._replace(checks=TOLD.checks[:1]), tmp_path / "one.svg")
    both, one = ((tmp_path / f"{name}.svg").read_text() for name in ("two", "one"))
    titles = ("reward of an episode", "held-out questions right", "groups that teach nothing")
    assert all(title in both for title in titles) and len(both) > len(one)


def test_a_run_that_held_nothing_out_says_so(tmp_path: Path) -> None:
    draw(TOLD._replace(checks=()), tmp_path / "none.svg")
    assert "none were held out" in (tmp_path / "none.svg").read_text()


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="before the first step"):
        draw(Progress(SPEC, (), ()), tmp_path / "curve.png")
    with pytest.raises(InputError, match=r"curve\.txt: a figure is one of \.png"):
        draw(TOLD, tmp_path / "curve.txt")
    with pytest.raises(StoreError, match="no figure can be written"):
        draw(TOLD, tmp_path / "nowhere" / "curve.png")
