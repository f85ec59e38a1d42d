"""The published encoding of a batch: JSON, a column a name, each of them a tensor, an array of
numbers, or a list of anything.

Nothing is made of it but arrays of numbers and what JSON knows: no class, no code, no dtype that is
not listed here. Sizes are bounded by the request's and by those below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.errors import InputError

MOST_ROWS = 1024
MOST_COLUMNS = 64
MOST_NUMBERS = 1 << 24
"""Of one column."""
_MOST_AXES = 4
_DTYPES = {
    "float32": np.float32, "float64": np.float64, "bfloat16": np.float32, "int64": np.int64,
    "int32": np.int32, "bool": np.bool_, "float16": np.float16, "int16": np.int16,
    "int8": np.int8, "uint8": np.uint8,
}  # fmt: skip
"""What is made of the dtypes that are read; float32 holds every bfloat16, which numpy does not
know."""
_TEXT = re.compile(r"[<>=|]?U\d{1,9}")
"""The dtype of an array of texts."""


class Batch(NamedTuple):
    """A batch, read."""

    rows: int
    numbers: dict[str, NDArray[Any]]
    """The columns that are tensors or arrays of numbers; their first axis is the rows."""
    lists: dict[str, list[Any]]
    """The others, an item a row."""

    def row(self, number: int) -> dict[str, Any]:
        """What the lists say of a row, counted from 0."""
        return {name: column[number] for name, column in self.lists.items()}


class _Encoded(msgspec.Struct, frozen=True):
    data: msgspec.Raw
    tensor: bool = msgspec.field(name="__tensor__", default=False)
    objects: bool = msgspec.field(name="__ndarray_object__", default=False)
    numbers: bool = msgspec.field(name="__ndarray_numpy__", default=False)
    dtype: str = ""


def decoded(columns: Mapping[str, msgspec.Raw]) -> Batch:
    """A batch. Raises InputError that names the column which cannot be read."""
    if not columns or len(columns) > MOST_COLUMNS:
        raise InputError(f"a batch has 1 to {MOST_COLUMNS} columns, got {len(columns)}")
    numbers: dict[str, NDArray[Any]] = {}
    lists: dict[str, list[Any]] = {}
    for name, raw in columns.items():
        try:
            column = _column(raw)
        except (InputError, msgspec.DecodeError, RecursionError) as error:
            raise InputError(f"column {name[:60]!r} cannot be read: {error}") from error
        if isinstance(column, list):
            lists[name] = column
        else:
            numbers[name] = column
    sizes = {name: len(column) for name, column in (*numbers.items(), *lists.items())}
    if len(set(sizes.values())) > 1:
        raise InputError(f"the columns should have one length, got {sizes}")
    (rows,) = set(sizes.values())
    if not 1 <= rows <= MOST_ROWS:
        raise InputError(f"a batch has 1 to {MOST_ROWS} rows, got {rows}")
    return Batch(rows, numbers, lists)


def _column(raw: msgspec.Raw) -> NDArray[Any] | list[Any]:
    """Raises InputError and msgspec.DecodeError."""
    if bytes(raw).lstrip()[:1] == b"[":
        return msgspec.json.decode(raw, type=list[Any])
    encoded = msgspec.json.decode(raw, type=_Encoded)
    if [encoded.tensor, encoded.objects, encoded.numbers].count(True) != 1:
        raise InputError("it should be a tensor, an array of numbers or one of objects")
    texts = encoded.numbers and _TEXT.fullmatch(encoded.dtype) is not None
    if encoded.objects or texts:
        items = msgspec.json.decode(encoded.data, type=list[Any])
        if texts and not all(isinstance(item, str) for item in items):
            raise InputError("not all of its items are texts")
        return items
    return _numbers(encoded)


def _numbers(encoded: _Encoded) -> NDArray[Any]:
    dtype = _DTYPES.get(encoded.dtype)
    if dtype is None:
        raise InputError(f"its dtype should be one of {', '.join(_DTYPES)}")
    data = msgspec.json.decode(encoded.data, type=list[Any])
    try:
        plain = np.asarray(data)
        if plain.dtype.kind not in "biuf" or plain.ndim > _MOST_AXES or plain.size > MOST_NUMBERS:
            raise InputError(
                f"it should hold numbers alone, {MOST_NUMBERS:,} at most on {_MOST_AXES} axes"
            )
        return _narrowed(plain, dtype)
    except (ValueError, OverflowError, TypeError) as error:  # rows of different lengths among them
        raise InputError(str(error)) from error


def _narrowed(plain: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """The numbers in their dtype. Raises InputError for one that has no place in it."""
    with np.errstate(over="ignore", invalid="ignore"):
        made = plain.astype(dtype)
    if plain.dtype.kind in "iu" and np.dtype(dtype).kind in "iu" and not (made == plain).all():
        raise InputError(f"a number has no place in {np.dtype(dtype).name}")
    return made
