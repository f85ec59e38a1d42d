"""What may happen to a server and to its clients: nothing acknowledged is lost, nothing is tried
again in silence, and what comes back works again."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.memories.making import a_query, a_workflow, ids, keep
from tests.memories.postgres_server import Server, sql

from mia.errors import StoreError
from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.rows import Rows

_REMEMBERS = Path(__file__).with_name("remember_forever.py")
_KILLS = 3
_MINE = "pid <> pg_backend_pid() AND datname = current_database()"


def writes(store: PostgresStore, acked: list[str], name: str) -> None:
    """Writes until the server is gone."""
    for number in range(100_000):
        try:
            keep(store, a_workflow(f"{name}-{number}"))
        except StoreError as error:
            assert "\n" not in str(error)
            return
        acked.append(f"{name}-{number}")


@pytest.mark.parametrize(
    "kills",
    [_KILLS, pytest.param(60, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])],
)
def test_a_killed_server_loses_nothing_that_was_acknowledged(
    private_server: Server, killable: str, kills: int
) -> None:
    acked: list[str] = []
    with (
        PostgresStore(killable) as store,
        PostgresStore(killable) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        for round in range(kills):
            before = len(acked)
            writing = [
                pool.submit(writes, (store, other)[thread % 2], acked, f"{round}-{thread}")
                for thread in range(4)
            ]
            while len(acked) < before + 20:
                time.sleep(0.005)
            private_server.kill()
            for done in writing:
                done.result(60)
            with pytest.raises(StoreError):
                store.count()
            private_server.start()
            kept = {workflow.id for workflow in store.all()}
            assert kept >= set(acked)
            # what was under way may have come through unheard, and nothing else
            assert len(kept - set(acked)) <= 4 * (round + 1)
            assert store.check() == len(kept)
        assert set(ids(other, a_query(1, limit=100_000))) == kept


def test_a_server_that_was_restarted_meanwhile_is_not_noticed(
    private_server: Server, killable: str
) -> None:
    with PostgresStore(killable) as store:
        keep(store, a_workflow("w1"))
        assert store.count() == 1
        private_server.stop()
        private_server.start()
        assert store.count() == 1
        private_server.stop()
        private_server.start()
        keep(store, a_workflow("w2"))
        assert store.check() == 2


def test_a_transaction_whose_connection_is_cut_keeps_nothing(killable: str) -> None:
    def job(rows: Rows) -> None:
        rows.put(a_workflow("half"))
        sql(killable, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_MINE}")
        rows.put(a_workflow("other half"))

    with PostgresStore(killable) as store:
        with pytest.raises(StoreError, match=r"terminat|closed|lost"):
            store.write(job)
        assert store.count() == 0
        keep(store, a_workflow("whole"))
        assert store.check() == 1


def test_a_reader_whose_connection_is_cut_is_told_and_the_next_one_works(killable: str) -> None:
    def job(rows: Rows) -> int:
        sql(killable, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_MINE}")
        return rows.count()

    with PostgresStore(killable) as store:
        with pytest.raises(StoreError):
            store.read(job)
        assert store.count() == 0


def start(address: str, name: str, count: int = 0, threads: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, str(_REMEMBERS), address, name, str(count), str(threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def assert_all_there(address: str, said: str) -> int:
    """Whatever was said to be remembered is there; how much that was."""
    lines = [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]
    with PostgresStore(address) as store:
        store.check()
        for episode, decision, workflow in lines:
            known = store.read(lambda rows, episode=episode: rows.absorbed("default", episode))
            assert known is not None, f"{episode} was acknowledged and is lost"
            assert (known.decision, known.workflow_id) == (decision, workflow)
            assert store.get(workflow) is not None
        assert store.read(lambda rows: rows.vectors.missing("default", "toy-64")) == ()
    return len(lines)


def test_a_killed_client_loses_nothing_and_keeps_nobody_waiting(postgres: str) -> None:
    said = ""
    for round in range(_KILLS):
        children = [start(postgres, f"x{'abc'[round]}{side}") for side in "lr"]
        for child in children:
            assert child.stdout is not None
            said += child.stdout.readline()
        time.sleep(0.1 * round)
        for child in children:
            child.send_signal(signal.SIGKILL)
        for child in children:
            assert child.stdout is not None
            said += child.stdout.read()
            child.stdout.close()
            assert child.wait() == -signal.SIGKILL
    assert assert_all_there(postgres, said) >= 2 * _KILLS


def test_processes_with_threads_write_at_once_and_lose_nothing(postgres: str) -> None:
    children = [start(postgres, name, count=8, threads=2) for name in ("left", "right", "more")]
    said = ""
    for child in children:
        with child:
            said += child.communicate(timeout=100)[0]
        assert child.returncode == 0
    assert assert_all_there(postgres, said) == 3 * 8 * 2


def test_writers_take_turns_across_connections(postgres: str) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def job(rows: Rows) -> None:
        nonlocal inside, most
        with guard:
            inside += 1
            most = max(most, inside)
        rows.put(a_workflow(f"w{threading.get_ident()}-{rows.count()}"))
        time.sleep(0.01)
        with guard:
            inside -= 1

    stores = [PostgresStore(postgres) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(stores[n % 3].write, job) for n in range(12)]:
            done.result(60)
    assert most == 1
    assert stores[0].check() == 12
    for store in stores:
        store.close()
