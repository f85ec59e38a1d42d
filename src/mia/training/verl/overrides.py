"""What we set of verl's configuration: a preset and a cluster as Hydra overrides. Pure.

The published runs' choices that no preset has are here: advantages divided by the group's
deviation, no KL and no entropy in the loss unless a preset weighs KL, a mean over tokens, top-p 1,
and one update a step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from mia.errors import ConfigError, InputError
from mia.training.verl.job import CONVERSATIONS, Job

Value = str | int | float | bool | None | list[str]
_ROLLOUT = "actor_rollout_ref.rollout"
_ACTOR = "actor_rollout_ref.actor"
_FREE = frozenset({"trainer.logger", "trainer.project_name", "hydra.run.dir"})
"""What a job may override though we set it: nothing depends on it."""
_QUIET = "+ray_kwargs.ray_init.runtime_env.env_vars.VLLM_NO_USAGE_STATS='1'"
"""Nothing is reported to the makers of vLLM, on whatever node it runs."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*|/[A-Za-z0-9_./-]+")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "nan", "inf"})


def overrides(job: Job) -> tuple[str, ...]:
    """Ours, and then what the job has of its own. Raises ConfigError and InputError for a job that
    verl would refuse, or misread, later on."""
    _check_preset(job)
    _check_cluster(job)
    parts = (_algorithm(job), _data(job), _model(job), _actor(job), _rollout(job), _trainer(job))
    ours = {key: _said(value) for part in parts for key, value in part}
    for given in job.overrides:
        key = given.partition("=")[0].lstrip("+~")
        if key in ours and key not in _FREE:
            raise ConfigError(
                f"{key} follows from the preset, the cluster or the job; set it there"
            )
    return (*(f"{key}={value}" for key, value in ours.items()), _QUIET, *job.overrides)


def steps_of(job: Job) -> int:
    """Updates of the whole run. verl leaves out what is left of an epoch after its last whole
    batch."""
    preset = job.preset
    an_epoch = len(job.exercises) // preset.questions
    every = max(1, int(preset.epochs * an_epoch))
    return every if preset.steps is None else min(preset.steps, every)


def _algorithm(job: Job) -> Iterator[tuple[str, Value]]:
    yield "algorithm.adv_estimator", "grpo"
    yield "algorithm.norm_adv_by_std_in_grpo", True
    yield "algorithm.use_kl_in_reward", False
    yield "critic.enable", False
    # it stops the run at the first group that nobody could judge
    yield "algorithm.filter_groups.enable", False


def _data(job: Job) -> Iterator[tuple[str, Value]]:
    files, preset = job.files, job.preset
    yield "data.train_files", str(files.train)
    yield "data.val_files", str(files.held_out if job.held_out else files.train)
    yield "data.train_batch_size", preset.questions
    yield "data.max_prompt_length", preset.max_prompt
    yield "data.max_response_length", preset.max_response
    yield "data.shuffle", True
    yield "data.seed", preset.seed
    yield "data.filter_overlong_prompts", False


def _model(job: Job) -> Iterator[tuple[str, Value]]:
    model, preset = "actor_rollout_ref.model", job.preset
    adapts = job.weights == "adapter"
    yield f"{model}.path", str(job.model.absolute())
    yield f"{model}.use_remove_padding", True
    yield f"{model}.enable_gradient_checkpointing", preset.recompute
    yield f"{model}.lora_rank", preset.rank if adapts else 0
    yield f"{model}.lora_alpha", preset.alpha
    yield f"{model}.target_modules", "all-linear"
    yield f"{model}.lora_adapter_path", str(job.begins.absolute()) if job.begins else None


def _actor(job: Job) -> Iterator[tuple[str, Value]]:
    preset, cluster = job.preset, job.cluster
    # verl fills a batch up with rows that teach nothing, so a step is one update even when every
    # episode has all the conversations it can have
    yield f"{_ACTOR}.ppo_mini_batch_size", preset.questions * CONVERSATIONS[job.role]
    yield f"{_ACTOR}.ppo_epochs", 1
    yield f"{_ACTOR}.use_dynamic_bsz", True
    yield f"{_ACTOR}.ppo_max_token_len_per_gpu", preset.batch_tokens
    yield f"{_ACTOR}.clip_ratio", preset.clip_low
    yield f"{_ACTOR}.clip_ratio_low", preset.clip_low
    yield f"{_ACTOR}.clip_ratio_high", preset.clip_high
    yield f"{_ACTOR}.clip_ratio_c", preset.dual_clip
    yield f"{_ACTOR}.loss_agg_mode", "token-mean"
    yield f"{_ACTOR}.entropy_coeff", 0
    yield f"{_ACTOR}.use_kl_loss", preset.kl_weight > 0
    yield f"{_ACTOR}.kl_loss_coef", preset.kl_weight
    yield f"{_ACTOR}.kl_loss_type", "low_var_kl"
    yield f"{_ACTOR}.optim.lr", preset.learning_rate
    yield f"{_ACTOR}.optim.lr_warmup_steps", preset.warm_steps
    yield f"{_ACTOR}.optim.weight_decay", preset.weight_decay
    yield f"{_ACTOR}.optim.clip_grad", preset.gradient_norm
    yield f"{_ACTOR}.fsdp_config.param_offload", cluster.offload
    yield f"{_ACTOR}.fsdp_config.optimizer_offload", cluster.offload


