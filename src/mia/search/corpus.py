"""Corpora as they lie on a disk: a JSONL file, or a folder of Markdown and text files."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mia.errors import InputError
from mia.types import Passage

_TEXTS = (".md", ".markdown", ".txt")
_CHUNK_WORDS = 180
"""Words of a passage cut from a longer document."""


class _Row(msgspec.Struct, frozen=True):
    """`{id, title, text}`, or `{id, contents}` as Search-R1 has it: a quoted title, a line break,
    the text."""

    id: str | int
    title: str | None = None
    text: str | None = None
    contents: str | None = None
    url: str | None = None


def passages(source: Path) -> Iterator[Passage]:
    """The passages of a corpus. Raises InputError that names the file and the line."""
    if source.is_dir():
        yield from _folder(source)
    elif source.is_file():
        yield from _jsonl(source)
    else:
        raise InputError(f"no corpus at {source}")


def _jsonl(path: Path) -> Iterator[Passage]:
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            passage = _passage(line, path, number)
            if passage.id in seen:
                raise InputError(f"{path} line {number}: the id {passage.id!r} stands there twice")
            seen.add(passage.id)
            yield passage
    if not seen:
        raise InputError(f"{path} has no passages")


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


def _folder(folder: Path) -> Iterator[Passage]:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _TEXTS and p.is_file())
    count = 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not UTF-8 text: {error}") from error
        for passage in _cut(name, path.stem.replace("_", " ").replace("-", " "), text):
            count += 1
            yield passage
    if not count:
        raise InputError(f"{folder} has no text in {', '.join(_TEXTS)} files")


def _cut(name: str, title: str, text: str) -> Iterator[Passage]:
    """A document as passages of whole paragraphs."""
    part: list[str] = []
    number = words = 0
    for paragraph in [*(p.strip() for p in text.split("\n\n")), ""]:
        full = words + len(paragraph.split()) > _CHUNK_WORDS
        if part and (full or not paragraph):
            number += 1
            yield Passage(id=f"{name}#{number}", title=title, text="\n\n".join(part))
            part, words = [], 0
        if paragraph:
            part.append(paragraph)
            words += len(paragraph.split())


def identity(source: Path) -> str:
    """A short name for the state a corpus is in: changes when its files do."""
    digest = hashlib.sha256(str(source.resolve()).encode())
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    for path in files:
        stat = path.stat()
        digest.update(f"{path}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    return f"{source.stem}-{digest.hexdigest()[:12]}"
