"""Rows out of files that lie here: Parquet, JSON, JSONL, CSV and TSV, as they stream by."""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec

from mia.datasets.dataset import Raw
from mia.errors import InputError, MissingError, adding
from mia.types import Noun

KINDS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_BATCH = 64
"""Rows that are held at once: with pictures, one is some megabytes."""
_ALIASES = {"validation": ("validation", "valid", "val", "dev")}
"""What splits are called in the names of files too."""


class Broken(Noun, frozen=True):
    """In place of a row that could not be read."""

    why: str


class _Batch(Protocol):
    def to_pylist(self) -> list[Raw]: ...


class _Table(Protocol):
    """The part of `pyarrow.parquet.ParquetFile` that is used."""

    def iter_batches(self, batch_size: int) -> Iterable[_Batch]: ...


def find(source: Path, split: str | None, config: str | None = None) -> list[Path]:
    """The files of a split: `source` itself, or those in the folder whose path there has the
    split's name in it, and the configuration's where several have been copied; or the only file;
    all of them for no split. Raises InputError that says what is there."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"there is nothing at {source}")
    every = sorted(path for path in source.rglob("*") if path.suffix.lower() in KINDS)
    every = [path for path in every if not any(_hidden(path.relative_to(source)))]
    chosen = [path for path in every if config in path.relative_to(source).parts] or every
    called = set(_ALIASES.get(split or "", (split,)))
    named = [path for path in chosen if _words(path.relative_to(source)) & called]
    found = named or (chosen if split is None or len(chosen) == 1 else [])
    if not found:
        there = ", ".join(str(path.relative_to(source)) for path in every[:10]) or "nothing"
        raise InputError(
            f"which files in {source} are the split {split!r}? There are: {there}; give one file"
        )
    return found


def _hidden(path: Path) -> Iterator[bool]:
    return (part.startswith(".") for part in path.parts)


def _words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", path.as_posix().lower()))


def rows(paths: Sequence[Path]) -> Iterator[Raw | Broken]:
    """The rows of files, in order. Raises InputError for a file that cannot be read at all,
    MissingError for Parquet without pyarrow."""
    for path in paths:
        try:
            yield from _rows(path)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot read {path}: {error}") from error


def _rows(path: Path) -> Iterator[Raw | Broken]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in (".csv", ".tsv"):
        return _table(path, "\t" if suffix == ".tsv" else ",")
    if suffix in (".jsonl", ".ndjson") or (suffix == ".json" and not _is_array(path)):
        return _lines(path)
    if suffix == ".json":
        return _array(path)
    raise InputError(f"{path} is of no kind that can be read ({', '.join(KINDS)})")


def _parquet(path: Path) -> Iterator[Raw]:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError(f"Parquet needs pyarrow; run: {adding('data')}") from error
    refused = cast(type[Exception], ArrowException)
    try:
        table = cast(_Table, parquet.ParquetFile(path))  # type: ignore[reportUnknownMemberType]
        for batch in table.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()
    except refused as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _table(path: Path, delimiter: str) -> Iterator[Raw | Broken]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, restkey="", strict=True)
        for row in reader:
            wide = isinstance(row.get(""), list)
            short = any(value is None for value in row.values())
            if wide or short:
                columns = len(reader.fieldnames or ())
                yield Broken(why=f"it has {'more' if wide else 'fewer'} than {columns} columns")
            else:
                yield dict(row)


def _is_array(path: Path) -> bool:
    """Whether a .json file is one list; what is called so may have a row in each line."""
    with path.open("rb") as file:
        return file.read(256).removeprefix(BOM_UTF8).lstrip().startswith(b"[")


def _lines(path: Path) -> Iterator[Raw | Broken]:
    with path.open("rb") as file:
        for line in file:
            text = line.removeprefix(BOM_UTF8).strip()
            if text:
                yield _object(text)


def _array(path: Path) -> Iterator[Raw | Broken]:
    """Held as a whole: a list ends where its last row has been read."""
    try:
        items = msgspec.json.decode(
            path.read_bytes().removeprefix(BOM_UTF8), type=list[msgspec.Raw]
        )
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    return (_object(item) for item in items)


def _object(text: bytes | msgspec.Raw) -> Raw | Broken:
    try:
        return msgspec.json.decode(text, type=Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Broken(why=str(error))
