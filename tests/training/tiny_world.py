"""The tiny world put together for tests: its base, learners over it, and stages of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mia.models.torch_local import Base, TokenizerChat, open_base
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.policy_model import Chat
from mia.training.presets import PRESETS, Preset
from mia.training.rewards import Parts, Reward, Rollout, planner_reward
from mia.training.rollouts import Actor
from mia.training.stages import Spec, Stage, supervise
from mia.types import Noun

CONTEXT = 272
EXERCISES = tiny.exercises(64)
SPEAKING: dict[str, Any] = {
    "learning_rate": 1e-2, "questions": 32, "steps": 20, "epochs": 40.0, "check_every": 0
}  # fmt: skip
"""Twenty steps over what was said at random, as `mia train` begins in this world."""


def opened(folder: Path) -> Base:
    """A base of one's own: an adapter is put into the model that it is over."""
    return open_base(folder, device="cpu", dtype="float32")


def preset(**changes: Any) -> Preset:
    """The tiny world's, but for these."""
    return replace(PRESETS[tiny.NAME], **changes)


def chat_of(base: Base) -> Chat:
    return TokenizerChat(base.tokenizer, CONTEXT)


def learner_of(folder: Path, begins: Path | None = None, **changes: Any) -> Learner:
    """A learner over a fresh copy of the base in a folder."""
    return Learner(opened(folder), preset(**changes), begins)


def stage_of(
    base: Path,
    folder: Path,
    *,
    begins: Path | None = None,
    reward: Reward = planner_reward,
    exercises: Sequence[Exercise] = EXERCISES,
    held_out: Sequence[Exercise] = (),
    data: str = "sixty-four",
    **changes: Any,
) -> Stage:
    """A planner's stage, beside an executor that does everything right."""
    own, chosen = opened(base), preset(**changes)
    learner, lockstep = Learner(own, chosen, begins), Lockstep()
    return Stage(
        spec=Spec(
            role="planner", preset=chosen, reward="", exercises=data, held_out="",
            base=own.origin.sha256, begins="", settings="",
        ),
        actor=Actor(
            role="planner",
            cast=tiny.cast("planner", tiny.ByRule),
            policy=lockstep.policy(learner.draw),
            chat=chat_of(own),
            reward=reward,
            under_way=lockstep.episode,
        ),
        learner=learner,
        exercises=exercises,
        held_out=held_out,
        folder=folder,
    )  # fmt: skip


async def speaks(base: Path, folder: Path) -> Path:
    """The adapter of a planner that was warmed up, in a folder."""
    stage = stage_of(base, folder / "run", **SPEAKING)
    await supervise(stage, ignored)
    stage.learner.write_adapter(folder / "adapter")
    return folder / "adapter"


def ignored(noun: Noun) -> None:
    """A watch that looks away."""


def opposite(rollout: Rollout) -> Parts | None:
    """Pays for what a planner should not do."""
    parts = planner_reward(rollout)
    return None if parts is None else Parts(total=1.0 - parts.total)
