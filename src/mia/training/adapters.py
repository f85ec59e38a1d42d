"""LoRA adapters over a base that can be trained, as PEFT has them."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from mia.errors import ConfigError, InputError, MissingError, adding
from mia.models.gguf_adapters import WEIGHTS
from mia.models.torch_local import Base
from mia.training.presets import Preset

OWN = "default"
"""What PEFT calls the adapter that is trained."""


def adapted(base: Base, preset: Preset, begins: Path | None) -> Any:
    """The base with an adapter over it: what `begins` holds, or one that changes nothing yet.
    Raises MissingError without the library, InputError for a folder without an adapter."""
    try:
        peft = import_module("peft")
    except ImportError as error:
        raise MissingError(f"training needs peft; run: {adding('train')}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        if begins is None:
            lora = peft.LoraConfig(
                r=preset.rank, lora_alpha=preset.alpha, target_modules="all-linear"
            )
            return peft.get_peft_model(base.model, lora, autocast_adapter_dtype=False).eval()
        check_adapter(begins)
        return peft.PeftModel.from_pretrained(
            base.model, begins, is_trainable=True, autocast_adapter_dtype=False
        ).eval()


def forgetful(adapted: Any) -> Sequence[Any]:
    """The layers, set to keep only what goes into them while they train. Raises ConfigError where
    transformers cannot do that."""
    try:
        adapted.get_base_model().activation_checkpointing_enable()
    except ValueError as error:
        raise ConfigError(f"{error} Train it with --set recompute=false") from error
    return [each for each in adapted.modules() if getattr(each, "gradient_checkpointing", False)]


@contextmanager
def training(layers: Sequence[Any]) -> Generator[None]:
    """Only these: what is inside them may drop out numbers when it trains."""
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def check_adapter(folder: Path) -> None:
    """Raises InputError for a folder without an adapter."""
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"there is no adapter in {folder}")


def put(model: Any, folder: Path | None) -> None:
    """Puts the weights of an adapter into the one that is trained; None for those that change
    nothing. Raises InputError for a folder without an adapter, and for one of another form."""
    if folder is None:
        for name, weight in model.named_parameters():
            if f"lora_B.{OWN}" in name:
                weight.data.zero_()
        return
    check_adapter(folder)
    peft, safetensors = import_module("peft"), import_module("safetensors.torch")
    try:
        state = safetensors.load_file(folder / WEIGHTS)
        known = peft.get_peft_model_state_dict(model, adapter_name=OWN)
        if {name: tuple(each.shape) for name, each in state.items()} != {
            name: tuple(each.shape) for name, each in known.items()
        }:
            raise InputError(f"the adapter in {folder} is of another form than the one in training")
        peft.set_peft_model_state_dict(model, state, adapter_name=OWN)
    except import_module("safetensors").SafetensorError as error:
        raise InputError(f"the adapter in {folder} cannot be read: {error}") from error
