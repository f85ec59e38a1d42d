"""Folders of labelled pictures, as they lie on a disk: a JSONL file of labels in the folder or
beside it, or else the files' own names."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mia.errors import InputError
from mia.types import Noun

_KINDS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_LABELS = "index.jsonl"


class Labelled(Noun, frozen=True):
    """A picture's file, and what it shows."""

    file: str
    """Relative to the root."""
    title: str
    url: str | None = None


class Folder(Noun, frozen=True):
    """What a folder holds."""

    root: Path
    """What the files are relative to."""
    pictures: tuple[Labelled, ...]


class _Line(msgspec.Struct, frozen=True):
    """A line of labels, in the names that are in use for these things."""

    file: str | None = None
    image: str | None = None
    path: str | None = None
    title: str | None = None
    label: str | None = None
    name: str | None = None
    url: str | None = None


def labelled(folder: Path) -> Folder:
    """The pictures of a folder. Raises InputError that names the file and the line."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of pictures")
    beside = (folder.with_name(f"{folder.name}.jsonl"), folder.with_name(_LABELS))
    for labels in (folder / _LABELS, *beside):
        if labels.is_file():
            pictures = tuple(_lines(labels, folder))
            if pictures:
                return Folder(root=labels.parent, pictures=pictures)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _KINDS and p.is_file())
    if not files:
        raise InputError(f"{folder} has no pictures ({', '.join(_KINDS)})")
    return Folder(
        root=folder,
        pictures=tuple(
            Labelled(file=path.relative_to(folder).as_posix(), title=_title(path)) for path in files
        ),
    )


def _lines(labels: Path, folder: Path) -> Iterator[Labelled]:
    """The lines that speak of pictures in the folder."""
    root, seen = labels.parent.resolve(), set[str]()
    with labels.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            where = f"{labels} line {number}"
            line = _line(raw, where)
            name = line.file or line.image or line.path
            if not name:
                raise InputError(f"{where}: needs a `file`, and a `title` to show")
            path = _inside(root, name, where)
            if not path.is_relative_to(folder):
                continue
            inside = path.relative_to(root).as_posix()
            if inside in seen:
                raise InputError(f"{where}: {name!r} stands there twice")
            seen.add(inside)
            title = (line.title or line.label or line.name or "").strip()
            url = line.url if (line.url or "").startswith(("http://", "https://")) else None
            yield Labelled(file=inside, title=title or _title(path), url=url)


def _inside(root: Path, name: str, where: str) -> Path:
    try:
        path = (root / name).resolve()
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: {name[:80]!r} is no name of a file: {error}") from error
    if not path.is_relative_to(root):
        raise InputError(f"{where}: {name[:80]!r} lies outside {root}")
    return path


def _line(raw: bytes, where: str) -> _Line:
    try:
        return msgspec.json.decode(raw.removeprefix(BOM_UTF8), type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{where}: {error}") from error


def _title(path: Path) -> str:
    """What a file's name says."""
    return path.stem.replace("_", " ").replace("-", " ").strip() or path.name
