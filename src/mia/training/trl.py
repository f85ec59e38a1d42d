"""Our episodes under TRL's GRPOTrainer, for its losses and its data parallelism:

    world = Episodes(role="planner", cast=..., chat=..., reward=planner_reward, exercises=...)
    GRPOTrainer(model, reward_funcs=rewards, rollout_func=world, peft_config=...,
                train_dataset=Dataset.from_list(world.rows()), args=...).train()

Made for TRL 1.16, which calls `rollout_func` experimental; nothing of it is imported here. TRL has
place for one conversation an attempt. Where an episode has several, the one in which the policy
said most is learned from and the tokens of the others are counted as `left_out`. An attempt that
nobody could judge has no reward and no token to learn from.

Not covered: weights spread over machines (FSDP, DeepSpeed 3) and TRL's vLLM, since the trainer's
own model is what samples. Without vLLM, TRL takes the logprobs of an update's first pass for those
of sampling. Top-p and the like are ignored: what is learned from is drawn from the whole
distribution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mia.models.torch_sampler import Sampler
from mia.training.exercises import Exercise
from mia.training.lockstep import Lockstep
from mia.training.policy_model import Chat
from mia.training.rewards import Reward
from mia.training.rollouts import Actor, Attempt, Cast, group, sampled
from mia.training.versions import Role


class Row(NamedTuple):
    """What TRL learns from of one attempt, by TRL's names."""

    prompt_ids: list[int]
    completion_ids: list[int]
    logprobs: list[float]
    env_mask: list[int]
    """For each id of the completion: 1 where the policy sampled it."""
    reward: float | None
    left_out: int
    """Tokens that the policy sampled in other conversations."""


class Episodes:
    """The rollout function of a trainer."""

    def __init__(
        self, *, role: Role, cast: Cast, chat: Chat, reward: Reward, exercises: Sequence[Exercise]
    ) -> None:
        """Raises ValueError for two exercises with one id."""
        self._role: Role = role
        self._cast = cast
        self._chat = chat
        self._reward = reward
        self._exercises = {exercise.question.id: exercise for exercise in exercises}
        if len(self._exercises) < len(exercises):
            raise ValueError("two exercises have the same id")

    def rows(self) -> list[dict[str, str]]:
        """The data set to train on: what TRL takes for a prompt is the id of an exercise, since
        every episode writes prompts of its own."""
        return [{"prompt": name} for name in self._exercises]

    def __call__(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """One episode a prompt, by the trainer's model as it is now, side by side. TRL repeats a
        prompt for each attempt, and on several processes each has a part of them. What chance
        decides depends on the trainer's seed, its step, the process and the prompt's place."""
        step, lockstep = int(trainer.state.global_step), Lockstep()
        model = trainer.accelerator.unwrap_model(trainer.model)
        sampler = Sampler(model, self._chat.end, lambda: step)
        actor = Actor(
            role=self._role,
            cast=self._cast,
            voice=sampled(lockstep.policy(sampler), self._chat),
            reward=self._reward,
            under_way=lockstep.episode,
        )
        learns = model.training
        model.eval()  # without it, gradient checkpointing forbids the cache
        try:
            groups = asyncio.run(
                group(
                    actor,
                    [self._exercises[prompt] for prompt in prompts],
                    attempts=1,
                    seed=f"{trainer.args.seed} {step} {trainer.accelerator.process_index}",
                    temperature=trainer.args.temperature,
                )
            )
        finally:
            model.train(learns)
        rows = [row_of(attempt, self._chat.end) for (attempt,) in groups]
        return {name: [getattr(row, name) for row in rows] for name in Row._fields}


def row_of(attempt: Attempt, end: int) -> Row:
    """The row of an attempt; `end` stands where there is nothing to learn from, since TRL needs a
    token in each row."""
    if not attempt.samples:
        return Row([end], [end], [0.0], [0], None, attempt.sampled)
    most = max(attempt.samples, key=lambda sample: sum(sample.mask))
    return Row(
        prompt_ids=list(most.prompt_ids),
        completion_ids=list(most.response_ids),
        logprobs=list(most.logprobs),
        env_mask=list(most.mask),
        reward=most.reward,
        left_out=attempt.sampled - sum(most.mask),
    )


def rewards(
    reward: list[float | None],
    left_out: list[int],
    log_metric: Callable[[str, float], None],
    **_: object,
) -> list[float | None]:
    """The trainer's reward function: what the episodes were worth, by their own reward."""
    log_metric("left_out", sum(left_out) / len(left_out))
    return reward
