"""Money for searches is put by before it is spent, and no process spends another one's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import StoreError
from mia.search.spending import OverBudget, Reserved, Spending

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC
DAY = 86_400.0


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_day_has_so_much_and_the_next_one_as_much_again(tmp_path: Path, clock: Clock) -> None:
    spending = Spending(tmp_path / "spending.db", clock=clock)
    for _ in range(3):
        spending.reserve("serper", 0.001, 0.003)
    with pytest.raises(OverBudget, match=r"its \$0.003 for 2026-01-01 \(UTC\) are spent"):
        spending.reserve("serper", 0.001, 0.003)
    spending.reserve("brave", 0.001, 0.003)
    clock.now += DAY
    spending.reserve("serper", 0.001, 0.003)
    assert spending.spent("serper").requests == 1
    assert spending.spent("serper", "2026-01-01").dollars == 0.003
    spending.close()


def test_what_was_not_charged_can_be_spent_again(clock: Clock) -> None:
    spending = Spending(clock=clock)
    first = spending.reserve("serper", 0.002, 0.002)
    spending.settle(first, 0.0)
    second = spending.reserve("serper", 0.002, 0.002)
    spending.settle(second, 0.005)
    assert spending.spent("serper").dollars == 0.005
    with pytest.raises(OverBudget):
        spending.reserve("serper", 0.002, 0.006)
    spending.close()


def test_a_request_is_settled_on_the_day_it_was_made(clock: Clock) -> None:
    spending = Spending(clock=clock)
    reserved = spending.reserve("serper", 0.002, None)
    clock.now += DAY
    spending.settle(reserved, 0.001)
    assert spending.spent("serper").dollars == 0
    assert spending.spent("serper", "2026-01-01").dollars == 0.001
    spending.close()


def test_a_run_has_its_own_money_over_all_providers(clock: Clock) -> None:
    spending = Spending(dollars_a_run=0.003, clock=clock)
    spending.reserve("serper", 0.001, None)
    spending.settle(spending.reserve("brave", 0.001, None), 0.002)
    with pytest.raises(OverBudget, match=r"the run's \$0.003 for searching are spent"):
        spending.reserve("exa", 0.001, None)
    assert spending.spent("exa").requests == 0
    spending.close()


def test_threads_and_objects_share_one_day(tmp_path: Path, clock: Clock) -> None:
    path, granted = tmp_path / "spending.db", list[Reserved]()
    counters = [Spending(path, clock=clock) for _ in range(3)]

    def spend(counter: Spending) -> None:
        for _ in range(20):
            try:
                granted.append(counter.reserve("serper", 0.001, 0.025))
            except OverBudget:
                return

    threads = [threading.Thread(target=spend, args=(counter,)) for counter in counters * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 25
    assert counters[0].spent("serper") == counters[2].spent("serper")
    for counter in counters:
        counter.close()


def test_money_of_a_killed_process_stays_spent(tmp_path: Path) -> None:
    path = tmp_path / "spending.db"
    program = (
        "import os, sys; from pathlib import Path; from mia.search.spending import Spending\n"
        "Spending(Path(sys.argv[1])).reserve('serper', 0.5, None); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == 9
    spending = Spending(path)
    assert spending.spent("serper").dollars == 0.5
    spending.close()


@given(st.lists(st.floats(0, 2), min_size=1, max_size=20))
def test_sums_are_exact_and_a_budget_of_their_sum_suffices(prices: list[float]) -> None:
    rounded = [round(price, 4) for price in prices]
    spending = Spending()
    for price in rounded:
        spending.reserve("x", price, round(sum(rounded), 4))
    assert spending.spent("x").dollars == round(sum(rounded), 4)
    assert spending.spent("x").requests == len(prices)
    spending.close()


def test_a_float_costs_no_millionth_more_than_it_says() -> None:
    spending = Spending()
    for _ in range(3):
        spending.reserve("x", 0.0079, 0.0237)
    assert spending.spent("x").dollars == 0.0237
    with pytest.raises(OverBudget):
        spending.reserve("x", 0.0000001, 0.0237)
    spending.close()


def test_a_counter_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spending.db"
    path.write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(StoreError, match=str(path)):
        Spending(path)
    good = Spending(tmp_path / "good.db")
    with sqlite3.connect(tmp_path / "good.db") as db:
        db.execute("DROP TABLE spent")
    db.close()
    with pytest.raises(StoreError, match=r"good\.db"):
        good.reserve("x", 1, None)
    good.close()


def test_a_counter_of_before_there_were_versions_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "spending.db"
    spending = Spending(path)
    spending.reserve("serper", 0.5, None)
    spending.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=0")
    db.close()
    spending = Spending(path)
    assert spending.spent("serper").dollars == 0.5
    spending.close()
