"""Corpora as they lie on a disk: a JSONL file, a document, or a folder of documents."""

from __future__ import annotations

import hashlib
from array import array
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from mia.errors import InputError
from mia.search import documents
from mia.types import Passage


class _Row(msgspec.Struct, frozen=True):
    """`{id, title, text}`, or `{id, contents}` as Search-R1 has it: a quoted title, a line break,
    the text."""

    id: str | int
    title: str | None = None
    text: str | None = None
    contents: str | None = None
    url: str | None = None


def passages(source: Path, unreadable: Callable[[str], None] | None = None) -> Iterator[Passage]:
    """The passages of a corpus. Raises InputError that names the file and the line.

    A document of a folder that cannot be read is named to `unreadable` and left out; without it,
    it is an error too. A JSONL file is read whole or not at all.
    """
    if source.is_dir() or (source.is_file() and source.suffix.lower() in documents.KINDS):
        yield from documents.passages(source, unreadable)
    elif source.is_file():
        yield from _jsonl(source)
    else:
        raise InputError(f"no corpus at {source}")


def identity(source: Path) -> str:
    """A short name for a corpus, after the place where it lies."""
    digest = hashlib.sha256(str(source.resolve()).encode())
    return f"{source.resolve().stem}-{digest.hexdigest()[:12]}"


def state(source: Path) -> str:
    """Changes when the files of a corpus do."""
    digest = hashlib.sha256()
    for path in documents.files(source):
        status = path.stat()
        name = path.relative_to(source)
        digest.update(f"{name}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _jsonl(path: Path) -> Iterator[Passage]:
    seen = array("q")  # of 21 million ids, their hashes take 170 MB, and a set of them 2 GB
    for _, passage in _lines(path):
        seen.append(hash(passage.id))
        yield passage
    if not seen:
        raise InputError(f"{path} has no passages")
    if len(np.unique(np.frombuffer(seen, dtype=np.int64))) < len(seen):
        _refuse_twins(path)


def _refuse_twins(path: Path) -> None:
    """Raises InputError for an id that stands in a file twice, which two equal hashes hint at."""
    seen: set[str] = set()
    for number, passage in _lines(path):
        if passage.id in seen:
            raise InputError(f"{path} line {number}: the id {passage.id!r} stands there twice")
        seen.add(passage.id)


def _lines(path: Path) -> Iterator[tuple[int, Passage]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _passage(line, path, number)


def _passage(line: bytes, path: Path, number: int) -> Passage:
    try:
        row = msgspec.json.decode(line.removeprefix(BOM_UTF8), type=_Row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} line {number}: {error}") from error
    if row.contents is not None:
        title, _, text = row.contents.partition("\n")
        title = title.strip().strip('"')
    elif row.title is not None and row.text is not None:
        title, text = row.title, row.text
    else:
        raise InputError(f"{path} line {number}: needs `title` and `text`, or `contents`")
    return Passage(id=str(row.id), title=title, text=text, url=row.url)
