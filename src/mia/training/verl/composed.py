"""verl's whole configuration as a run would have it, and what verl itself says of it. Needs verl,
but no GPU: what only vLLM or a GPU can tell is left to the run."""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Generator, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from mia.errors import ConfigError, MissingError, ModelError
from mia.models.torch_local import TokenizerChat
from mia.training.verl.job import Job

INSTALL = "give it an environment of its own, from requirements-verl.txt (docs/distributed.md)"


def compose(overrides: Sequence[str]) -> Any:
    """verl's `ppo_trainer.yaml` with overrides, as a DictConfig in which everything resolves.
    Raises ConfigError that names what verl has no room for, and MissingError without verl."""
    hydra, conf = _library("hydra"), _library("omegaconf")
    folder = Path(_library("verl.trainer").__file__).parent / "config"
    errors = (hydra.errors.HydraException, conf.errors.OmegaConfBaseException)
    try:
        with hydra.initialize_config_dir(str(folder), version_base=None):
            config = hydra.compose("ppo_trainer", overrides=list(overrides))
        conf.OmegaConf.to_container(config, resolve=True)
    except errors as error:
        raise ConfigError(f"verl has no such configuration: {_line(error)}") from error
    return config


def check(job: Job, overrides: Sequence[str]) -> tuple[str, ...]:
    """Composes the configuration and lets verl check it, with the model's own limits. Returns what
    could not be checked here. Raises ConfigError, and MissingError without verl."""
    with _aside():
        config = compose(overrides)
        _check_kinds(compose(()), config)
        _check_model(job, config)
        return _check_by_verl(config)


def _check_kinds(before: Any, after: Any) -> None:
    """That a value is of the kind that it replaces: verl reads most of them where they are used,
    which may be hours later. Raises ConfigError."""
    usual = dict(_leaves(before))
    for key, value in _leaves(after):
        was = usual.get(key)
        if was is not None and value is not None and _kind(was) is not _kind(value):
            raise ConfigError(f"verl has {was!r} for {key}, and no use for {value!r}")


def _kind(value: object) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _leaves(config: Any) -> Iterator[tuple[str, object]]:
    """Each value with its place, but for lists: where verl takes one, it takes one value too."""
    waiting: list[tuple[str, object]] = [
        ("", _library("omegaconf").OmegaConf.to_container(config, resolve=True))
    ]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            inner = cast("dict[str, object]", value)
            waiting += [(f"{path}.{key}".lstrip("."), each) for key, each in inner.items()]
        elif value != "???" and not isinstance(value, list):
            yield path, value


def _check_model(job: Job, config: Any) -> None:
    """That the model can be talked to, and has room for an episode."""
    read = _library("verl.utils.config").omega_conf_to_dataclass
    limit = _library("verl.workers.rollout.utils").get_max_position_embeddings
    with _refusals(str(job.model)):
        model = read(config.actor_rollout_ref.model)
        TokenizerChat(model.tokenizer, job.context)
        most = limit(model.hf_config)
    if job.context > most:
        raise ConfigError(
            f"max_prompt + max_response is {job.context} tokens, and {job.model.name} takes {most}"
        )


def _check_by_verl(config: Any) -> tuple[str, ...]:
    utils, reads = _library("verl.trainer.ppo.utils"), _library("verl.utils.config")
    unchecked: tuple[str, ...] = ()
    if find_spec("vllm") is None and config.actor_rollout_ref.model.lora_rank:
        # verl asks vLLM which ranks it takes, so without vLLM it checks a run without an adapter
        unchecked = ("whether vLLM takes an adapter of this rank: vLLM is not installed here",)
        config = copy.deepcopy(config)
        config.actor_rollout_ref.model.lora_rank = 0
    with _refusals("this configuration"):
        reads.omega_conf_to_dataclass(config.actor_rollout_ref.rollout)
        reads.validate_config(
            config=config,
            use_reference_policy=utils.need_reference_policy(config),
            use_critic=utils.need_critic(config),
        )
    return unchecked


@contextlib.contextmanager
def _refusals(of: str) -> Generator[None]:
    """What verl raises where it refuses something, as a ConfigError."""
    hydra = _library("hydra")
    errors = (AssertionError, ValueError, TypeError, OSError, KeyError, ModelError)
    try:
        yield
    except (*errors, hydra.errors.HydraException) as error:
        raise ConfigError(f"verl refuses {of}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextlib.contextmanager
def _aside() -> Generator[None]:
    """verl prints as it checks; standard output is for whoever asked us."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingError(f"this needs verl ({error}): {INSTALL}") from error
