"""Writers are killed."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

from benchmarks.memory_drills.audit import audit
from benchmarks.memory_drills.crew import killed
from benchmarks.memory_drills.tally import Ack, Tally
from benchmarks.memory_drills.writers import write_on


def kills(folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """Writers are killed, again and again on one file."""
    path, acks = folder / "memory.db", list[Ack]()
    tally.counts.update(acknowledged=0, lost=0, corrupt=0)
    for round in range(rounds):
        jobs = [
            partial(write_on, path, f"r{round}p{number}", luck.getrandbits(32), luck.randint(2, 4))
            for number in range(luck.randint(1, 4))
        ]
        acks += killed(jobs, luck, tally)
        audit(path, acks, tally)
