"""A tiny ONNX model written by hand, so that no test needs the onnx package: mean colours of the
squares of a picture."""

from __future__ import annotations

from collections.abc import Sequence


def _varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def _tensor_type(name: str, shape: Sequence[int]) -> bytes:
    """A ValueInfoProto of floats."""
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, 1) + _bytes(2, dims)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def pooling(shape: Sequence[int], out: Sequence[int], kernel: int, output: str = "out") -> bytes:
    """A model that averages squares of its input."""
    ints = b"".join(_number(8, kernel) for _ in range(2))
    attributes = [
        _bytes(1, name) + ints + _number(20, 7) for name in ("kernel_shape", "strides")
    ]  # 7: a list of integers
    node = _bytes(1, "pixels") + _bytes(2, output) + _bytes(4, "AveragePool")
    node += b"".join(_bytes(5, attribute) for attribute in attributes)
    graph = _bytes(1, node) + _bytes(2, "graph")
    graph += _bytes(11, _tensor_type("pixels", shape)) + _bytes(12, _tensor_type(output, out))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, 17))
