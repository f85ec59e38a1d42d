"""Stages of training: a run goes on where it was killed, and its folder tells how it went."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.training.tiny_world import EXERCISES, SPEAKING, ignored, stage_of
from tests.training.train_forever import STEPS, short

from mia.errors import ConfigError, InputError, StoreError, TrainingError
from mia.model import Message, Model
from mia.planners.given import GivenPlanner
from mia.solve import Team
from mia.training.exercises import Exchange, Exercise, chosen
from mia.training.rewards import Parts, Rollout, planner_reward
from mia.training.rollouts import group
from mia.training.stages import (
    Check,
    Said,
    Stage,
    Step,
    progress_of,
    said_well,
    steps_of,
    supervise,
    train,
)
from mia.training.versions import sha256_of
from mia.types import Noun, Plan, Trajectory, decode, encode

ROOT = Path(__file__).parents[2]
FEW: dict[str, Any] = {"questions": 2, "attempts": 4, "steps": 2, "check_every": 0}


def weights(stage: Stage) -> str:
    stage.learner.write_adapter(stage.folder / "adapter")
    return sha256_of(stage.folder / "adapter" / "adapter_model.safetensors")


def story(folder: Path) -> tuple[list[Step], list[Check], bytes]:
    """All that a folder tells, but for what a clock said."""
    told = progress_of(folder)
    return (
        [replace(step, attempting=0.0, learning=0.0) for step in told.steps],
        [replace(check, seconds=0.0) for check in told.checks],
        (folder / "attempts.jsonl").read_bytes(),
    )


def said(folder: Path) -> list[Said]:
    return [decode(line, Said) for line in (folder / "attempts.jsonl").read_bytes().splitlines()]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_after(step: int, arguments: Sequence[Path]) -> None:
    """A run in a process of its own that is killed once it has done a step."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.training.train_forever", *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == step:
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kills",
    [
        (5,),
        *(pytest.param(kills, marks=pytest.mark.nightly) for kills in [(1, 4, 7), (3, 6), (8,)]),
    ],
)
async def test_a_run_that_is_killed_goes_on_to_the_same_weights_and_numbers(
    tiny_base: Path, speaking: Path, tmp_path: Path, kills: tuple[int, ...]
) -> None:
    for step in kills:
        killed_after(step, (tiny_base, speaking, tmp_path / "killed"))
    left = progress_of(tmp_path / "killed")
    assert left.steps[-1].step >= kills[-1]
    resumed, whole = (short(tiny_base, speaking, tmp_path / name) for name in ("killed", "whole"))
    watched: list[Noun] = []
    await train(resumed, watched.append)
    await train(whole, ignored)
    assert story(resumed.folder) == story(whole.folder)
    assert weights(resumed) == weights(whole)
    steps, checks, _ = story(whole.folder)
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert [check.step for check in checks] == [0, 2, 4, 6, 8]
    redone = [noun.step for noun in watched if isinstance(noun, Step)]
    assert 0 < len(redone) < STEPS, "only what came after the checkpoint"


