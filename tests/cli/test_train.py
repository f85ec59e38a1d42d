"""`mia train`: policies learn, are published, and go on where they stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Said

from mia.cli.main import main
from mia.training.versions import Shelf, shelf

Mia = Callable[..., Said]
QUICK = ("--preset", "tiny", "--set", "steps=2", "--set", "questions=2", "--set", "attempts=4")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def mia(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Mia:
    """Runs a command here, with default settings."""
    (tmp_path / "mia.toml").touch()

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(tmp_path / "mia.toml")])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int) and "Traceback" not in said.err
        return Said(ended.value.code, said.out, said.err)

    return run


def of(home: Path, role: Any) -> Shelf:
    return shelf(home, role)


def test_both_learn_in_turn_and_a_second_call_does_nothing_anew(mia: Mia, home: Path) -> None:
    said = mia("train", "alternate", *QUICK, "--home", str(home))
    assert said.code == 0, said.err
    assert "mia policy promote planner 2" in said.err
    for role in ("planner", "executor"):
        speaking, learned = of(home, role).versions()
        assert (speaking.made_by, learned.made_by) == ("supervised", role)
        assert learned.parent == speaking.number and "adapter.gguf" in learned.files
        assert of(home, role).current() is None, "nothing is put to use unasked"
    again = mia("train", "alternate", *QUICK, "--home", str(home), "--json")
    assert again.code == 0, again.err
    published = json.loads(again.out.splitlines()[-1])["published"]
    assert [(v["role"], v["number"]) for v in published] == [("executor", 2), ("planner", 2)]
    shown = mia("train", "show", "alternate-tiny-1-planner", "--home", str(home))
    assert "planner: 2 steps are done" in shown.out
    listed = json.loads(mia("train", "show", "--home", str(home), "--json").out)
    assert "alternate-tiny-1-executor" in listed["runs"]


def test_steps_and_checks_can_be_read_by_machines(mia: Mia, home: Path) -> None:
    said = mia("train", "planner", *QUICK, "--home", str(home), "--promote", "--json")
    assert said.code == 0, said.err
    lines = [json.loads(line) for line in said.out.splitlines()]
    steps = [line for line in lines if line.get("run") == "planner-tiny" and "update" in line]
    assert [step["step"] for step in steps] == [1, 2]
    assert lines[-1]["promoted"] is True
    current = of(home, "planner").current()
    assert current is not None and current.number == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--preset", "tony"), "there is no preset 'tony'; there are executor, planner"),
        ((), "say what to learn from: --data"),
        ((*QUICK, "--set", "rnak=3"), "--set takes NAME=VALUE with one of alpha"),
        ((*QUICK, "--set", "rank=many"), "--set"),
        ((*QUICK, "--set", "attempts=1"), "no run can have this: attempts"),
        ((*QUICK, "--name", "../elsewhere"), "is no name"),
        ((*QUICK, "--from", "9"), "9"),
        ((*QUICK, "--from", "shipped"), "no adapter came with tiny"),
        ((*QUICK, "--device", "tpu"), "there is no device 'tpu' here; there is cpu"),
        ((*QUICK, "--engine", "jax"), "there is no engine 'jax'; there are local and verl"),
        ((*QUICK, "--engine", "verl"), "say what to train: --base"),
        ((*QUICK, "--reward", "nowhere:none"), "no reward at 'nowhere:none'"),
    ],
)
def test_what_cannot_be_done_is_said(
    mia: Mia, home: Path, arguments: tuple[str, ...], told: str
) -> None:
    said = mia("train", "planner", *arguments, "--home", str(home))
    assert said.code in (2, 3) and told in said.err
    assert of(home, "planner").current() is None


def test_a_run_of_another_kind_is_not_gone_on_with(mia: Mia, home: Path) -> None:
    assert mia("train", "planner", *QUICK, "--home", str(home)).code == 0
    said = mia("train", "planner", *QUICK, "--set", "learning_rate=0.5", "--home", str(home))
    assert said.code == 2 and "was begun with another preset" in said.err


def test_a_dry_run_says_what_would_be_done(mia: Mia, home: Path) -> None:
    said = mia("train", "executor", *QUICK, "--dry-run", "--home", str(home))
    told = json.loads(said.out)
    assert told["steps"] == 2 and told["order"]["preset"]["attempts"] == 4
    assert not (home / "training").exists()


def test_questions_without_answers_are_refused_by_their_row(
    mia: Mia, home: Path, tmp_path: Path
) -> None:
    asked = tmp_path / "mine.jsonl"
    asked.write_text('{"question": "a?", "answer": "b"}\n{"question": "c?"}\n')
    said = mia("train", "planner", "--data", str(asked), "--home", str(home))
    assert said.code == 2 and "mine.jsonl" in said.err and "2" in said.err
