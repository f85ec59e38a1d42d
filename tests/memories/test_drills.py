"""The drills of the workflow store, short; and that they tell when a promise is broken."""

from __future__ import annotations

import random
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from benchmarks.memory_drills.__main__ import main
from benchmarks.memory_drills.audit import audit
from benchmarks.memory_drills.crew import Crew
from benchmarks.memory_drills.damage import damaged, examine, exhibit
from benchmarks.memory_drills.drill import SEED, drills, run_block
from benchmarks.memory_drills.made import OPEN, TIGHT
from benchmarks.memory_drills.tally import Ack, Tally
from benchmarks.memory_drills.writers import Writer, write_on
from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.history import snapshot
from mia.memories.workflow.records import Standing
from mia.memories.workflow.sqlite import SqliteStore

DRILLS = {drill.name: drill for drill in drills(1, 1, 1, 1)}
ROUNDS = {
    "kills": 3,
    "flips": 40,
    "flips: wal": 15,
    "concurrent": 12,
    "backup": 4,
    "machine": 3,
}


@pytest.mark.parametrize("name", DRILLS)
def test_a_short_drill_breaks_no_promise(tmp_path: Path, name: str) -> None:
    result = run_block(DRILLS[name], SEED, ROUNDS.get(name, 1), tmp_path)
    if result.skipped:
        pytest.skip(result.skipped)
    assert result.broken == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_a_long_drill_breaks_no_promise(tmp_path: Path) -> None:
    few = ["--kills", "200", "--flips", "300", "--rounds", "40", "--examples", "200"]
    assert main([*few, "--folder", str(tmp_path)]) == 0


def some_acks(path: Path) -> list[Ack]:
    with SqliteStore(path) as store:
        writers = [Writer(store, name, random.Random(name), name) for name in (OPEN, TIGHT)]
        return [writer.step() for _ in range(15) for writer in writers]


def test_what_was_acknowledged_and_is_there_is_not_lost(tmp_path: Path) -> None:
    path, tally = tmp_path / "memory.db", Tally()
    acks = some_acks(path)
    assert {"stored", "merged", "replaced"} <= {ack.note for ack in acks}
    audit(path, acks, tally)
    assert (tally.counts["lost"], tally.counts["corrupt"], tally.broken) == (0, 0, [])


@pytest.mark.parametrize(
    "forged",
    [{"seq": 10_000}, {"hash": "0" * 64}, {"digest": "0" * 64}, {"standing": Standing(uses=77)}],
    ids=["no such entry", "another history", "another text", "other counters"],
)
def test_what_was_acknowledged_and_is_not_there_is_lost(
    tmp_path: Path, forged: dict[str, Any]
) -> None:
    path, tally = tmp_path / "memory.db", Tally()
    acks = some_acks(path)
    acks.append(replace(next(ack for ack in acks if ack.standing is not None), **forged))
    audit(path, acks, tally)
    assert tally.counts["lost"] == len(tally.broken) == 1


def test_a_damaged_file_is_corrupt(tmp_path: Path) -> None:
    path, tally = tmp_path / "memory.db", Tally()
    acks = some_acks(path)
    path.write_bytes(path.read_bytes()[:20_000])
    audit(path, acks, tally)
    assert tally.counts["corrupt"] == len(tally.broken) == 1


def test_nobody_goes_on_writing_when_a_drill_breaks_off(tmp_path: Path) -> None:
    writers = [partial(write_on, tmp_path / "memory.db", name, 1, 2) for name in ("a", "b")]
    with pytest.raises(StoreError, match="broken off"), Crew(*writers) as crew:
        crew.await_lines(3)
        assert len(active_children()) == 2
        raise StoreError("broken off")
    assert active_children() == []


def test_a_whole_file_is_harmless_and_another_state_is_not_taken_for_it(tmp_path: Path) -> None:
    tally = Tally()
    before = exhibit(tmp_path, random.Random(1), closed=True)
    copy = tmp_path / "copy.db"
    copy.write_bytes(before.file)
    assert (examine(copy, before, tally), tally.broken) == ("harmless", [])
    with SqliteStore(copy) as store:
        snapshot(store, "another")
    assert examine(copy, before, tally) == "silent"
    assert tally.broken == ["silent: the verified store holds something else"]
    with SqliteStore(copy) as store:
        store.write(lambda rows: rows.credit(before.ids[0], True, "2026"))
    assert examine(copy, before, tally) == "silent"
    assert tally.broken[1:] == [f"silent: workflow {before.ids[0]} was read as something else"]


def test_damage_changes_something(tmp_path: Path) -> None:
    luck, whole = random.Random(3), random.Random(4).randbytes(20_000)
    assert all(damaged(luck, whole) != whole for _ in range(100))


def test_a_part_that_there_is_not_is_refused_beside_one_that_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["flips", "flipz"])
    assert "no such part: flipz" in capsys.readouterr().err


def test_blocks_that_are_done_are_not_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.jsonl"
    asked = ["flips: wal", "--flips", "10", "--state", str(state), "--folder", str(tmp_path)]
    assert main(asked) == 0
    table, progress = capsys.readouterr()
    assert "| flips: wal | 2 |" in table and progress
    assert main(asked) == 0
    again, progress = capsys.readouterr()
    assert (again, progress) == (table, "")
