"""A drill, all drills, and how a block of one is run."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory_drills.at_once import backup, concurrent
from benchmarks.memory_drills.damage import flips, flips_wal
from benchmarks.memory_drills.disk import diskfull
from benchmarks.memory_drills.kills import kills
from benchmarks.memory_drills.machine import machine
from benchmarks.memory_drills.maintenance import (
    kills_backup,
    kills_compaction,
    kills_migration,
    kills_reembed,
    kills_restore,
    kills_snapshot,
)
from benchmarks.memory_drills.tally import Result, Skipped, Tally

SEED = 20261122


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill, and how much of it there is."""

    name: str
    run: Callable[[Path, random.Random, int, Tally], None]
    rounds: int
    block: int
    """Rounds that share a folder and a seed."""

    @property
    def names(self) -> frozenset[str]:
        """What it is asked for by: its own name, or that of all its kind."""
        return frozenset((self.name, self.name.partition(":")[0]))

    def blocks(self, seed: int) -> Iterator[tuple[int, int]]:
        """Seeds, with the rounds of each."""
        for start in range(0, self.rounds, self.block):
            yield seed + start // self.block, min(self.block, self.rounds - start)


def drills(kill: int, flip: int, backups: int, examples: int) -> tuple[Drill, ...]:
    """All drills, with so many rounds of each."""
    few = -(-kill // 25)
    return (
        Drill("kills", kills, kill, 20),
        Drill("kills: migration", kills_migration, few, 20),
        Drill("kills: compaction", kills_compaction, few, 20),
        Drill("kills: reembed", kills_reembed, few, 20),
        Drill("kills: snapshot", kills_snapshot, few, 20),
        Drill("kills: backup", kills_backup, few, 20),
        Drill("kills: restore", kills_restore, few, 20),
        Drill("diskfull", diskfull, 3, 1),
        Drill("flips", flips, flip, 100),
        Drill("flips: wal", flips_wal, -(-flip // 5), 100),
        Drill("machine", machine, examples, 100),
        Drill("concurrent", concurrent, 2 * kill, 2 * kill),
        Drill("backup", backup, backups, 10),
    )


def run_block(drill: Drill, seed: int, rounds: int, parent: Path | None = None) -> Result:
    """Runs one block. Its files are kept when a promise was broken."""
    folder = Path(tempfile.mkdtemp(prefix=f"drill-{drill.run.__name__}-{seed}-", dir=parent))
    tally, skipped, began = Tally(), "", time.perf_counter()
    try:
        with tally.intact():
            drill.run(folder, random.Random(seed), rounds, tally)
    except Skipped as why:
        skipped = str(why)
    if not tally.broken:
        shutil.rmtree(folder)
    return Result(
        drill=drill.name, seed=seed, rounds=rounds, counts=dict(tally.counts),
        broken=tuple(tally.broken), skipped=skipped,
        kept=str(folder) if tally.broken else "", seconds=time.perf_counter() - began,
    )  # fmt: skip
