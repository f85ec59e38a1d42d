"""Turns model files from one form into another.

    python recipes/embedded/convert.py base SmolLM2-135M-Instruct.Q4_1.gguf build/embedded/base
    python recipes/embedded/convert.py adapter build/embedded/reader_lora src/mia/models/adapters/reader.gguf --base build/embedded/base

`base` writes the GGUF as a Hugging Face folder, for training. `adapter` writes a PEFT folder as a
GGUF adapter, for llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

TENSORS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
_NAME = re.compile(r"layers\.(\d+)\.(.+?)\.lora_([AB])\.")


def base(source: Path, out: Path) -> None:
    """GGUF to a Hugging Face folder in fp32."""
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(gguf_file=source.name, dequantize=True),
    )
    # transformers refuses to save what it knows to have come from a quantised file
    model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
    del model.config.quantization_config
    model.save_pretrained(out)


def adapter(source: Path, out: Path, base_folder: Path) -> None:
    """A PEFT LoRA folder to a GGUF adapter in fp16."""
    config = json.loads((source / "adapter_config.json").read_text())
    heads = json.loads((base_folder / "config.json").read_text())
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(out), "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(config["lora_alpha"]))
    for name, tensor in sorted(load_file(source / "adapter_model.safetensors").items()):
        match = _NAME.search(name)
        if match is None:
            raise ValueError(f"no llama.cpp name for {name}")
        layer, module, side = match.groups()
        values = tensor.float().numpy()
        if side == "B" and module.endswith(("q_proj", "k_proj")):
            count = heads["num_attention_heads" if "q_proj" in module else "num_key_value_heads"]
            values = _interleave(values, count)
        target = f"blk.{layer}.{TENSORS[module]}.weight.lora_{side.lower()}"
        writer.add_tensor(target, values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _interleave(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order llama.cpp's rotary embedding expects."""
    rows, rank = values.shape
    return values.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("base", "adapter"))
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=Path)
    options = parser.parse_args()
    if options.what == "base":
        base(options.source, options.out)
    else:
        adapter(options.source, options.out, options.base)


if __name__ == "__main__":
    main()
