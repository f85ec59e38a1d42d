"""Several processes on one file, and processes that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from mia.memories.workflow.sqlite import SqliteStore

_CHILD = Path(__file__).with_name("remember_forever.py")
_KILLS = 5


def start(path: Path, name: str, count: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, str(_CHILD), str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def acknowledged(lines: str) -> list[list[str]]:
    """Episode, decision and workflow of every line that came through whole."""
    return [line.split() for line in lines.splitlines(keepends=True) if line.endswith("\n")]


def assert_all_there(path: Path, acked: list[list[str]]) -> None:
    with SqliteStore(path) as store:
        store.check()
        for episode, decision, workflow_id in acked:
            remembered = store.read(lambda rows, episode=episode: rows.absorbed("default", episode))
            assert remembered is not None, f"{episode} was acknowledged and is lost"
            assert (remembered.decision, remembered.workflow_id) == (decision, workflow_id)
            assert store.get(workflow_id) is not None
        assert store.read(lambda rows: rows.vectors.missing("default", "toy-64")) == ()


def test_no_acknowledged_episode_is_lost_to_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    luck = random.Random(11)
    acked: list[list[str]] = []
    for round in range(_KILLS):
        with start(path, f"round{'abcdefgh'[round]}") as child:
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(luck.uniform(0.0, 0.3))
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read()
        assert child.returncode == -signal.SIGKILL
        acked += acknowledged(first + rest)
    assert len(acked) >= _KILLS
    assert {"stored", "merged"} <= {decision for _, decision, _ in acked}
    assert_all_there(path, acked)


def test_two_processes_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    children = [start(path, name, count=40) for name in ("left", "right")]
    acked: list[list[str]] = []
    for child in children:
        with child:
            lines, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        acked += acknowledged(lines)
    assert len(acked) == 80
    assert_all_there(path, acked)
