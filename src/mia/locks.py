"""One process at a time. The system lets go of a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mia.errors import StoreError


@contextmanager
def alone(lock: Path, busy: str | None = None) -> Generator[None]:
    """Holds the lock in the block. Where another holds it already: waits, or, when `busy` says
    what to tell, raises StoreError with it.

    Who holds it may remove the file, and its folder: who waits takes the next one.
    """
    while True:
        with _opened(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError as error:
                raise StoreError(busy or str(error)) from error
            if _lies(lock, file):
                yield
                return


def _opened(lock: Path) -> BinaryIO:
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            return lock.open("ab")
        except FileNotFoundError:
            if lock.parent.is_dir():
                raise
            # the folder was removed just now


def _lies(lock: Path, file: BinaryIO) -> bool:
    """Whether this is still the file at the place."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), lock.stat())
    except FileNotFoundError:
        return False
