"""A disk that is full."""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.audit import audit, missing
from benchmarks.memory_drills.crew import together
from benchmarks.memory_drills.made import OPEN, vectors_of
from benchmarks.memory_drills.tally import Ack, Skipped, Tally
from benchmarks.memory_drills.writers import Writer, recalled

from mia.errors import StoreError
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store

DISK_MIB = 4


class SmallDisk:
    """A file system of its own, of a few MiB. Raises Skipped where one cannot be made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        if os.geteuid() != 0:
            raise Skipped("only root can make a small file system")
        if error := self._mount(f"size={DISK_MIB}m"):
            raise Skipped(f"there is no small file system to be had: {error}")

    def grow(self) -> None:
        """Makes room."""
        if error := self._mount(f"remount,size={4 * DISK_MIB}m"):
            raise Skipped(f"the small file system cannot grow: {error}")

    def close(self) -> None:
        """Gives it back."""
        subprocess.run(["umount", str(self.folder)], check=True)

    def _mount(self, options: str) -> str:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stderr.strip() if done.returncode else ""


class Filler:
    """A thread that writes until the disk is full."""

    def __init__(self, store: Store, name: str, luck: random.Random) -> None:
        self._writer = Writer(store, name, luck, OPEN)
        self.acks: list[Ack] = []
        self.error = ""

    def fill(self, most: int = 100_000) -> None:
        """Writes until it is told that it cannot."""
        try:
            for _ in range(most):
                self.acks.append(self._writer.step())
        except StoreError as error:
            self.error = str(error)


def diskfull(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """A file system is filled: what was acknowledged stays, the rest is refused in one line, what
    is there can be read, and writing goes on once there is room."""
    tally.counts.update(acknowledged=0, refused=0, lost=0, corrupt=0)
    for round in range(rounds):
        with closing(SmallDisk(folder / f"disk{round}")) as disk:
            _fill(disk, luck, tally)


def _fill(disk: SmallDisk, luck: random.Random, tally: Tally) -> None:
    path = disk.folder / "memory.db"
    with SqliteStore(path) as store:
        fillers = [Filler(store, f"t{n}", random.Random(luck.getrandbits(32))) for n in range(4)]
        together(filler.fill for filler in fillers)
        acks = [ack for filler in fillers for ack in filler.acks]
        tally.expect(len(acks) > 20, f"only {len(acks)} writes went in before the disk was full")
        for filler in fillers:
            plain = "\n" not in filler.error and str(path) in filler.error
            tally.expect(plain, f"a full disk is told of as {filler.error!r}")
        tally.counts["refused"] += len(fillers)
        lost = store.read(partial(missing, acks=acks))
        tally.expect(not lost, "with the disk full, what was acknowledged cannot all be read")
        best = recalled(store, OPEN, vectors_of("t0", 0)).successes
        tally.expect(bool(best), "with the disk full, nothing is recalled")
        with suppress(StoreError):
            SqliteStore(path).close()
            tally.counts["opened_while_full"] += 1
        disk.grow()
        before = len(acks)
        for filler in fillers:
            filler.error = ""
            filler.fill(10)
            tally.expect(not filler.error, f"there is room again, and still: {filler.error}")
        acks = [ack for filler in fillers for ack in filler.acks]
        tally.counts["after_that"] += len(acks) - before
    tally.counts["acknowledged"] += len(acks)
    audit(path, acks, tally)
