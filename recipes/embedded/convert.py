"""Turns model files from one form into another.

    python recipes/embedded/convert.py base SmolLM2-135M-Instruct.Q4_1.gguf build/embedded/base
    python recipes/embedded/convert.py adapter build/embedded/reader_lora src/mia/models/adapters/reader.gguf --base build/embedded/base

`base` writes the GGUF as a Hugging Face folder, for training. `adapter` writes a PEFT folder as a
GGUF adapter, for llama.cpp.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from mia.models.gguf_adapters import heads_of, to_gguf


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
    to_gguf(source, out, heads_of(base_folder))


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
