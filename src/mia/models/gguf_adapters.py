"""LoRA adapters in the two forms that matter: PEFT's folder, which is trained, and the GGUF that
llama.cpp speaks through. Either can be made from the other.

For models of the Llama kind, whose query and key rows llama.cpp keeps in another order than Hugging
Face. Works on numpy; the extra `train` brings what reads and writes the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.errors import InputError, MissingError, adding

Floats = NDArray[np.floating[Any]]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of PEFT's form."""
_ARCHITECTURE = "llama"
_MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_PEFT_NAME = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight")
_GGUF_NAME = re.compile(r"blk\.(\d+)\.(.+)\.weight\.lora_([ab])")
_INTERLEAVED = ("self_attn.q_proj", "self_attn.k_proj")
_KINDS: dict[str, type[np.float32] | type[np.float16]] = {"F32": np.float32, "F16": np.float16}


class Heads(NamedTuple):
    """What the order of query and key rows depends on."""

    attention: int
    key_value: int


class _Lora(msgspec.Struct, frozen=True):
    """The part of PEFT's settings that decides what an adapter does."""

    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    fan_in_fan_out: bool = False
    lora_bias: bool = False
    bias: str = "none"
    alpha_pattern: dict[str, float] | None = None
    modules_to_save: list[str] | None = None


class _Written(msgspec.Struct, frozen=True):
    """Settings as PEFT reads them; what is left out has PEFT's default."""

    r: int
    lora_alpha: float
    target_modules: list[str]
    base_model_name_or_path: str
    peft_type: str = "LORA"
    task_type: str = "CAUSAL_LM"
    inference_mode: bool = True
    bias: str = "none"
    lora_dropout: float = 0.0


class _Model(msgspec.Struct, frozen=True):
    """The part of a model's config.json that is read."""

    model_type: str
    num_attention_heads: int
    num_key_value_heads: int | None = None


class _Tensor(NamedTuple):
    layer: int
    module: str
    """PEFT's name for it, as `self_attn.q_proj`."""
    side: Literal["A", "B"]
    values: Floats
    """[rank, in] of A, [out, rank] of B."""


def heads_of(base: Path) -> Heads:
    """The heads of a model in Hugging Face's form or in a GGUF. Raises InputError for one that is
    not of the Llama kind, and for what is no model."""
    if base.is_file():
        fields = _reader(base).fields
        kind = _content(fields, "general.architecture")
        counts = [_content(fields, f"{kind}.attention.head_count{of}") for of in ("", "_kv")]
        heads = Heads(int(counts[0] or 0), int(counts[1] or counts[0] or 0))
    else:
        try:
            model = msgspec.json.decode((base / "config.json").read_bytes(), type=_Model)
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"no model in Hugging Face's form at {base}: {error}") from error
        kind, count = model.model_type, model.num_attention_heads
        heads = Heads(count, model.num_key_value_heads or count)
    if kind != _ARCHITECTURE:
        raise InputError(f"{base} is a model of kind {kind!r}; GGUF adapters are made for llama's")
    return heads


def to_gguf(
    peft_folder: Path, out: Path, heads: Heads, dtype: Literal["fp16", "fp32"] = "fp16"
) -> None:
    """Writes an adapter of PEFT's form as a GGUF. Raises InputError for an adapter that llama.cpp
    would not compute as PEFT does, and MissingError without the libraries."""
    gguf = _library("gguf")
    settings = _settings(peft_folder)
    tensors = sorted(_in_peft(peft_folder), key=lambda tensor: tensor[:3])
    if not tensors:
        raise InputError(f"the adapter in {peft_folder} is empty")
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(out), _ARCHITECTURE)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", settings.lora_alpha)
    for tensor in tensors:
        values = _turned(tensor, heads, _interleave)
        name = f"blk.{tensor.layer}.{_MODULES[tensor.module]}.weight.lora_{tensor.side.lower()}"
        writer.add_tensor(name, values.astype(np.float16 if dtype == "fp16" else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def from_gguf(gguf: Path, out_folder: Path, heads: Heads, base: str = "") -> None:
    """Writes a GGUF adapter in PEFT's form, 32 bits a weight, so that it can be trained on; `base`
    is what its settings call its model. Raises InputError for what is no such adapter, and
    MissingError without the libraries."""
    save = _library("safetensors.numpy").save_file
    reader = _reader(gguf)
    alpha = _content(reader.fields, "adapter.lora.alpha")
    if alpha is None or _content(reader.fields, "general.architecture") != _ARCHITECTURE:
        raise InputError(f"{gguf} is no LoRA adapter of a model of kind {_ARCHITECTURE!r}")
    tensors = list(_in_gguf(gguf, reader))
    ranks = {len(tensor.values) for tensor in tensors if tensor.side == "A"}
    if len(ranks) != 1:
        raise InputError(f"{gguf} has tensors of ranks {sorted(ranks)}; one adapter has one")
    settings = _Written(
        r=ranks.pop(),
        lora_alpha=alpha,
        target_modules=sorted({tensor.module.rpartition(".")[2] for tensor in tensors}),
        base_model_name_or_path=base,
    )
    out_folder.mkdir(parents=True, exist_ok=True)
    named = {
        f"base_model.model.model.layers.{tensor.layer}.{tensor.module}.lora_{tensor.side}.weight":
        np.ascontiguousarray(_turned(tensor, heads, _untangle).astype(np.float32))
        for tensor in tensors
    }  # fmt: skip
    save(named, out_folder / WEIGHTS, metadata={"format": "pt"})
    (out_folder / CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=2))


def _settings(folder: Path) -> _Lora:
    try:
        settings = msgspec.json.decode((folder / CONFIG).read_bytes(), type=_Lora)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"no adapter in PEFT's form in {folder}: {error}") from error
    plain = _Lora(lora_alpha=settings.lora_alpha)
    unlike = [
        name
        for name in _Lora.__struct_fields__
        if (getattr(settings, name) or None) != (getattr(plain, name) or None)
    ]
    if unlike:
        raise InputError(
            f"the adapter in {folder} sets {', '.join(unlike)}, which a GGUF adapter cannot say"
        )
    return settings


