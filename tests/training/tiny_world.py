"""The tiny world put together for tests: its base, learners over it, and stages of training."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mia.models.torch_local import Base, TokenizerChat, libraries, open_base
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.learner import Learner
from mia.training.lockstep import Lockstep
from mia.training.loss import grpo_loss, token_logprobs
from mia.training.policy_model import Chat
from mia.training.presets import PRESETS, Preset
from mia.training.rewards import Parts, Reward, Rollout, planner_reward
from mia.training.rollouts import Actor, sampled
from mia.training.samples import Sample
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
            voice=sampled(lockstep.policy(learner.draw), chat_of(own)),
            reward=reward,
            under_way=lockstep.episode,
        ),
        chat=chat_of(own),
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


class Naive:
    """What a learner should come to, computed a sample at a time by the libraries' own means."""

    def __init__(self, base: Path, adapter: Path, preset: Preset) -> None:
        import peft

        torch, _ = libraries()
        self.torch, self.preset = torch, preset
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            self.model: Any = peft.PeftModel.from_pretrained(
                opened(base).model, adapter, is_trainable=True
            ).eval()
        self.trained = [p for p in self.model.parameters() if p.requires_grad]

    def logprobs(self, one: Sample) -> Any:
        """Of each response token, [1, T]."""
        whole = self.torch.tensor([one.prompt_ids + one.response_ids])
        logits = self.model(input_ids=whole).logits[0, :-1]
        logprobs, _ = token_logprobs(logits, whole[0, 1:], self.preset.temperature)
        return logprobs[None, len(one.prompt_ids) - 1 :]

    def told(self, one: Sample) -> float:
        """The logprob of all that the policy said."""
        with self.torch.no_grad():
            return float((self.logprobs(one) * self.torch.tensor(one.mask)).sum())

    def nll(self, samples: Sequence[Sample]) -> float:
        """Nats a policy token."""
        return -math.fsum(map(self.told, samples)) / sum(sum(one.mask) for one in samples)

    def gradient(
        self, samples: Sequence[Sample], advantages: Sequence[float], began: Naive | None = None
    ) -> list[Any]:
        """Of the sum of every sample's own loss."""
        tokens = sum(sum(one.mask) for one in samples)
        for one, advantage in zip(samples, advantages, strict=True):
            reference = None if began is None else began.logprobs(one).detach()
            loss = grpo_loss(
                self.logprobs(one), self.torch.tensor([one.logprobs]),
                self.torch.tensor([advantage]), self.torch.tensor([one.mask]), tokens=tokens,
                reference_BT=reference, kl_weight=self.preset.kl_weight,
            )  # fmt: skip
            loss.value.backward()
        return self._taken()

    def supervised(self, samples: Sequence[Sample]) -> list[Any]:
        """The gradient of the NLL, token-mean."""
        tokens = sum(sum(one.mask) for one in samples)
        for one in samples:
            (-(self.logprobs(one) * self.torch.tensor(one.mask)).sum() / tokens).backward()
        return self._taken()

    def _taken(self) -> list[Any]:
        gradients = [weight.grad.clone() for weight in self.trained]
        self.model.zero_grad()
        return gradients
