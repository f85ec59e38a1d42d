"""Adapters in two forms: there and back they are the same, and nothing is turned into what says
something else."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.engines import adapters
from mia.errors import InputError
from mia.models.gguf_adapters import Heads, from_gguf, heads_of, to_gguf

gguf = pytest.importorskip("gguf", reason="the extra `train` is not installed: no gguf")
safetensors = pytest.importorskip("safetensors.numpy", reason="the extra `train` is not installed")

SMOLLM2 = Heads(9, 3)
MODULES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
Tensors = dict[str, np.ndarray]


def peft_name(layer: int, module: str, side: str) -> str:
    return f"base_model.model.model.layers.{layer}.{module}.lora_{side}.weight"


def write_peft(folder: Path, tensors: Tensors, alpha: float = 16, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    safetensors.save_file(tensors, folder / "adapter_model.safetensors")
    written = {"peft_type": "LORA", "r": 2, "lora_alpha": alpha, "use_dora": False, **more}
    (folder / "adapter_config.json").write_text(json.dumps(written))
    return folder


def read_peft(folder: Path) -> Tensors:
    return safetensors.load_file(folder / "adapter_model.safetensors")


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "adapter_config.json").read_text())


@st.composite
def adapted(draw: st.DrawFn) -> tuple[Heads, Tensors]:
    """An adapter of some modules of some layers of a model that is as small as it can be."""
    key_value = draw(st.integers(1, 3))
    heads = Heads(key_value * draw(st.integers(1, 3)), key_value)
    half, rank, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 4)), 5
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    tensors: Tensors = {}
    for layer in draw(st.sets(st.integers(0, 40), min_size=1, max_size=2)):
        for module in draw(st.sets(st.sampled_from(sorted(MODULES)), min_size=1)):
            count = heads.key_value if module.endswith(("k_proj", "v_proj")) else heads.attention
            shapes = {"A": (rank, hidden), "B": (2 * half * count, rank)}
            for side, shape in shapes.items():
                values = random.standard_normal(shape).astype(np.float32)
                tensors[peft_name(layer, module, side)] = values
    return heads, tensors


@given(adapted(), st.sampled_from(["fp16", "fp32"]))
@settings(max_examples=50, deadline=None)
def test_there_and_back_an_adapter_is_the_same(
    made: tuple[Heads, Tensors], dtype: Literal["fp16", "fp32"]
) -> None:
    heads, tensors = made
    with TemporaryDirectory() as name:
        folder = Path(name)
        to_gguf(write_peft(folder / "peft", tensors, alpha=24), folder / "a.gguf", heads, dtype)
        from_gguf(folder / "a.gguf", folder / "back", heads, "the base")
        back, config = read_peft(folder / "back"), config_of(folder / "back")
    assert back.keys() == tensors.keys()
    for key, values in tensors.items():
        stored = values.astype(np.float16) if dtype == "fp16" else values
        np.testing.assert_array_equal(back[key], stored.astype(np.float32), err_msg=key)
    rank = next(len(v) for k, v in tensors.items() if "lora_A" in k)
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (rank, 24, "LORA")
    assert config["base_model_name_or_path"] == "the base"
    assert set(config["target_modules"]) == {key.split(".")[6] for key in tensors}


def in_gguf(file: Path) -> Tensors:
    return {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(file).tensors}


def test_the_rows_of_queries_and_keys_are_in_llama_cpps_order(tmp_path: Path) -> None:
    """A head's first half and its second become pairs: 0 4 1 5 2 6 3 7."""
    rows = np.arange(16, dtype=np.float32).reshape(16, 1)
    tensors = {peft_name(0, f"self_attn.{m}_proj", "B"): rows for m in "qkv"}
    tensors |= {peft_name(0, f"self_attn.{m}_proj", "A"): rows.T.copy() for m in "qkv"}
    to_gguf(write_peft(tmp_path / "peft", tensors), tmp_path / "a.gguf", Heads(2, 1), "fp32")
    found = {name: values.ravel().tolist() for name, values in in_gguf(tmp_path / "a.gguf").items()}
    assert found["blk.0.attn_q.weight.lora_b"] == [
        0,
        4,
        1,
        5,
        2,
        6,
        3,
        7,
        8,
        12,
        9,
        13,
        10,
        14,
        11,
        15,
    ]
    assert found["blk.0.attn_k.weight.lora_b"] == [
        0,
        8,
        1,
        9,
        2,
        10,
        3,
        11,
        4,
        12,
        5,
        13,
        6,
        14,
        7,
        15,
    ]
    for name in ("attn_v.weight.lora_b", "attn_q.weight.lora_a", "attn_v.weight.lora_a"):
        assert found[f"blk.0.{name}"] == list(range(16))


