"""Several processes on one file, each with several threads, and processes that are killed."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.memories.making import a_workflow

from mia.memories.workflow.sqlite import SqliteStore

_REMEMBERS = Path(__file__).with_name("remember_forever.py")
_MAINTAINS = Path(__file__).with_name("maintain_forever.py")
Child = subprocess.Popen[str]


def start(script: Path, *arguments: object) -> Child:
    command = [sys.executable, str(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(children: list[Child], wait: float) -> list[str]:
    """Kills children some time after all of them did something; all that they said."""
    said: list[str] = []
    for child in children:
        assert child.stdout is not None
        said.append(child.stdout.readline())
    time.sleep(wait)
    for child in children:
        child.send_signal(signal.SIGKILL)
    for child in children:
        assert child.stdout is not None
        said.append(child.stdout.read())
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    return said


def acknowledged(said: list[str]) -> list[list[str]]:
    """Episode, decision and workflow of every line that came through whole."""
    lines = (line for text in said for line in text.splitlines(keepends=True))
    return [line.split() for line in lines if line.endswith("\n")]


def assert_all_there(path: Path, acked: list[list[str]]) -> None:
    with SqliteStore(path) as store:
        store.check()
        for episode, decision, workflow_id in acked:
            remembered = store.read(lambda rows, episode=episode: rows.absorbed("default", episode))
            assert remembered is not None, f"{episode} was acknowledged and is lost"
            assert (remembered.decision, remembered.workflow_id) == (decision, workflow_id)
            assert store.get(workflow_id) is not None
        assert store.read(lambda rows: rows.vectors.missing("default", "toy-64")) == ()


def drill(path: Path, rounds: int, processes: int, threads: int) -> list[list[str]]:
    """Kills processes that remember, round after round; what they acknowledged."""
    luck = random.Random(11)
    acked: list[list[str]] = []
    for round in range(rounds):
        names = ["".join(chr(97 + int(digit)) for digit in f"{round}{n}") for n in range(processes)]
        children = [start(_REMEMBERS, path, f"x{name}x", 0, threads) for name in names]
        acked += acknowledged(kill(children, luck.uniform(0.0, 0.3)))
    return acked


@pytest.mark.parametrize(("rounds", "processes", "threads"), [(3, 1, 1), (2, 1, 4), (2, 2, 3)])
def test_no_acknowledged_episode_is_lost_to_a_kill(
    tmp_path: Path, rounds: int, processes: int, threads: int
) -> None:
    path = tmp_path / "memory.sqlite"
    acked = drill(path, rounds, processes, threads)
    assert len(acked) >= rounds * processes
    assert {"stored"} <= {decision for _, decision, _ in acked}
    assert_all_there(path, acked)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_acknowledged_episode_is_lost_to_many_kills(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    acked = drill(path, rounds=150, processes=2, threads=4)
    assert {"stored", "merged"} <= {decision for _, decision, _ in acked}
    assert_all_there(path, acked)


def test_processes_with_threads_write_at_once_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    children = [start(_REMEMBERS, path, name, 15, 3) for name in ("left", "right")]
    said: list[str] = []
    for child in children:
        with child:
            said.append(child.communicate(timeout=60)[0])
        assert child.returncode == 0
    acked = acknowledged(said)
    assert len(acked) == 90
    assert {"stored", "merged"} <= {decision for _, decision, _ in acked}
    assert_all_there(path, acked)


def test_a_writer_that_never_rests_does_not_keep_another_waiting(tmp_path: Path) -> None:
    path, commits, ended = tmp_path / "memory.sqlite", 0, threading.Event()
    holds = threading.Event()

    def write_on() -> None:
        nonlocal commits
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            while not ended.is_set():
                db.execute("BEGIN IMMEDIATE")
                holds.set()
                time.sleep(0.02)
                holds.clear()
                db.execute("COMMIT")
                commits += 1
                time.sleep(0.0005)

    with SqliteStore(path) as store:
        rival = threading.Thread(target=write_on)
        rival.start()
        passed = 0
        for number in range(12):
            time.sleep(0.05)
            holds.wait()
            before = commits
            store.add([a_workflow(f"w{number}")])
            passed += commits - before
        ended.set()
        rival.join()
    assert passed < 300  # 100 or so; 400 to 1,300 where who waits long asks seldom


def maintenance(path: Path, rounds: int) -> set[str]:
    """Kills a process that snapshots, forgets, backs up and restores; what it got done."""
    luck, said = random.Random(3), list[str]()
    for _ in range(rounds):
        said += kill([start(_MAINTAINS, path)], luck.uniform(0.0, 0.6))
        with SqliteStore(path) as store:
            store.check()
        copy = path.with_name("copy.bak")
        if copy.exists():
            with SqliteStore(copy) as store:
                store.check()
    return {deed.strip() for text in said for deed in text.splitlines()}


def test_a_kill_in_the_middle_of_anything_leaves_a_whole_store(tmp_path: Path) -> None:
    assert "put" in maintenance(tmp_path / "memory.sqlite", rounds=4)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_kills_in_the_middle_of_anything_leave_a_whole_store(tmp_path: Path) -> None:
    deeds = {"put", "backup", "forget", "restore", "restore file"}
    assert maintenance(tmp_path / "memory.sqlite", rounds=200) == deeds
