"""The benchmarks beside peers, in small and with MIA's own store only."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.memory_peers.processes import ChildError
from benchmarks.memory_peers.recall import KINDS, RUNS, Size
from benchmarks.memory_peers.store import Kept
from benchmarks.memory_peers.trial import Run, Trial, Way
from benchmarks.memory_peers.world import ASKED

from mia.memories.workflow.classify import category

MIA = KINDS["mia"]


@pytest.mark.parametrize("name", ASKED)
def test_memory_takes_a_question_for_the_category_it_is_asked_in(name: str) -> None:
    assert category(ASKED[name]) == name


def test_memory_recalls_what_numpy_finds(tmp_path: Path) -> None:
    (row,) = Size(500, tmp_path).measure(["mia"], cap=60)
    assert not row.failed
    assert [(run.queries, run.recall) for run in row.runs] == [(100, 1.0)] * RUNS


def test_what_is_acknowledged_is_there_and_counted(tmp_path: Path) -> None:
    run = Trial(MIA, tmp_path).write(Way(full=True, processes=1, threads=2), seconds=0.5)
    assert run == Run(acked_s=run.acked_s, acked=run.acked)
    assert run.acked > 2 and run.acked_s > 0


def test_what_was_never_written_is_not_there(tmp_path: Path) -> None:
    assert Trial(MIA, tmp_path).count([7_000_000]) == Kept(there=0, uses=0)


def test_a_child_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"No module named .*nobody"):
        Trial("nobody:Nobody", tmp_path)