def _in_peft(folder: Path) -> Iterator[_Tensor]:
    safetensors = _library("safetensors")
    try:
        stored = safetensors.deserialize((folder / WEIGHTS).read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"no adapter in PEFT's form in {folder}: {error}") from error
    for name, stored_as in stored:
        match = _PEFT_NAME.fullmatch(name)
        if match is None or match[2] not in _MODULES:
            raise InputError(f"{folder}: llama.cpp has no name for {name}")
        side = cast(Literal["A", "B"], match[3])
        yield _Tensor(int(match[1]), match[2], side, _values(name, stored_as))


def _in_gguf(gguf: Path, reader: Any) -> Iterator[_Tensor]:
    modules = {name: module for module, name in _MODULES.items()}
    for stored in reader.tensors:
        match = _GGUF_NAME.fullmatch(stored.name)
        if match is None or match[2] not in modules:
            raise InputError(f"{gguf}: PEFT has no name for {stored.name}")
        if stored.tensor_type.name not in _KINDS:
            raise InputError(f"{gguf}: {stored.name} is {stored.tensor_type.name}, not floats")
        side = cast(Literal["A", "B"], match[3].upper())
        yield _Tensor(int(match[1]), modules[match[2]], side, stored.data)


def _values(name: str, stored: dict[str, Any]) -> Floats:
    """The numbers of a safetensor. numpy has no bf16: those are the upper halves of float32s."""
    raw, shape, kind = stored["data"], stored["shape"], stored["dtype"]
    if kind == "BF16":
        upper = np.frombuffer(raw, np.uint16).astype(np.uint32)
        return (upper << 16).view(np.float32).reshape(shape)
    if kind not in _KINDS:
        raise InputError(f"{name} is {kind}, not floats")
    return np.frombuffer(raw, _KINDS[kind]).reshape(shape)


def _turned(tensor: _Tensor, heads: Heads, order: Callable[[Floats, int], Floats]) -> Floats:
    """The values, with the rows of queries and keys in the other order."""
    if tensor.side == "A" or tensor.module not in _INTERLEAVED:
        return tensor.values
    count = heads.attention if tensor.module == _INTERLEAVED[0] else heads.key_value
    rows = len(tensor.values)
    if rows % (2 * count):
        raise InputError(f"{rows} rows of {tensor.module} do not belong to {count} heads")
    return order(tensor.values, count)


def _interleave(values: Floats, heads: int) -> Floats:
    """From halves of each head one after the other to pairs, as llama.cpp's rotary embedding has
    them. [out, rank]"""
    rows, rank = values.shape
    return values.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def _untangle(values: Floats, heads: int) -> Floats:
    """The inverse of `_interleave`."""
    rows, rank = values.shape
    return values.reshape(heads, rows // heads // 2, 2, rank).swapaxes(1, 2).reshape(rows, rank)


def _reader(file: Path) -> Any:
    """A GGUF that is read. Raises InputError."""
    try:
        return _library("gguf").GGUFReader(file)
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{file} is no GGUF: {error}") from error


def _content(fields: Any, name: str) -> Any:
    return fields[name].contents() if name in fields else None


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingError(
            f"turning adapters from one form into another needs gguf and safetensors; run:"
            f" {adding('train')}"
        ) from error
