"""What weights a file holds, by their SHA-256: an adapter is of use over its own base only."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mia.training.versions import sha256_of
from mia.types import Noun, decode, encode


class _Seen(Noun, frozen=True):
    """A file as it was when it was read through."""

    size: int
    """Bytes."""
    changed: int
    """Nanoseconds since 1970."""
    sha256: str


class _Notes(Noun, frozen=True):
    files: dict[str, _Seen] = msgspec.field(default_factory=dict[str, _Seen])
    """By their path."""


def weights_sha256(file: Path, notes: Path) -> str:
    """SHA-256 of a file of weights. Reading gigabytes takes a while, so the sum is noted in the
    file `notes` and taken from there until the weights' size or time changes. Raises OSError for
    weights that cannot be read."""
    file = file.resolve()
    state, noted = file.stat(), _read(notes)
    seen = noted.files.get(str(file))
    if seen is not None and (seen.size, seen.changed) == (state.st_size, state.st_mtime_ns):
        return seen.sha256
    seen = _Seen(size=state.st_size, changed=state.st_mtime_ns, sha256=sha256_of(file))
    _write(notes, _Notes(files={**noted.files, str(file): seen}))
    return seen.sha256


def _read(notes: Path) -> _Notes:
    try:
        return decode(notes.read_bytes(), _Notes)
    except (OSError, msgspec.DecodeError):  # what is not noted is read through again
        return _Notes()


def _write(notes: Path, noted: _Notes) -> None:
    fresh = notes.with_name(f"{notes.name}.fresh")
    try:
        notes.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(encode(noted))
        fresh.replace(notes)
    except OSError:  # a home that cannot be written to can still be answered from
        return
