"""A store beside its model."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.memory_drills.tally import Tally


def machine(_folder: Path, luck: random.Random, rounds: int, tally: Tally) -> None:
    """The state machine of the tests: a store beside a dictionary, `rounds` times 50 steps. It
    makes its files itself."""
    from hypothesis import HealthCheck, seed, settings
    from hypothesis.stateful import run_state_machine_as_test
    from tests.memories.test_workflow_machine import Stores

    profile = settings(
        max_examples=rounds, stateful_step_count=50, deadline=None, database=None,
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(luck.getrandbits(32))(Stores), settings=profile)
    except Exception as error:  # noqa: BLE001 - what flies here is what the drill looks for
        notes = " ".join(getattr(error, "__notes__", ()))
        tally.broken.append(f"the store is not what its model is: {error!r} {notes}")
