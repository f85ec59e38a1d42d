"""Whole weights from a base and its adapter, for engines that know no adapters. The extra `train`
brings what it needs."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from mia.errors import MissingError, adding
from mia.models.torch_local import libraries


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Writes the base of a folder in Hugging Face's form, with a PEFT adapter in its weights, to
    another folder of that form, tokenizer included. Raises MissingError without the libraries."""
    _, transformers = libraries()
    try:
        peft: Any = import_module("peft")
    except ImportError as error:
        raise MissingError(f"merging an adapter needs peft; run: {adding('train')}") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
        model = transformers.AutoModelForCausalLM.from_pretrained(
            base, dtype="auto", local_files_only=True
        )
        merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
        merged.save_pretrained(out)
    transformers.AutoTokenizer.from_pretrained(base, local_files_only=True).save_pretrained(out)
