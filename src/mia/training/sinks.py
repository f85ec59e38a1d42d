"""Shows a run's numbers in TensorBoard or Weights & Biases too. What they show is a copy: the run's
own record is in its folder, and a run that goes on says the steps since its last checkpoint again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from mia.errors import InputError, MissingError, installing
from mia.training.stages import Check, Step, Watch
from mia.types import Noun


def check(kind: str) -> None:
    """Raises InputError for a kind there is not."""
    if kind not in _SINKS:
        raise InputError(f"there is no log {kind!r}; there are {' and '.join(_SINKS)}")


def sink(kind: str, folder: Path, name: str) -> Watch:
    """What a run called `name` is told to; what it writes lies in a folder. Raises what `check`
    raises, and MissingError for a kind that is not installed."""
    check(kind)
    write = _SINKS[kind](folder, name)

    def watch(noun: Noun) -> None:
        if isinstance(noun, Step | Check):
            write(numbers_of(noun), noun.step)

    return watch


def numbers_of(noun: Step | Check) -> dict[str, float]:
    """What there is to draw of a step (`train/`, `update/`) or of a check (`held_out/`)."""
    if isinstance(noun, Check):
        return {**_numbers("held_out", asdict(noun)), "held_out/accuracy": noun.accuracy}
    told = {**asdict(noun), "update": None, "steps": None}
    return {
        **_numbers("train", told),
        **_numbers("train", noun.parts),
        **_numbers("update", asdict(noun.update)),
    }


def _numbers(group: str, told: Mapping[str, object]) -> dict[str, float]:
    return {
        f"{group}/{name}": float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and name != "step"
    }


_Write = Callable[[dict[str, float], int], None]


def _tensorboard(folder: Path, name: str) -> _Write:
    _needs("tensorboard")
    writer = import_module("torch.utils.tensorboard").SummaryWriter(folder / "tensorboard" / name)

    def write(numbers: dict[str, float], step: int) -> None:
        for tag, value in numbers.items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    return write


def _wandb(folder: Path, name: str) -> _Write:
    wandb = _needs("wandb")
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project="mia", name=name, id=name, resume="allow", dir=folder, reinit="create_new"
    )

    def write(numbers: dict[str, float], step: int) -> None:
        run.log({**numbers, "step": step})

    return write


def _needs(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingError(f"this log needs {package}; run: {installing(package)}") from error


_SINKS: Mapping[str, Callable[[Path, str], _Write]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
SINKS = tuple(_SINKS)
"""The kinds."""
