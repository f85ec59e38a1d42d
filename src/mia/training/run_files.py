"""The files of a run's folder: `run.json` says what the run is, and of what it does each kind has
its lines, which a kill cuts off or leaves whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mia.errors import ConfigError, StoreError
from mia.types import Noun, decode, encode

N = TypeVar("N", bound=Noun)

HEAD = "run.json"
_SHOWN = 60
"""Characters of a value that a person is shown: fewer than a SHA-256 has, which tells nobody
anything."""
_USUAL = "its default"
"""What is not written of a noun."""


def begin(folder: Path, spec: Noun) -> None:
    """Makes the folder a run's. Raises ConfigError where it is another's, which says in what they
    differ, and OSError."""
    head = folder / HEAD
    folder.mkdir(parents=True, exist_ok=True)
    if head.is_file() and head.read_bytes() != encode(spec):
        raise ConfigError(
            f"{folder.name!r} was begun with {_apart(head, spec)}; go on with that, or take another"
            " --name"
        )
    write_whole(head, encode(spec))


def lines(folder: Path, name: str, kind: type[N]) -> tuple[N, ...]:
    """The lines that were written to their end: whoever wrote the last one may have been killed."""
    path = folder / f"{name}.jsonl"
    if not path.is_file():
        return ()
    raw = path.read_bytes().splitlines(keepends=True)
    return tuple(decode(line, kind) for line in raw if line.endswith(b"\n"))


def add(folder: Path, name: str, nouns: Sequence[Noun]) -> None:
    """Writes a line for each. Raises StoreError."""
    try:
        with (folder / f"{name}.jsonl").open("ab") as file:
            file.write(_raw(nouns))
    except OSError as error:
        raise StoreError(f"{folder}: {error}") from error


def forget(folder: Path, since: int, kinds: Mapping[str, type[Noun]]) -> None:
    """Takes back the lines of later steps: they are done again. Raises OSError."""
    for name, kind in kinds.items():
        every: Any = lines(folder, name, kind)  # each kind has a step
        kept: list[Noun] = [line for line in every if since and line.step <= since]
        write_whole(folder / f"{name}.jsonl", _raw(kept))


def write_whole(path: Path, raw: bytes) -> None:
    """A file that is as it was, or whole. Raises OSError."""
    half = path.with_name(f"{path.name}.half")
    half.write_bytes(raw)
    half.replace(path)


def _raw(nouns: Sequence[Noun]) -> bytes:
    return b"".join(encode(noun) + b"\n" for noun in nouns)


def _apart(head: Path, spec: Noun) -> str:
    before, now = msgspec.json.decode(head.read_bytes()), msgspec.to_builtins(spec)
    names = [name for name in now if before.get(name) != now[name]]
    told = [_told(name, isinstance(getattr(spec, name), Noun), before, now) for name in names]
    return f"another {', '.join(told)}" if told else "an older MIA"


def _told(name: str, noun: bool, before: dict[str, Any], now: dict[str, Any]) -> str:
    """What is another, and what it was where a person can read that."""
    was, wanted = before.get(name), now[name]
    if noun and was is not None:
        apart = [key for key in sorted(was | wanted) if was.get(key) != wanted.get(key)]
        return f"{name} ({', '.join(f'{key}={was.get(key, _USUAL)}' for key in apart)})"
    return f"{name} ({was})" if len(str(was)) <= _SHOWN else name
