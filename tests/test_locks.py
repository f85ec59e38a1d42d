"""One at a time, though the file of the lock comes and goes."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mia.errors import StoreError
from mia.locks import alone


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "folder" / ".lock"


class Waiting:
    """Somebody else who wants the lock, and keeps it until told."""

    def __init__(self, lock: Path) -> None:
        self._lock = lock
        self.got, self._let_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        with alone(self._lock):
            self.got.set()
            self._let_go.wait(30)

    def end(self) -> None:
        self._let_go.set()
        self._thread.join(30)


@pytest.fixture
def waiting(lock: Path) -> Iterator[list[Waiting]]:
    others: list[Waiting] = []
    yield others
    for other in others:
        other.end()


def test_who_is_told_that_it_is_busy_does_not_wait(lock: Path) -> None:
    with (
        alone(lock),
        pytest.raises(StoreError, match="somebody is at it"),
        alone(lock, busy="somebody is at it"),
    ):
        raise AssertionError("two hold it")
    with alone(lock, busy="nobody"):
        pass


@pytest.mark.parametrize("whole", [True, False], ids=["with its folder", "alone"])
def test_who_waits_for_a_lock_that_is_removed_takes_the_next_one(
    lock: Path, waiting: list[Waiting], whole: bool
) -> None:
    with alone(lock):
        waiting.append(Waiting(lock))
        assert not waiting[0].got.wait(0.2)
        shutil.rmtree(lock.parent) if whole else lock.unlink()
    assert waiting[0].got.wait(10)
    assert lock.is_file(), "nobody else can take it"
    with pytest.raises(StoreError, match="busy"), alone(lock, busy="busy"):
        raise AssertionError("two hold it")