@pytest.mark.parametrize("name", ["planner", "reader"])
def test_a_shipped_adapter_can_be_trained_on_and_comes_back(name: str, tmp_path: Path) -> None:
    from_gguf(adapters()[name], tmp_path / "peft", SMOLLM2)
    config = config_of(tmp_path / "peft")
    assert (config["r"], config["lora_alpha"], len(config["target_modules"])) == (8, 16, 7)
    assert len(read_peft(tmp_path / "peft")) == 30 * 7 * 2
    to_gguf(tmp_path / "peft", tmp_path / "again.gguf", SMOLLM2)
    shipped, again = in_gguf(adapters()[name]), in_gguf(tmp_path / "again.gguf")
    assert shipped.keys() == again.keys()
    for key, values in shipped.items():
        np.testing.assert_array_equal(again[key], values, err_msg=key)


def test_what_peft_wrote_in_16_bits_is_read(tmp_path: Path) -> None:
    """bf16 is the upper half of a float32."""
    values = np.array([[1.5, -2.0, 0.15625, 3e38]], dtype=np.float32)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    name = peft_name(3, "mlp.up_proj", "A")
    head = json.dumps({name: {"dtype": "BF16", "shape": [1, 4], "data_offsets": [0, 8]}}).encode()
    raw = len(head).to_bytes(8, "little") + head + upper.tobytes()
    folder = write_peft(tmp_path / "peft", {name: values})
    (folder / "adapter_model.safetensors").write_bytes(raw)
    to_gguf(folder, tmp_path / "a.gguf", Heads(1, 1), "fp32")
    stored = in_gguf(tmp_path / "a.gguf")["blk.3.ffn_up.weight.lora_a"]
    expected = (upper.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize(
    "setting",
    [
        {"use_rslora": True}, {"use_dora": True}, {"alpha_pattern": {"q_proj": 3}},
        {"bias": "all"}, {"modules_to_save": ["lm_head"]}, {"fan_in_fan_out": True},
        {"lora_bias": True},
    ],
    ids=lambda setting: next(iter(setting)),
)  # fmt: skip
def test_what_a_gguf_cannot_say_is_refused_by_name(setting: dict[str, Any], tmp_path: Path) -> None:
    values = {peft_name(0, "mlp.up_proj", "A"): np.ones((1, 4), np.float32)}
    folder = write_peft(tmp_path / "peft", values, **setting)
    with pytest.raises(InputError, match=f"sets {next(iter(setting))}, which a GGUF"):
        to_gguf(folder, tmp_path / "a.gguf", Heads(1, 1))
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    "name", ["base_model.model.lm_head.lora_A.weight", peft_name(0, "mlp.router", "A")]
)
def test_a_module_without_a_name_in_llama_cpp_is_refused(name: str, tmp_path: Path) -> None:
    folder = write_peft(tmp_path / "peft", {name: np.ones((1, 4), np.float32)})
    with pytest.raises(InputError, match=f"no name for {name}"):
        to_gguf(folder, tmp_path / "a.gguf", Heads(1, 1))


def test_heads_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    name = peft_name(0, "self_attn.q_proj", "B")
    folder = write_peft(tmp_path / "peft", {name: np.ones((8, 1), np.float32)})
    with pytest.raises(InputError, match=r"8 rows of self_attn\.q_proj .* 3 heads"):
        to_gguf(folder, tmp_path / "a.gguf", Heads(3, 1))


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter in PEFT's form"):
        to_gguf(tmp_path, tmp_path / "a.gguf", SMOLLM2)
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 100)
    with pytest.raises(InputError, match=r"junk\.gguf is no GGUF"):
        from_gguf(tmp_path / "junk.gguf", tmp_path / "out", SMOLLM2)
    folder = write_peft(tmp_path / "peft", {})
    with pytest.raises(InputError, match="is empty"):
        to_gguf(folder, tmp_path / "a.gguf", SMOLLM2)
    (folder / "adapter_model.safetensors").write_bytes(b"junk")
    with pytest.raises(InputError, match="no adapter in PEFT's form"):
        to_gguf(folder, tmp_path / "a.gguf", SMOLLM2)


def test_heads_are_read_from_either_form(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(str(tmp_path / "model.gguf"), "llama")
    writer.add_head_count(9)
    writer.add_head_count_kv(3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert heads_of(tmp_path / "model.gguf") == SMOLLM2
    described = {"model_type": "llama", "num_attention_heads": 9, "num_key_value_heads": 3}
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert heads_of(tmp_path) == SMOLLM2
    (tmp_path / "config.json").write_text(json.dumps({**described, "model_type": "qwen3"}))
    with pytest.raises(InputError, match="'qwen3'"):
        heads_of(tmp_path)
    with pytest.raises(InputError, match="no model in Hugging Face's form"):
        heads_of(tmp_path / "nowhere")
