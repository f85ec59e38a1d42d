"""What every file of memories has in common, whatever its layout: it appears whole or not at all,
its bad entries are all named, and its counts are put right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mia.errors import InputError

MOST_USES = 10**9
"""Larger counts are no counts of ours."""
_NAMED = 20
"""Bad entries that are named; of a wrong file every one is bad."""
_LONGEST = 300
"""Characters of one complaint: it may quote the file."""


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes a file that appears whole or not at all, and lasts through a power cut."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.building")
    try:
        with fresh.open("wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(path.parent)


def refused(path: Path, problems: Sequence[str]) -> InputError:
    """The error for a file with bad entries: names the first 20, and says how many more."""
    named = "; ".join(_short(problem) for problem in problems[:_NAMED])
    more = len(problems) - _NAMED
    rest = f"; and {more} more" if more > 0 else ""
    return InputError(f"nothing was imported from {path}: {named}{rest}")


def counts(uses: int, wins: int) -> tuple[int, int]:
    """Uses and wins that can be: neither negative nor absurd, and no more wins than uses."""
    uses = min(max(uses, 0), MOST_USES)
    return uses, min(max(wins, 0), uses)


def _short(problem: str) -> str:
    return problem if len(problem) <= _LONGEST else f"{problem[:_LONGEST]}..."


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
