"""The data sets of a home: `<home>/data/NAME/SPLIT.jsonl`, with `about.json` and the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from mia.errors import StoreError
from mia.types import Noun

_ABOUT = "about.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class Bad(Noun, frozen=True):
    """A row that does not fit."""

    row: int
    """From 1."""
    why: str


class Apart(Noun, frozen=True):
    """Rows that are no questions of the set."""

    why: str
    rows: int


class About(Noun, frozen=True):
    """What is kept of a split, and where it is from."""

    source: str
    licence: str
    rows: int
    """Read; each is a question, or left out, or bad."""
    questions: int
    bytes: int
    sha256: str
    """Of the JSONL."""
    date: str
    """UTC."""
    revision: str | None = None
    """The hub's commit; None for a file."""
    left_out: tuple[Apart, ...] = ()
    bad: tuple[Bad, ...] = ()


class Got(Noun, frozen=True):
    """A split that is here."""

    split: str
    path: Path
    about: About | None = None
    """None where the file is not the one that was got."""


def room(home: Path) -> Path:
    """Where the data sets of a home lie."""
    return home / "data"


def got(home: Path, name: str) -> tuple[Got, ...]:
    """The splits of a set that are here, by name. Raises StoreError for a damaged about.json."""
    if not _NAME.fullmatch(name):
        return ()
    folder = room(home) / name
    told = _abouts(folder)
    return tuple(
        Got(split=path.stem, path=path, about=_fitting(told.get(path.stem), path))
        for path in sorted(folder.glob("*.jsonl"))
        if not path.name.startswith(".")
    )


def names(home: Path) -> list[str]:
    """The sets of which something is here."""
    folders = sorted(room(home).glob("*"))
    return [folder.name for folder in folders if got(home, folder.name)]


def _fitting(about: About | None, path: Path) -> About | None:
    return about if about is not None and about.bytes == path.stat().st_size else None


def _abouts(folder: Path) -> dict[str, About]:
    path = folder / _ABOUT
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, About])
    except FileNotFoundError:
        return {}
    except (msgspec.DecodeError, OSError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}; remove it and get the set again"
        ) from error


def tell(folder: Path, split: str, about: About) -> None:
    """Writes what is kept of a split beside it. Raises StoreError for a damaged about.json."""
    told = {**_abouts(folder), split: about}
    fresh = folder / f".{_ABOUT}.partial"
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    fresh.replace(folder / _ABOUT)
