"""A process for the kill tests: makes a backup of a store, or puts one in its place, without end.
Arguments: the store's file, the backup's, and `backup` or `restore`."""

from __future__ import annotations

import sys
from pathlib import Path

from mia.memories.workflow.sqlite import SqliteStore


def _main(path: Path, file: Path, deed: str) -> None:
    with SqliteStore(path) as store:
        while True:
            if deed == "backup":
                store.backup(file)
            else:
                store.restore(file).unlink()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
