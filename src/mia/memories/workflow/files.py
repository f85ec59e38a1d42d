"""What every file of memories has in common, whatever its layout: it appears whole or not at all,
its bad entries are all named, and its counts are put right.

What is not whole yet lies beside its place under a name of its own. Whoever builds such a file
holds a lock on the folder, together with all others who do. The system lets go of it when the
process ends, however it ends: what lies in a folder that nobody holds was left by the killed, and
can be removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ulid import ULID

from mia.errors import InputError

MOST_USES = 10**9
"""Larger counts are no counts of ours."""
_NAMED = 20
"""Bad entries that are named; of a wrong file every one is bad."""
_LONGEST = 300
"""Characters of one complaint: it may quote the file."""
_UNFINISHED = re.compile(r"\.[0-9A-HJKMNP-TV-Z]{26}\.building")
"""In the name of a file that is not whole yet, and of those that a database makes beside it."""


def write_whole(path: Path, chunks: Iterable[bytes]) -> None:
    """Writes a file that appears whole or not at all, and lasts through a power cut."""
    with whole(path) as fresh, fresh.open("wb") as file:
        file.writelines(chunks)


@contextmanager
def whole(path: Path) -> Generator[Path]:
    """A file to write in the block, which then takes its place: whole or not at all, and it lasts
    through a power cut."""
    with unfinished(path) as fresh:
        yield fresh
        _sync(fresh)
        fresh.replace(path)
        _sync(path.parent)


@contextmanager
def unfinished(path: Path) -> Generator[Path]:
    """A name beside a file for one that is not whole. Nothing of it is left after the block; what a
    killed process leaves is removed by the next `sweep` of the folder, of which this begins with
    one."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    sweep(path.parent)
    with _held(path.parent, fcntl.LOCK_SH):
        fresh = path.with_name(f"{path.name}.{ULID()}.building")
        try:
            yield fresh
        finally:
            for left in _left(path.parent):
                if left.name.startswith(fresh.name):
                    left.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes what killed processes left unfinished in a folder; nothing while anybody builds
    there."""
    left = _left(folder)
    if not left:
        return
    with suppress(BlockingIOError), _held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for file in left:
            with suppress(PermissionError):  # it is somebody else's
                file.unlink(missing_ok=True)


def _left(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if _UNFINISHED.search(file.name)]


@contextmanager
def _held(folder: Path, how: int) -> Generator[None]:
    """Holds a lock on a folder. Whoever holds it alone is about to let go."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


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


def _sync(path: Path) -> None:
    """Makes what was written to a file, or renamed in a folder, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
