"""MiniLM-L6 sentence vectors on the processor: int8 ONNX, no torch, no network.

A text's vector does not depend on what shares its batch (64 questions alone and in batches of 16:
cos >= 0.9999998).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mia.errors import MissingError, installing

DIMENSIONS = 384
_MAX_TOKENS = 256
"""What the model was trained with; the rest of a longer text is not read."""
_BATCH = 16
"""Larger batches measured no faster and take more memory (STACK notes)."""
_FILES = ("model.onnx", "tokenizer.json")


class MiniLM:
    """Embeds texts with the MiniLM of a folder. Several threads may share one."""

    name = "minilm-l6-int8"

    def __init__(self, folder: Path) -> None:
        """Loads the model. Raises MissingError where the folder or a library lacks."""
        missing = [file for file in _FILES if not (folder / file).is_file()]
        if missing:
            raise MissingError(
                f"no {' and '.join(missing)} in {folder}; run: mia models get minilm"
            )
        self._session, self._tokenizer = _load(folder)
        self._inputs = {str(node.name) for node in self._session.get_inputs()}

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row a text, [texts, dimensions]; an empty text is a row of zeros."""
        rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        filled = [index for index, text in enumerate(texts) if text.strip()]
        filled.sort(
            key=lambda index: len(texts[index])
        )  # alike lengths share a batch: less padding
        for start in range(0, len(filled), _BATCH):
            batch = filled[start : start + _BATCH]
            # a thread cannot be stopped: who is cancelled waits for one batch, not for all
            rows[batch] = await asyncio.to_thread(self._batch, [texts[index] for index in batch])
        return rows

    def _batch(self, texts: list[str]) -> NDArray[np.float32]:
        encodings = self._tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        wanted = {name: array for name, array in feed.items() if name in self._inputs}
        tokens_BTD: NDArray[np.float32] = self._session.run(None, wanted)[0]
        weight_BT1 = mask[..., None].astype(np.float32)
        mean_BD = (tokens_BTD * weight_BT1).sum(axis=1) / weight_BT1.sum(axis=1)
        return mean_BD / np.linalg.norm(mean_BD, axis=1, keepdims=True)


def _load(folder: Path) -> tuple[Any, Any]:
    """The session and the tokenizer: neither library has types of its own worth the name."""
    try:
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingError(
            f"MiniLM needs {error.name}; run: {installing('onnxruntime', 'tokenizers')}"
        ) from error
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # the second core is for the planner's model
    options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(max_length=_MAX_TOKENS)
    tokenizer.enable_padding()
    return session, tokenizer
