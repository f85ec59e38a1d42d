"""A preset and a cluster as verl's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.training.verl.runs import exercises, job

from mia.errors import ConfigError, InputError
from mia.training.presets import PRESETS
from mia.training.rollouts import Role
from mia.training.verl.job import Cluster
from mia.training.verl.overrides import overrides, steps_of


def said(folder: Path, role: Role = "planner", **changes: Any) -> dict[str, str]:
    given = overrides(job(folder, role, **changes))
    return dict(each.split("=", 1) for each in given)


@pytest.mark.parametrize(
    ("role", "prompt", "response", "epochs"),
    [("executor", "16384", "16384", "8"), ("planner", "24576", "8192", "5")],
)
def test_a_published_stage_has_the_published_numbers(
    tmp_path: Path, role: Role, prompt: str, response: str, epochs: str
) -> None:
    got = said(tmp_path, role, preset=PRESETS[role], exercises=exercises(128), weights="all")
    wanted = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": "True",
        "algorithm.use_kl_in_reward": "False",
        "data.train_batch_size": "128",
        "data.max_prompt_length": prompt,
        "data.max_response_length": response,
        "actor_rollout_ref.rollout.n": "8",
        "actor_rollout_ref.rollout.temperature": "1.0",
        "actor_rollout_ref.rollout.top_p": "1.0",
        "actor_rollout_ref.rollout.max_model_len": "32768",
        "actor_rollout_ref.actor.optim.lr": "1e-06",
        "actor_rollout_ref.actor.optim.weight_decay": "0.01",
        "actor_rollout_ref.actor.optim.lr_warmup_steps": "0",
        "actor_rollout_ref.actor.clip_ratio_low": "0.2",
        "actor_rollout_ref.actor.clip_ratio_high": "0.2",
        "actor_rollout_ref.actor.clip_ratio_c": "3.0",
        "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
        "actor_rollout_ref.actor.entropy_coeff": "0",
        "actor_rollout_ref.actor.use_kl_loss": "False",
        "actor_rollout_ref.actor.fsdp_config.param_offload": "True",
        "actor_rollout_ref.actor.fsdp_config.optimizer_offload": "True",
        "actor_rollout_ref.model.lora_rank": "0",
        "trainer.total_epochs": epochs,
        "trainer.total_training_steps": epochs,
        "trainer.save_freq": "10",
    }
    assert {key: got.get(key) for key in wanted} == wanted


@pytest.mark.parametrize(("role", "conversations"), [("planner", 3), ("executor", 2)])
def test_a_step_is_one_update_however_many_conversations_its_episodes_have(
    tmp_path: Path, role: Role, conversations: int
) -> None:
    got = said(tmp_path, role)
    assert got["actor_rollout_ref.actor.ppo_mini_batch_size"] == str(4 * conversations)
    assert got["trainer.use_v1"] == "True", "the other trainer takes one conversation an episode"


def test_an_adapter_is_what_is_trained_unless_all_weights_are(tmp_path: Path) -> None:
    begins = tmp_path / "begun here"
    adapter, whole = said(tmp_path, begins=begins), said(tmp_path, weights="all")
    assert adapter["actor_rollout_ref.model.lora_rank"] == "32"
    assert adapter["actor_rollout_ref.model.lora_alpha"] == "64"
    assert adapter["actor_rollout_ref.model.lora_adapter_path"] == f"'{begins}'"
    assert adapter["actor_rollout_ref.rollout.load_format"] == "safetensors"
    assert whole["actor_rollout_ref.model.lora_adapter_path"] == "null"
    assert "actor_rollout_ref.rollout.load_format" not in whole


def test_nothing_is_measured_without_exercises_to_measure_on(tmp_path: Path) -> None:
    without, beside = said(tmp_path), said(tmp_path, held_out=exercises(2))
    assert (without["trainer.test_freq"], without["trainer.val_before_train"]) == ("-1", "False")
    assert (beside["trainer.test_freq"], beside["trainer.val_before_train"]) == ("20", "True")
    assert beside["data.val_files"].endswith("held_out.parquet")
    assert without["data.val_files"] == without["data.train_files"], "verl wants a file"


def test_a_kl_weight_turns_the_kl_loss_on(tmp_path: Path) -> None:
    preset = replace(PRESETS["planner"], questions=4, kl_weight=0.05)
    got = said(tmp_path, preset=preset)
    assert got["actor_rollout_ref.actor.use_kl_loss"] == "True"
    assert got["actor_rollout_ref.actor.kl_loss_coef"] == "0.05"


def test_steps_are_whole_batches_of_whole_epochs(tmp_path: Path) -> None:
    plain = job(tmp_path)  # 10 exercises, 4 a step, 5 epochs
    assert steps_of(plain) == 10
    short = replace(plain, preset=replace(plain.preset, steps=3))
    assert steps_of(short) == 3


def test_everything_a_run_writes_lies_in_its_folder(tmp_path: Path) -> None:
    got = said(tmp_path)
    for key in ("trainer.default_local_dir", "hydra.run.dir", "data.train_files",
                "actor_rollout_ref.rollout.agent.agent_loop_config_path"):  # fmt: skip
        assert got[key].startswith(str(tmp_path / "run")), key


def test_a_job_adds_to_the_configuration_and_cannot_contradict_it(tmp_path: Path) -> None:
    free = ("+actor_rollout_ref.rollout.engine_kwargs.vllm.swap_space=4", "trainer.logger=[file]")
    assert overrides(job(tmp_path, overrides=free))[-2:] == free
    for taken in ("data.train_batch_size=8", "++trainer.use_v1=False", "~trainer.use_v1"):
        with pytest.raises(ConfigError, match="follows from the preset"):
            overrides(job(tmp_path, overrides=(taken,)))


@pytest.mark.parametrize(
    ("changes", "preset", "reason"),
    [
        ({}, {"dtype": "float32"}, "bfloat16"),
        ({}, {"batch_tokens": 32767}, "has to hold the longest episode"),
        ({"cluster": Cluster(gpus=7)}, {}, "96 rows of an update .* by 7 GPUs"),
        ({"cluster": Cluster(nodes=5)}, {}, "96 rows of an update .* by 40 GPUs"),
        ({"cluster": Cluster(tensor_parallel=3)}, {}, "no multiple of tensor_parallel"),
        ({"weights": "all", "begins": Path("x")}, {}, "has to be merged first"),
    ],
)
def test_what_verl_would_find_out_too_late_is_refused(
    tmp_path: Path, changes: dict[str, Any], preset: dict[str, Any], reason: str
) -> None:
    plain = job(tmp_path, **changes)
    with pytest.raises(ConfigError, match=reason):
        overrides(replace(plain, preset=replace(plain.preset, **preset)))


def test_a_name_that_verl_would_look_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be told to verl"):
        overrides(job(tmp_path, name="${oc.env:HOME}"))


def test_a_step_that_finds_too_few_exercises_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes 4 exercises, and there are 3"):
        overrides(job(tmp_path, exercises=exercises(3)))


@pytest.mark.parametrize("numbers", [{"nodes": 0}, {"gpus": 0}, {"memory": 1.0}, {"memory": 0.0}])
def test_no_cluster_is_made_of_nothing(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one of everything"):
        Cluster(**numbers)
