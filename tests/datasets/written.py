"""Small files of every kind, as data sets are published in."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

Rows = Sequence[dict[str, Any]]


def parquet(path: Path, rows: Rows) -> Path:
    """Skips the test where pyarrow is not installed."""
    arrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    table = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_table(arrow.Table.from_pylist(list(rows)), path)
    return path


def jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)) + b"\n")
    return path


def array(path: Path, rows: Rows) -> Path:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(rows))))
    return path


def table(path: Path, rows: Rows) -> Path:
    """CSV or TSV, by the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


WRITERS = {
    "parquet": parquet, "jsonl": jsonl, "json": array, "csv": table, "tsv": table,
}  # fmt: skip


def picture(colour: int) -> bytes:
    """A PNG. Skips the test where Pillow is not installed."""
    pillow = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
    file = BytesIO()
    pillow.new("RGB", (32, 16), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()
