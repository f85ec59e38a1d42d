"""Who takes part in the episodes of a worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.playing import Served, plays
from tests.training.verl.runs import NOWHERE, exercises, job, settings

from mia.errors import ConfigError
from mia.executors.react.loop import React
from mia.executors.react.tagged import Tagged
from mia.testing import ScriptedModel
from mia.training.rewards import Parts, Rollout, executor_reward, planner_reward
from mia.training.rollouts import Role
from mia.training.verl.crew import Hired, check_crew, crew_of, hired, write_crew
from mia.types import Episode, Question, VerdictValue


def half(_: Rollout) -> Parts:
    return Parts(total=0.5)


def at_work(folder: Path, role: Role, url: str = NOWHERE, **changes: Any) -> Hired:
    one = job(folder, role)
    settings(folder, url, role=role)
    return Hired(replace(crew_of(one), **changes))


def test_a_crew_is_hired_from_its_file_in_another_process(tmp_path: Path) -> None:
    crew, path = crew_of(job(tmp_path)), tmp_path / "crew.json"
    write_crew(path, crew)
    script = (
        "import sys; from mia.training.verl.crew import hired; "
        "assert hired(sys.argv[1]) is hired(sys.argv[1]); print(hired(sys.argv[1]).crew)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd="/", capture_output=True, text=True
    )
    assert ran.stdout.strip() == repr(crew), ran.stderr
    with pytest.raises(ConfigError, match="no crew at"):
        hired(str(tmp_path / "nobody.json"))


def test_relative_places_hold_wherever_a_worker_runs(tmp_path: Path) -> None:
    crew = crew_of(job(tmp_path, home=Path("home"), corpus=Path("c.jsonl"), settings=Path("m")))
    for place in (crew.home, crew.corpus, crew.settings):
        assert Path(place).is_absolute()


def test_the_policy_plans_and_the_endpoint_carries_out(tmp_path: Path) -> None:
    async def episode() -> None:
        team = crew.cast(model, exercise)
        recollection = await team.memory.recall(exercise.question)
        assert recollection == exercise.recollection
        plan = await team.planner.plan(exercise.question, recollection)
        assert plan.text == "1. Look.", "a collected plan is for training Executors"
        ran = await team.executor.run(exercise.question, plan)
        assert ran.answer == "kind 1"
        verdict = await team.judge.judge(exercise.question, plan, ran)
        assert verdict.value is VerdictValue.CORRECT

    model, (exercise,) = ScriptedModel(["1. Look."]), exercises(1)
    with Served(plays) as served:
        crew = at_work(tmp_path, "planner", served.url)
        with crew.house:
            crew.house.complete(episode())
        assert served.requests
    assert model.unused == []
    assert crew.reward is planner_reward
    assert not list((tmp_path / "home").rglob("*.db")), "nothing is remembered or recorded"


async def test_the_policy_carries_out_the_plan_that_was_collected(tmp_path: Path) -> None:
    crew, (exercise,) = at_work(tmp_path, "executor"), exercises(1)
    team = crew.cast(ScriptedModel(["<think>I know.</think><answer>kind 1</answer>"]), exercise)
    plan = await team.planner.plan(exercise.question, exercise.recollection)
    assert plan == exercise.plan
    assert isinstance(team.executor, React)
    assert isinstance(team.executor.protocol, Tagged), "a policy has no native tool calls"
    assert (await team.executor.run(exercise.question, plan)).answer == "kind 1"
    assert crew.reward is executor_reward


def test_an_executor_in_training_needs_no_endpoint_of_its_own(tmp_path: Path) -> None:
    """Plans stay in prose, although nobody but the policy plays the Executor."""
    (exercise,) = exercises(1)
    with Served(plays) as served:
        crew = at_work(tmp_path, "executor", served.url)
        team = crew.cast(ScriptedModel([]), replace(exercise, plan=None))
        with crew.house:
            plan = crew.house.complete(team.planner.plan(exercise.question, exercise.recollection))
    assert plan.text.startswith("1. Search for item 1.")
    assert plan.steps == ()


def test_partners_are_shared_by_all_episodes(tmp_path: Path) -> None:
    """Each has its own connections, and a bound on how many calls run at once."""
    crew, (first, second) = at_work(tmp_path, "planner"), exercises(2)
    one, other = crew.cast(ScriptedModel([]), first), crew.cast(ScriptedModel([]), second)
    assert one.judge is other.judge
    assert one.planner is not other.planner


ROLES: tuple[tuple[Role, Role], ...] = (("planner", "executor"), ("executor", "planner"))


@pytest.mark.parametrize(("role", "partner"), ROLES)
def test_a_partner_without_an_endpoint_is_refused(
    tmp_path: Path, role: Role, partner: Role
) -> None:
    one = job(tmp_path, role)
    settings(tmp_path, role=partner)
    with pytest.raises(ConfigError, match=rf"set \[models\.{partner}\]"):
        check_crew(crew_of(one))


def test_a_judge_that_nobody_plays_is_refused_before_anything_starts(tmp_path: Path) -> None:
    one = job(tmp_path)
    settings(tmp_path)
    text = (tmp_path / "mia.toml").read_text().replace('"exact"', '"panel"')
    (tmp_path / "mia.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"\[models\.judge\]"):
        check_crew(crew_of(one))


def test_a_reward_of_ones_own_is_named_by_an_entry_point(tmp_path: Path) -> None:
    crew = at_work(tmp_path, "planner", reward="tests.training.verl.test_crew:half")
    episode = Episode(id="e", question=Question(text="q", id="q"), started="")
    assert crew.reward(Rollout(episode=episode)) == Parts(total=0.5)
    with pytest.raises(ConfigError, match="no reward at 'nowhere:none'"):
        check_crew(replace(crew.crew, reward="nowhere:none"))
