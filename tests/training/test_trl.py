"""Our episodes as TRL's rollout function; the trainer itself where TRL is installed."""

from __future__ import annotations

import string
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mia.models.torch_local import TokenizerChat, libraries, open_base
from mia.training import tiny
from mia.training.rewards import Parts, Rollout
from mia.training.rollouts import Attempt
from mia.training.samples import Sample
from mia.training.trl import Episodes, Row, rewards, row_of

EXERCISES = tiny.exercises(2)
END = 0
WARM = 8.0
"""Untrained weights are sure of what they say; at this temperature they say various things."""


def letters(rollout: Rollout) -> Parts | None:
    """The share of letters in what was said: a policy that knows nothing says some by chance."""
    said = "".join(reply.text for reply in rollout.replies)
    return Parts(total=sum(char in string.ascii_letters for char in said) / max(1, len(said)))


def world_of(tokenizer: Any, reward: Any = letters) -> Episodes:
    return Episodes(
        role="planner",
        cast=tiny.cast("planner", tiny.ByRule),
        chat=TokenizerChat(tokenizer, 272),
        reward=reward,
        exercises=EXERCISES,
    )


class Trainer:
    """What is asked of a trainer."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.state = SimpleNamespace(global_step=3)
        self.args = SimpleNamespace(seed=0, temperature=WARM)
        self.accelerator = SimpleNamespace(unwrap_model=lambda model: model, process_index=0)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model."""
    return tiny.make_base(tmp_path_factory.mktemp("tiny") / "base")


def sample(*mask: int, reward: float = 0.5) -> Sample:
    return Sample(
        prompt_ids=(9, 8), response_ids=tuple(range(1, len(mask) + 1)), mask=mask,
        logprobs=tuple(-0.5 * bit for bit in mask), reward=reward, group="g", episode="e",
        version=0,
    )  # fmt: skip


def attempt_of(*samples: Sample) -> Attempt:
    nothing: Any = None
    sampled = sum(sum(each.mask) for each in samples) or 7
    return Attempt(nothing, None, samples, sampled=sampled, truncated=False)


def test_of_several_conversations_the_one_with_most_said_is_learned_from() -> None:
    row = row_of(attempt_of(sample(1, 0, 0, 0), sample(1, 1, 0), sample(1)), END)
    assert row == Row([9, 8], [1, 2, 3], [-0.5, -0.5, 0.0], [1, 1, 0], 0.5, left_out=2)


def test_an_attempt_without_a_reward_has_no_token_to_learn_from() -> None:
    row = row_of(attempt_of(), END)
    assert row.reward is None
    assert row.env_mask == [0]
    assert len(row.completion_ids) == len(row.logprobs) == 1
    assert row.left_out == 7


def test_the_trainer_is_told_what_was_left_out() -> None:
    told: list[tuple[str, float]] = []
    assert rewards([1.0, None], [3, 0], lambda *metric: told.append(metric), more=1) == [1.0, None]
    assert told == [("left_out", 1.5)]


def test_two_exercises_with_one_id_are_refused() -> None:
    nothing: Any = None
    with pytest.raises(ValueError, match="the same id"):
        Episodes(
            role="planner", cast=nothing, chat=nothing, reward=letters,
            exercises=(*EXERCISES, EXERCISES[0]),
        )  # fmt: skip


def test_an_episode_is_had_for_every_prompt_and_the_model_goes_on_learning(base: Path) -> None:
    opened = open_base(base, device="cpu", dtype="float32")
    opened.model.train()
    one, other = (exercise.question for exercise in EXERCISES)
    prompts = [one.id] * 3 + [other.id] * 2
    first, again = (world_of(opened.tokenizer)(prompts, Trainer(opened.model)) for _ in range(2))
    assert opened.model.training
    assert first == again, "the same step comes out the same"
    assert first.keys() == set(Row._fields)
    assert all(len(column) == len(prompts) for column in first.values())
    asked = [opened.tokenizer.decode(ids, skip_special_tokens=True) for ids in first["prompt_ids"]]
    assert [one.text in text for text in asked] == [True] * 3 + [False] * 2
    assert len(set(map(tuple, first["completion_ids"]))) > 3, "siblings differ"


def test_what_nobody_can_judge_comes_back_without_a_reward(base: Path) -> None:
    opened = open_base(base, device="cpu", dtype="float32")
    prompts = [EXERCISES[0].question.id] * 2
    out = world_of(opened.tokenizer, lambda _: None)(prompts, Trainer(opened.model))
    assert out["reward"] == [None, None]


@pytest.mark.filterwarnings("ignore")  # of other people's libraries
def test_grpo_trainer_learns_from_our_episodes(base: Path, tmp_path: Path) -> None:
    torch, transformers = libraries()
    trl, peft, datasets = map(import_module, ("trl", "peft", "datasets"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    world, rolled = world_of(tokenizer), []

    def rollout(prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        rolled.append(world(prompts, trainer))
        return dict(rolled[-1])

    trainer = trl.GRPOTrainer(
        model=transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        reward_funcs=rewards,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path / "out"), per_device_train_batch_size=8, num_generations=4,
            max_steps=2, learning_rate=1e-3, loss_type="dapo", temperature=WARM, use_cpu=True,
            bf16=False, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(world.rows()),
        processing_class=tokenizer,
        rollout_func=rollout,
        peft_config=peft.LoraConfig(r=4, target_modules="all-linear"),
    )  # fmt: skip
    untouched = [w for name, w in trainer.model.named_parameters() if "lora_B" in name]
    assert not any(bool(weight.any()) for weight in untouched)
    trainer.train()
    logged = [log for log in trainer.state.log_history if "reward" in log]
    assert len(rolled) == len(logged) == 2
    for out, log in zip(rolled, logged, strict=True):
        assert len(out["reward"]) == 8
        assert log["reward"] == pytest.approx(sum(out["reward"]) / 8)
        said = [sum(mask) for mask in out["env_mask"]]
        assert log["completions/mean_length"] == pytest.approx(sum(said) / 8)
        assert log["left_out"] == sum(out["left_out"]) / 8
        assert log["grad_norm"] > 0
    assert all(bool(weight.any()) for weight in untouched)
