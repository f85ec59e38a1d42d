"""A process for the kill tests: a short stage of training on the tiny world, which says each step
when it is written. Arguments: the base's folder, the adapter's to begin with, and the run's."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.training.tiny_world import EXERCISES, stage_of

from mia.models.torch_local import libraries
from mia.training.stages import Stage, Step, train
from mia.types import Noun

STEPS = 8
SHORT: dict[str, Any] = {
    "questions": 3, "attempts": 4, "steps": STEPS, "save_every": 3, "check_every": 2,
    "warm_steps": 6,
}  # fmt: skip


def short(base: Path, begins: Path, folder: Path) -> Stage:
    """The same stage wherever it runs."""
    return stage_of(base, folder, begins=begins, held_out=EXERCISES[:4], **SHORT)


def say(noun: Noun) -> None:
    if isinstance(noun, Step):
        print(noun.step, flush=True)


def main() -> None:
    torch, _ = libraries()
    torch.set_num_threads(1)
    base, begins, folder = map(Path, sys.argv[1:])
    asyncio.run(train(short(base, begins, folder), say))


if __name__ == "__main__":
    main()
