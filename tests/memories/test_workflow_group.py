"""Writers share transactions: each job is kept whole or not at all, whatever the others do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tests.memories.making import a_query, a_workflow, credit, ids, keep

from mia.errors import StoreError
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store

Job = Callable[[Rows], object]


class Gathering:
    """Holds a first job in its transaction until all the others wait, in order, and so share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(32)

    def together(self, *jobs: Job) -> list[Future[object]]:
        """What becomes of jobs that share one transaction."""
        entered, go = threading.Event(), threading.Event()

        def hold(_: Rows) -> None:
            entered.set()
            assert go.wait(20)

        first = self._pool.submit(self._store.write, hold)
        assert entered.wait(20)
        waiting: list[Future[object]] = []
        group = self._store._group  # pyright: ignore[reportPrivateUsage]
        for job in jobs:
            waiting.append(self._pool.submit(self._store.write, job))
            while len(group._waiting) < len(waiting):  # pyright: ignore[reportPrivateUsage]
                threading.Event().wait(0.001)
        go.set()
        for future in (first, *waiting):
            future.exception(20)
        self._pool.shutdown()
        return waiting


def puts(id: str) -> Job:
    return lambda rows: rows.put(a_workflow(id))


def raises(rows: Rows) -> None:
    rows.put(a_workflow("half"))
    raise ZeroDivisionError


def test_jobs_share_a_transaction_and_each_has_its_result(store: Store) -> None:
    seen = [lambda rows: rows.count() for _ in range(8)]
    done = Gathering(store).together(puts("w1"), *seen, puts("w2"))
    counts = [future.result() for future in done[1:-1]]
    assert counts == [1] * 8  # what comes before in the transaction is seen
    assert store.check() == 2


def test_a_job_that_raises_takes_nobody_with_it(store: Store) -> None:
    before, bad, after = Gathering(store).together(puts("w1"), raises, puts("w2"))
    assert isinstance(bad.exception(), ZeroDivisionError)
    assert before.exception() is None and after.exception() is None
    assert {workflow.id for workflow in store.all()} == {"w1", "w2"}
    assert store.check() == 2


def test_a_statement_that_fails_takes_nobody_with_it(store: Store) -> None:
    def wrong(rows: Rows) -> None:
        rows.put(a_workflow("half"))
        rows.session.change("INSERT INTO nowhere VALUES (1)")

    before, bad, after = Gathering(store).together(puts("w1"), wrong, puts("w2"))
    assert isinstance(bad.exception(), StoreError)
    assert "nowhere" in str(bad.exception())
    assert before.exception() is None and after.exception() is None
    assert store.check() == 2


def test_a_commit_that_fails_keeps_nothing_and_fails_everybody(file_store: SqliteStore) -> None:
    def orphan(rows: Rows) -> None:
        rows.session.change("PRAGMA defer_foreign_keys = ON")
        rows.session.change("INSERT INTO unembedded VALUES (999, 'default')")

    first, bad, last = Gathering(file_store).together(puts("w1"), orphan, puts("w2"))
    for future in (first, bad, last):
        assert isinstance(future.exception(), StoreError)
    assert file_store.count() == 0
    file_store.add([a_workflow("w3")])
    assert file_store.check() == 1


def test_a_job_cannot_begin_a_transaction_of_its_own(store: Store) -> None:
    with pytest.raises(StoreError, match="cannot wait for another"):
        store.write(lambda _: store.add([a_workflow()]))
    assert store.add([a_workflow()]) == 1


def test_a_job_may_read_what_was_committed_before(store: Store) -> None:
    def job(rows: Rows) -> tuple[int, int]:
        rows.put(a_workflow())
        return rows.count(), store.count()

    assert store.write(job) == (1, 0)


def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    keep(store, a_workflow("w1"))
    entered, go = threading.Event(), threading.Event()

    def hold(rows: Rows) -> None:
        rows.credit("w1", won=True, at="2026")
        rows.put(a_workflow("w2"))
        entered.set()
        assert go.wait(20)

    writer = threading.Thread(target=store.write, args=(hold,))
    writer.start()
    assert entered.wait(20)
    assert ids(store, a_query(1)) == ["w1"]
    assert store.best(a_query(1))[0].frequency == 1.0
    assert store.count() == 1
    go.set()
    writer.join()
    assert store.count() == 2


def test_an_interrupted_leader_leaves_nothing_half_done(store: Store) -> None:
    def interrupted(rows: Rows) -> None:
        rows.put(a_workflow("half"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write(interrupted)
    assert store.count() == 0
    assert store.add([a_workflow()]) == 1


def test_threads_lose_no_update(store: Store) -> None:
    keep(store, a_workflow("shared"))

    def add(start: int) -> None:
        for number in range(start, start + 15):
            store.add([a_workflow(f"w{number}")])
            credit(store, "shared")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(0, 800, 100)))
    shared = store.get("shared")
    assert shared is not None
    assert (store.check(), shared.uses, shared.wins) == (121, 120, 120)


def test_a_store_that_is_closed_says_so_to_writers_and_readers(file_store: SqliteStore) -> None:
    file_store.close()
    for attempt in (file_store.count, file_store.check, lambda: file_store.best(a_query(1))):
        with pytest.raises(StoreError, match=r"memory\.sqlite.*closed"):
            attempt()
    with pytest.raises(StoreError, match=r"memory\.sqlite.*closed"):
        file_store.add([a_workflow()])
