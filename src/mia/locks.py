"""One process at a time. The system lets go of a lock when its process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from mia.errors import StoreError


@contextmanager
def alone(lock: Path, busy: str | None = None) -> Generator[None]:
    """Holds the lock in the block. Where another holds it already: waits, or, when `busy` says
    what to tell, raises StoreError with it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise StoreError(busy or str(error)) from error
        yield