async def test_a_line_that_was_cut_off_is_written_again(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stages = [short(tiny_base, speaking, tmp_path / name) for name in ("cut", "whole")]
    for stage in stages:
        await train(stage, ignored)
    cut = stages[0].folder
    (cut / "checkpoint" / "learner.pt").unlink()
    for name in ("steps", "checks", "attempts"):
        raw = (cut / f"{name}.jsonl").read_bytes()
        (cut / f"{name}.jsonl").write_bytes(raw[:-7])
    assert len(progress_of(cut).steps) == STEPS - 1
    await train(short(tiny_base, speaking, cut), ignored)
    assert story(cut) == story(stages[1].folder)


async def test_a_run_that_came_to_its_end_does_nothing_more(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    first = stage_of(tiny_base, tmp_path, begins=speaking, **FEW)
    await train(first, ignored)
    before, watched = story(tmp_path), list[Noun]()
    again = stage_of(tiny_base, tmp_path, begins=speaking, **FEW)
    await train(again, watched.append)
    assert watched == [] and story(tmp_path) == before and weights(again) == weights(first)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning_rate": 0.5}, "another preset (learning_rate=0.0006);"),
        ({"data": "others"}, "another exercises (sixty-four);"),
        (
            {"data": "others", "seed": 3},
            "another preset (seed=its default), exercises (sixty-four);",
        ),
    ],
)
async def test_a_folder_of_another_run_is_refused_with_what_differs(
    tiny_base: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_bytes(encode(stage_of(tiny_base, tmp_path, **FEW).spec))
    (tmp_path / "run" / "steps.jsonl").write_bytes(b"as it was")
    with pytest.raises(ConfigError, match=re.escape(f"'run' was begun with {told}")):
        await train(stage_of(tiny_base, tmp_path / "run", **{**FEW, **changes}), ignored)
    assert (tmp_path / "run" / "steps.jsonl").read_bytes() == b"as it was"


async def test_each_step_takes_what_is_chosen_and_what_was_said_is_written(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    heard: list[Rollout] = []

    def reward(rollout: Rollout) -> Parts | None:
        heard.append(rollout)
        return None if rollout.episode.question.text == "find a" else planner_reward(rollout)

    how = {"questions": 3, "attempts": 4, "steps": 3, "check_every": 0, "seed": 2}
    stage = stage_of(tiny_base, tmp_path, begins=speaking, reward=reward, **how)
    await train(stage, ignored)
    written = said(tmp_path)
    assert len(written) == len(heard) == 3 * 3 * 4
    for step in (1, 2, 3):
        questions = [one.question for one in written if one.step == step]
        taken = [each.question.id for each in chosen(EXERCISES, 2, step - 1, 3)]
        assert questions == [id for id in taken for _ in range(4)]
    for one in written:
        (rollout, *_) = [r for r in heard if tuple(said.text for said in r.replies) == one.replies
                         and r.episode.question.id == one.question]  # fmt: skip
        parts = reward(rollout)
        assert one.answer == rollout.episode.answer
        assert one.reward == (None if parts is None else parts.total)
        assert one.parts == ({} if parts is None else parts.named)
    for step in progress_of(tmp_path).steps:
        rewards = [one.reward for one in written if one.step == step.step]
        known = [each for each in rewards if each is not None]
        assert (step.episodes, step.unrewarded) == (12, 12 - len(known))
        assert step.reward == (pytest.approx(sum(known) / len(known)) if known else None)
        if step.update.samples:
            assert step.parts["acc2"] <= 1 and step.response_tokens > 0
    assert any(one.reward is None for one in written) and any(one.reward for one in written)


async def test_where_nobody_can_judge_nothing_is_learned_and_the_run_says_why(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stage = stage_of(tiny_base, tmp_path, begins=speaking, reward=lambda _: None, **FEW)
    before = weights(stage)
    with pytest.raises(TrainingError, match=r"no episode of step 1 has a reward.*the reward gave"):
        await train(stage, ignored)
    assert weights(stage) == before
    (step,) = progress_of(tmp_path).steps
    assert (step.unrewarded, step.groups, step.reward) == (8, 0, None)


async def test_a_step_in_which_everything_fails_ends_the_run_with_the_commonest_faults(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    asked: list[None] = []

    class Down:
        async def run(self, *_: object, **__: object) -> Trajectory:
            asked.append(None)
            detail = "the endpoint is down" if len(asked) % 4 else "the endpoint is slow"
            return Trajectory(outcome="failed:model", detail=detail)

    stage = stage_of(tiny_base, tmp_path, begins=speaking, **FEW)
    able = stage.actor.cast

    def cast(model: Model, exercise: Exercise) -> Team:
        team = dataclasses.replace(able(model, exercise), executor=Down())
        return dataclasses.replace(team, planner=GivenPlanner(Plan(text="a"), team.planner))

    down = dataclasses.replace(stage, actor=stage.actor._replace(cast=cast))
    with pytest.raises(TrainingError, match=r"is down \(6 times\); the endpoint is slow \(2 times"):
        await train(down, ignored)
    (step,) = progress_of(tmp_path).steps
    assert (step.step, step.unrewarded) == (1, 8), "what was done is written down"
    assert {one.outcome for one in said(tmp_path)} == {"failed:model"}
    assert Counter(one.faults for one in said(tmp_path)) == {
        ("the endpoint is down",): 6, ("the endpoint is slow",): 2,
    }  # fmt: skip


async def test_a_judge_that_cannot_tell_is_named_as_what_went_wrong(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    unanswered = [replace(each, question=replace(each.question, answers=None))
                  for each in EXERCISES]  # fmt: skip
    stage = stage_of(tiny_base, tmp_path, begins=speaking, exercises=unanswered, **FEW)
    with pytest.raises(TrainingError, match="no gold answer"):
        await train(stage, ignored)


async def test_a_warm_up_learns_to_speak(tiny_base: Path, tmp_path: Path) -> None:
    stage = stage_of(tiny_base, tmp_path, **{**SPEAKING, "steps": 12})
    await supervise(stage, ignored)
    losses = [step.update.loss for step in progress_of(tmp_path).steps]
    assert len(losses) == 12 and losses[-1] < 0.5 * losses[0]
    untaught = stage_of(tiny_base, tmp_path / "untaught")
    answered: list[int] = []
    for each in (stage, untaught):
        groups = await group(each.actor, EXERCISES[:8], attempts=2, seed="s", temperature=0.7)
        plans = [one.rollout.episode.plan for of_one in groups for one in of_one]
        answered.append(sum(plan is not None for plan in plans))
    assert answered[0] >= 14 and answered[1] == 0, "who was taught can be read"


def test_only_what_was_said_in_a_right_run_is_learned_and_only_by_its_role(
    tiny_base: Path, tmp_path: Path
) -> None:
    chat = stage_of(tiny_base, tmp_path).chat
    asked = (Message(role="user", content="q"),)
    exercise = replace(
        EXERCISES[0],
        exchanges=(
            Exchange(role="planner", stage="plan", messages=asked, reply="one"),
            Exchange(role="executor", stage="act", messages=asked, reply="two"),
        ),
    )
    (sample,) = said_well(exercise, "planner", chat)
    assert sample.response_ids == (*chat.ids("one"), chat.end) and set(sample.mask) == {1}
    assert sample.prompt_ids == tuple(chat.opening(asked))
    for unsure in (False, None):
        assert list(said_well(replace(exercise, correct=unsure), "planner", chat)) == []


async def test_without_anything_said_well_there_is_no_warm_up(
    tiny_base: Path, tmp_path: Path
) -> None:
    wrong = [replace(each, correct=False) for each in EXERCISES]
    stage = stage_of(tiny_base, tmp_path / "run", exercises=wrong, **SPEAKING)
    with pytest.raises(InputError, match="no run shows what a right planner says"):
        await supervise(stage, ignored)
    assert not (tmp_path / "run").exists()


async def test_a_warm_up_takes_only_what_shows_something_so_that_no_step_is_empty(
    tiny_base: Path, tmp_path: Path
) -> None:
    executors = [one for one in EXERCISES[3].exchanges if one.role == "executor"]
    mixed = [
        EXERCISES[0],
        *(replace(each, correct=False) for each in EXERCISES[1:3]),
        replace(EXERCISES[3], exchanges=tuple(executors)),
        EXERCISES[4],
    ]
    few: dict[str, Any] = {**SPEAKING, "questions": 1, "epochs": 2.0, "steps": None}
    await supervise(stage_of(tiny_base, tmp_path, exercises=mixed, **few), ignored)
    steps = progress_of(tmp_path).steps
    assert [(step.step, step.steps) for step in steps] == [(n, 4) for n in (1, 2, 3, 4)]
    assert all(step.update.samples for step in steps)


def test_a_run_ends_after_its_epochs_or_its_steps(tiny_base: Path, tmp_path: Path) -> None:
    preset = stage_of(tiny_base, tmp_path).spec.preset
    assert steps_of(replace(preset, questions=8, epochs=2.0), 20) == 5
    assert steps_of(replace(preset, questions=8, epochs=2.0, steps=3), 20) == 3
    assert steps_of(replace(preset, questions=8, epochs=2.0, steps=9), 20) == 5
    with pytest.raises(InputError, match="nothing to learn from"):
        steps_of(preset, 0)


@pytest.mark.parametrize("name", ["run.json", "steps.jsonl", "checkpoint/learner.pt.half"])
async def test_a_folder_that_cannot_be_written_stops_the_run(
    tiny_base: Path, speaking: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(StoreError):
        await train(stage_of(tiny_base, tmp_path, begins=speaking, **FEW), ignored)


async def test_a_disk_that_is_full_when_a_run_goes_on_loses_nothing_of_it(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    await train(stage_of(tiny_base, tmp_path, begins=speaking, **FEW), ignored)
    before = contents(tmp_path)
    again = stage_of(tiny_base, tmp_path, begins=speaking, **FEW)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes of any file
    try:
        with pytest.raises(StoreError):
            await train(again, ignored)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


def test_there_is_no_progress_where_there_was_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run of training at"):
        progress_of(tmp_path)
