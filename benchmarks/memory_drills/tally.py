"""What a drill counts, sees broken and says in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mia.errors import StoreError
from mia.memories.workflow.records import Standing
from mia.types import Noun


class Skipped(Exception):
    """A drill that cannot be done on this machine, and why."""


@dataclass(slots=True)
class Tally:
    """What a block counted, and which promises it saw broken."""

    counts: Counter[str] = field(default_factory=Counter[str])
    broken: list[str] = field(default_factory=list[str])

    def expect(self, kept: bool, promise: str) -> None:
        """Notes a broken promise."""
        if not kept:
            self.broken.append(promise)

    @contextmanager
    def intact(self) -> Generator[None]:
        """Notes that a store is corrupt when it says so in the block."""
        try:
            yield
        except StoreError as error:
            self.counts["corrupt"] += 1
            self.broken.append(f"corrupt: {error}")


class Result(Noun, frozen=True):
    """One block of a drill."""

    drill: str
    seed: int
    rounds: int
    counts: dict[str, int]
    broken: tuple[str, ...] = ()
    skipped: str = ""
    kept: str = ""
    """Where the files of a block are that broke a promise."""
    seconds: float = 0.0


class Ack(Noun, frozen=True):
    """A write that a process was told is durable: where the log ended after it, and how the
    workflow stood that it was about."""

    seq: int = 0
    hash: str = ""
    workflow: str | None = None
    digest: str | None = None
    """Of the workflow's text; None when the write left no such workflow."""
    standing: Standing | None = None
    note: str = ""
    file: str = ""
    """The backup that was made or restored."""
    waited: float = 0.0
    """Seconds."""
    error: str = ""
    """What went wrong instead."""
