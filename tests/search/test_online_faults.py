"""The fault drill, short; and that it tells when a promise is broken."""

from __future__ import annotations

from pathlib import Path

from benchmarks.search_faults import (
    EMPTY,
    FAULTS,
    GOOD,
    Drill,
    Episode,
    drawn,
    run,
    table,
)

from mia.testing import ProviderStandIns
from mia.testing.providers_modes import MODES


def test_there_are_thirty_faults_and_each_is_one_of_the_stand_ins() -> None:
    assert len(set(FAULTS)) == 30
    assert {*FAULTS, *GOOD, *EMPTY} <= set(MODES)
    assert drawn("slow", 7) == drawn("slow", 7)
    assert len({drawn("slow", seed).query for seed in range(50)}) == 50


def test_every_fault_ends_in_one_typed_outcome() -> None:
    result = run([0], seconds=0.3)
    assert result.broken == []
    assert len(result.outcomes) == 30
    assert "30 of 30 episodes with one typed outcome; 0 with a broken promise" in table(result)


async def test_the_drill_tells_what_is_wrong(tmp_path: Path) -> None:
    names = ("serper", "brave", "exa")
    with ProviderStandIns() as web:
        hasty = Drill(web, tmp_path, later=5.0)
        failed = await hasty.run(Episode("down", 1, dict.fromkeys(names, "down"), None))
        assert (failed.kind, failed.broken) == ("failed", ["stale"]), "told again for 30 s"
        drill = Drill(web, tmp_path)
        failed = await drill.run(Episode("down", 2, dict.fromkeys(names, "down"), None))
        assert (failed.kind, failed.broken) == ("failed", [])
        # a mode of which the drill does not know that it is answered well
        fine = await drill.run(Episode("x", 3, dict.fromkeys(names, "odd_encoding"), None))
        assert (fine.kind, fine.broken) == ("answered", ["wrong"])
        left = await drill.run(Episode("slow", 4, dict.fromkeys(names, "slow"), 0.01))
        assert (left.kind, left.broken) == ("left", [])
