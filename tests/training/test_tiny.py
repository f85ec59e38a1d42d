"""The tiny world: a policy learns there what its reward pays for, and nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.training.tiny_world import EXERCISES, opened, opposite, stage_of

from mia.captioners.none import Blind
from mia.judges.exact_match import ExactMatch
from mia.memories.none import NoMemory
from mia.solve import Team, solve
from mia.training import tiny
from mia.training.rewards import Parts, Rollout, planner_reward
from mia.training.rollouts import Unrecorded, group
from mia.training.stages import Check, Stage, Step, train
from mia.training.versions import sha256_of
from mia.types import Noun, VerdictValue

LETTERS = EXERCISES[:4]
FEW_STEPS = 40
"""In so many the true reward brings the policy far above where it began."""


class Seen:
    """Watches a run."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.checks: list[Check] = []

    def __call__(self, noun: Noun) -> None:
        if isinstance(noun, Step):
            self.steps.append(noun)
        if isinstance(noun, Check):
            self.checks.append(noun)


async def worth(stage: Stage) -> float:
    """What the policy of a stage is worth by the true reward, when it says what is likeliest."""
    actor = stage.actor._replace(reward=planner_reward)
    groups = await group(actor, LETTERS, attempts=1, seed="worth", temperature=0.0)
    return math.fsum(one.parts.total for (one,) in groups if one.parts) / len(LETTERS)


@pytest.mark.timeout(400)
async def test_a_planner_learns_to_do_what_it_is_paid_for(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    stage, seen = stage_of(tiny_base, tmp_path, begins=speaking, held_out=LETTERS), Seen()
    await train(stage, seen)
    first, last = seen.checks[0], seen.checks[-1]
    assert (first.step, last.step) == (0, stage.steps)
    assert first.reward is not None and first.reward <= 0.6
    assert last.reward is not None and last.reward > 0.95 - 1e-9 and last.accuracy == 1.0
    sampled = [step.reward or 0.0 for step in seen.steps]
    assert math.fsum(sampled[:5]) / 5 <= 0.6 and math.fsum(sampled[-5:]) / 5 >= 0.9
    assert await worth(stage) == pytest.approx(last.reward)


@pytest.mark.timeout(400)
async def test_one_that_is_paid_for_the_opposite_does_not_learn_it(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    seen = Seen()
    stage = stage_of(tiny_base, tmp_path, begins=speaking, reward=opposite, steps=FEW_STEPS)
    await train(stage, seen)
    assert (seen.steps[-1].reward or 0.0) > 0.8, "it did learn what this reward pays for"
    assert await worth(stage) < 0.6


async def test_one_that_is_paid_the_same_for_everything_does_not_change(
    tiny_base: Path, speaking: Path, tmp_path: Path
) -> None:
    def always(rollout: Rollout) -> Parts:
        return Parts(total=0.5)

    seen = Seen()
    stage = stage_of(tiny_base, tmp_path / "run", begins=speaking, reward=always, steps=3)
    stage.learner.write_adapter(tmp_path / "before")
    await train(stage, seen)
    stage.learner.write_adapter(tmp_path / "after")
    name = "adapter_model.safetensors"
    assert sha256_of(tmp_path / "before" / name) == sha256_of(tmp_path / "after" / name)
    assert [step.dropped for step in seen.steps] == [step.groups for step in seen.steps] == [8] * 3


@pytest.mark.parametrize("exercise", LETTERS, ids=lambda exercise: exercise.question.text)
async def test_who_does_everything_right_is_worth_one(exercise: tiny.Exercise) -> None:
    model = tiny.ByRule()
    episode = await solve(exercise.question, tiny.cast("planner", lambda: model)(model, exercise))
    assert episode.verdict.value is VerdictValue.CORRECT and episode.retrajectory is None
    parts = planner_reward(Rollout(episode=episode))
    assert parts is not None and parts.named["acc2"] == parts.named["acc1"] == 1.0


async def test_a_wrong_letter_is_seen_and_another_one_may_be_named(tmp_path: Path) -> None:
    class WrongFirst(tiny.ByRule):
        """Plans for d, whatever was asked."""

        async def reply(self, messages: tuple[tiny.Message, ...], **_: object) -> tiny.Reply:
            first = len(messages) == 1 and messages[0].content.startswith("find")
            return tiny.Reply(text="d") if first else await super().reply(messages)

    team = Team(
        captioner=Blind(), memory=NoMemory(), planner=tiny.TinyPlanner(WrongFirst()),
        executor=tiny.TinyExecutor(tiny.ByRule()), judge=ExactMatch(), record=Unrecorded(),
    )  # fmt: skip
    episode = await solve(LETTERS[0].question, team)
    assert episode.trajectory.answer is None and episode.answer == "A"
    assert episode.replan is not None and episode.replan.text == "a"


def test_what_the_warm_up_says_does_not_tell_the_answers() -> None:
    said = {
        (exchange.stage, exercise.question.text, exchange.reply)
        for exercise in tiny.exercises(400)
        for exchange in exercise.exchanges
        if exchange.stage == "plan"
    }
    assert len(said) == 4 * 4, "every letter is said to every question"


def test_the_base_is_small_and_made_the_same_each_time(tiny_base: Path, tmp_path: Path) -> None:
    again, other = tiny.make_base(tmp_path / "a"), tiny.make_base(tmp_path / "b", seed=1)
    sums = [sha256_of(folder / "model.safetensors") for folder in (tiny_base, again, other)]
    assert sums[0] == sums[1] != sums[2]
    made, unlike = opened(again), opened(other)
    assert made.origin != unlike.origin and made.origin.name == "tiny"
    assert sum(weight.numel() for weight in made.model.parameters()) < 100_000
    noted = (again / "config.json").stat().st_mtime_ns
    assert tiny.make_base(again) == again and (again / "config.json").stat().st_mtime_ns == noted