def _rollout(job: Job) -> Iterator[tuple[str, Value]]:
    preset, cluster = job.preset, job.cluster
    yield f"{_ROLLOUT}.name", "vllm"
    yield f"{_ROLLOUT}.n", preset.attempts
    yield f"{_ROLLOUT}.temperature", preset.temperature
    yield f"{_ROLLOUT}.top_p", 1.0
    yield f"{_ROLLOUT}.top_k", -1
    yield f"{_ROLLOUT}.val_kwargs.temperature", 0.0
    yield f"{_ROLLOUT}.val_kwargs.do_sample", False
    yield f"{_ROLLOUT}.val_kwargs.n", 1
    yield f"{_ROLLOUT}.max_model_len", job.context
    yield f"{_ROLLOUT}.calculate_log_probs", True
    yield f"{_ROLLOUT}.tensor_model_parallel_size", cluster.tensor_parallel
    yield f"{_ROLLOUT}.gpu_memory_utilization", cluster.memory
    if job.weights == "adapter":
        # only the adapter travels to vLLM after each update, so vLLM reads the base itself
        yield f"{_ROLLOUT}.load_format", "safetensors"
        yield f"{_ROLLOUT}.layered_summon", True
    yield f"{_ROLLOUT}.agent.num_workers", cluster.workers
    yield f"{_ROLLOUT}.agent.default_agent_loop", job.agent
    yield f"{_ROLLOUT}.agent.agent_loop_config_path", str(job.files.agents)


def _trainer(job: Job) -> Iterator[tuple[str, Value]]:
    preset, cluster, files = job.preset, job.cluster, job.files
    measures = bool(job.held_out and preset.check_every)
    yield "trainer.use_v1", True  # the one that takes several conversations of an episode
    yield "trainer.v1.trainer_mode", "sync"
    yield "trainer.nnodes", cluster.nodes
    yield "trainer.n_gpus_per_node", cluster.gpus
    yield "trainer.total_epochs", math.ceil(preset.epochs)
    yield "trainer.total_training_steps", steps_of(job)
    yield "trainer.save_freq", preset.save_every
    yield "trainer.test_freq", preset.check_every if measures else -1
    yield "trainer.val_before_train", measures
    yield "trainer.project_name", "mia"
    yield "trainer.experiment_name", job.name
    yield "trainer.logger", ["console"]
    yield "trainer.default_local_dir", str(files.checkpoints)
    yield "trainer.resume_mode", "auto"
    yield "hydra.run.dir", str(files.hydra)


def _check_preset(job: Job) -> None:
    preset = job.preset
    if len(job.exercises) < preset.questions:
        raise InputError(
            f"a step takes {preset.questions} exercises, and there are {len(job.exercises)}"
        )
    if preset.dtype != "bfloat16":
        raise ConfigError(f"verl calculates in bfloat16, not in {preset.dtype}; set dtype")
    if preset.batch_tokens < job.context:
        raise ConfigError(
            f"batch_tokens ({preset.batch_tokens}) has to hold the longest episode:"
            f" max_prompt + max_response is {job.context}"
        )
    if job.begins is not None and job.weights == "all":
        raise ConfigError(
            "all weights are trained: an adapter to begin with has to be merged first"
            " (mia policy export --form merged)"
        )


def _check_cluster(job: Job) -> None:
    preset, cluster = job.preset, job.cluster
    rows = preset.questions * CONVERSATIONS[job.role] * preset.attempts
    if rows % cluster.total_gpus:
        raise ConfigError(
            f"{rows} rows of an update (questions x attempts x {CONVERSATIONS[job.role]}"
            f" conversations) cannot be shared evenly by {cluster.total_gpus} GPUs"
        )
    if cluster.gpus % cluster.tensor_parallel:
        raise ConfigError(
            f"{cluster.gpus} GPUs of a node are no multiple of tensor_parallel"
            f" ({cluster.tensor_parallel})"
        )


def _said(value: Value) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{','.join(map(_said, value))}]"
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if "${" in value:
        raise ConfigError(f"{value!r} cannot be told to verl, to which ${{ has a meaning")
    # in Hydra a backslash is itself, unless a quote follows
    quoted = re.sub(r"\\+(?='|\Z)", lambda found: 2 * found[0], value).replace("'", "\\'")
    return f"'{quoted}'"
