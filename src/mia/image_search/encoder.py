"""A picture encoder of the user's own: any ONNX model that makes a vector of a picture.

It finds what shows the same thing in another picture, which comparing pixels cannot. What it
expects is read from the model, and from a `preprocessor_config.json` beside it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mia.errors import ConfigError, MissingError, installing
from mia.image_search.pixels import Floats, Pixels, squeezed

_SIDE = 224
"""Where a model takes any size."""
_VECTORS = ("image_embeds", "pooler_output", "sentence_embedding")
"""Names under which models give one vector a picture; else the first output is taken."""


class _Preprocessing(msgspec.Struct, frozen=True):
    """The part of Hugging Face's file that is read. The defaults are CLIP's."""

    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


class Encoder:
    """Vectors of pictures. Several threads may share one."""

    def __init__(self, model: Path) -> None:
        """Loads an ONNX file. Raises MissingError where it is not there, ConfigError where it is no
        encoder of pictures."""
        if not model.is_file():
            raise MissingError(f"no image encoder at {model}")
        try:
            import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise MissingError(
                f"image encoders need onnxruntime; run: {installing('onnxruntime')}"
            ) from error
        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = runtime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no other base
            raise ConfigError(f"{model} is no ONNX model: {_first_line(error)}") from error
        config = model.with_name("preprocessor_config.json")
        raw = config.read_bytes() if config.is_file() else b"{}"
        try:
            self._preprocessing = msgspec.json.decode(raw, type=_Preprocessing)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{config}: {error}") from error
        self.name = hashlib.sha256(model.read_bytes() + raw).hexdigest()[:16]
        """Changes with the model: vectors of different names cannot be compared."""
        self._input, self._side = self._entrance(model)
        outputs = [str(node.name) for node in self._session.get_outputs()]
        self._output = next((name for name in _VECTORS if name in outputs), outputs[0])

    def _entrance(self, model: Path) -> tuple[str, int]:
        """The input's name, and the side of the square it takes."""
        entrances = self._session.get_inputs()
        shape = entrances[0].shape
        if len(entrances) != 1 or len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise ConfigError(f"{model} takes no pictures: one input [batch, 3, side, side] is due")
        return str(entrances[0].name), shape[2] if isinstance(shape[2], int) else _SIDE

    def vector(self, pixels: Pixels) -> Floats:
        """A unit vector."""
        square = squeezed(pixels, self._side).astype(np.float32) / 255
        square = (square - self._preprocessing.image_mean) / self._preprocessing.image_std
        feed = {self._input: square.transpose(2, 0, 1)[None].astype(np.float32)}
        out: Floats = self._session.run([self._output], feed)[0][0]
        flat = _pooled(out.astype(np.float32))
        return flat / (np.linalg.norm(flat) + 1e-12)


def _pooled(out: Floats) -> Floats:
    """One vector: the mean over tokens [tokens, D], or over places [D, rows, columns]."""
    if out.ndim == 3:
        return out.mean(axis=(1, 2))
    return out.mean(axis=0) if out.ndim == 2 else out.reshape(-1)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
