"""What was answered is answered again, for as long as it should be and no longer."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import SearchError, StoreError
from mia.search.cache import LIVES, LONGEST_FAILURE, Cache, Cached, Kind, NoCache
from mia.types import Noun, Passage

START = 1_767_268_800.0
PASSAGE = Passage(id="https://e.test/", title="T", text="Verona", url="https://e.test/", score=1.5)


class Asked(Noun, frozen=True):
    """A request."""

    query: str
    limit: int = 3


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Web:
    """Makes answers, and counts how often."""

    def __init__(self, pause: float = 0.0) -> None:
        self.asked = 0
        self.pause = pause
        self.fails = ""
        self.cancelled = 0

    async def __call__(self) -> tuple[Passage, ...]:
        self.asked += 1
        try:
            await asyncio.sleep(self.pause)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise SearchError(self.fails)
        return (PASSAGE,)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web" / "cache.db"


@pytest.fixture
def cache(path: Path, clock: Clock) -> Iterator[Cache]:
    cache = Cache(path, clock=clock)
    yield cache
    cache.close()


READ = tuple[Passage, ...]


async def ask(
    cache: Cache, make: Callable[[], Awaitable[tuple[Passage, ...]]], query: str = "q"
) -> Cached[tuple[Passage, ...]]:
    return await cache.through("search", Asked(query=query), make, READ)


async def test_the_second_time_nobody_is_asked(cache: Cache, path: Path, clock: Clock) -> None:
    web = Web()
    assert await ask(cache, web) == Cached((PASSAGE,), "MISS")
    assert await ask(cache, web) == Cached((PASSAGE,), "HIT")
    cache.close()
    again = Cache(path, clock=clock)
    assert await ask(again, web) == Cached((PASSAGE,), "HIT")
    again.close()
    assert web.asked == 1


async def test_other_requests_are_other_answers(cache: Cache) -> None:
    web = Web()
    requests: list[Noun | str] = [Asked(query="a"), Asked(query="a", limit=4), "a", "b", "\ud800"]
    for request in requests:
        for kind in ("search", "page"):
            assert (await cache.through(kind, request, web, READ)).state == "MISS"
    assert web.asked == 2 * len(requests)


@pytest.mark.parametrize("kind", ["search", "images", "page"])
async def test_an_answer_lives_as_long_as_its_kind(cache: Cache, clock: Clock, kind: Kind) -> None:
    web = Web()
    await cache.through(kind, "q", web, READ)
    clock.now = START + LIVES[kind] - 1
    assert (await cache.through(kind, "q", web, READ)).state == "HIT"
    clock.now = START + LIVES[kind]
    assert (await cache.through(kind, "q", web, READ)).state == "MISS"


async def test_an_answer_may_live_for_less(cache: Cache, clock: Clock) -> None:
    web = Web()
    await cache.through("search", "q", web, READ, lambda _: 60.0)
    clock.now += 59
    assert (await cache.through("search", "q", web, READ)).state == "HIT"
    clock.now += 1
    assert (await cache.through("search", "q", web, READ)).state == "MISS"


async def test_a_failure_is_told_again_for_seconds_only(cache: Cache, clock: Clock) -> None:
    web = Web()
    web.fails = "no search provider answered: ŝerper"
    for _ in range(2):
        with pytest.raises(SearchError, match="no search provider answered: ŝerper"):
            await ask(cache, web)
    assert web.asked == 1
    assert await cache.peek("search", Asked(query="q"), READ) is None
    clock.now += 10
    web.fails = ""
    assert (await ask(cache, web)).state == "MISS"


async def test_no_setting_makes_a_failure_last(path: Path, clock: Clock) -> None:
    cache, web = Cache(path, failures=1e9, clock=clock), Web()
    web.fails = "down"
    with pytest.raises(SearchError):
        await ask(cache, web)
    # written by somebody with other bounds
    with sqlite3.connect(path) as db:
        db.execute("UPDATE answer SET life = 1e9")
    db.close()
    clock.now += LONGEST_FAILURE - 0.01
    with pytest.raises(SearchError):
        await ask(cache, web)
    assert web.asked == 1
    clock.now += 0.01
    with pytest.raises(SearchError):
        await ask(cache, web)
    assert web.asked == 2
    cache.close()


async def test_a_failure_is_not_kept_longer_by_being_told_again(cache: Cache, clock: Clock) -> None:
    web = Web()
    web.fails = "down"
    for _ in range(5):
        with pytest.raises(SearchError):
            await ask(cache, web)
        clock.now += 3
    assert web.asked == 2, "at 0 s and at 12 s, since one lasts 10 s"


async def test_what_is_no_search_error_is_not_kept(cache: Cache) -> None:
    async def broken() -> tuple[Passage, ...]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask(cache, broken)
    assert (await ask(cache, Web())).state == "MISS"


async def test_peeking_asks_nobody_and_minds_no_age(cache: Cache, clock: Clock) -> None:
    assert await cache.peek("search", Asked(query="q"), READ) is None
    await ask(cache, Web())
    clock.now += 10 * LIVES["search"]
    assert await cache.peek("search", Asked(query="q"), READ) == Cached((PASSAGE,), "HIT")


async def test_none_is_a_value(cache: Cache) -> None:
    async def nothing() -> Passage | None:
        return None

    for state in ("MISS", "HIT"):
        kept = await cache.through("page", "https://e.test/", nothing, Passage | None)
        assert kept == Cached(None, state)


async def test_without_a_cache_everybody_is_asked() -> None:
    web, cache = Web(), NoCache()
    for _ in range(2):
        kept = await cache.through("search", "q", web, READ)
        assert kept == Cached((PASSAGE,), "DISABLED")
    assert web.asked == 2 and await cache.peek("search", "q", READ) is None


async def test_the_same_request_at_the_same_time_is_one(cache: Cache) -> None:
    web = Web(pause=0.05)
    found = await asyncio.gather(*(ask(cache, web) for _ in range(20)))
    assert {one.value for one in found} == {(PASSAGE,)}
    assert web.asked == 1


async def test_a_failure_reaches_all_who_wait_for_it(cache: Cache) -> None:
    web = Web(pause=0.05)
    web.fails = "down"
    found = await asyncio.gather(*(ask(cache, web) for _ in range(5)), return_exceptions=True)
    assert [str(one) for one in found] == ["down"] * 5
    assert web.asked == 1


async def test_who_leaves_ends_the_request_only_when_nobody_else_waits(cache: Cache) -> None:
    web = Web(pause=0.1)
    first = asyncio.create_task(ask(cache, web))
    second = asyncio.create_task(ask(cache, web))
    await asyncio.sleep(0.04)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).value == (PASSAGE,)
    assert (web.asked, web.cancelled) == (1, 0)


async def test_a_request_without_anybody_waiting_ends_and_can_be_made_again(cache: Cache) -> None:
    web = Web(pause=5.0)
    both = [asyncio.create_task(ask(cache, web)) for _ in range(2)]
    await asyncio.sleep(0.04)
    for task in both:
        task.cancel()
    await asyncio.wait(both)
    assert web.cancelled == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    web.pause = 0.0
    async with asyncio.timeout(1):
        assert (await ask(cache, web)).state == "MISS"


async def test_who_comes_while_a_request_is_ending_is_served(cache: Cache) -> None:
    slow = asyncio.Event()

    async def stubborn() -> tuple[Passage, ...]:
        try:
            await asyncio.sleep(5)
        finally:
            slow.set()
            await asyncio.sleep(0.05)
        return (PASSAGE,)

    first = asyncio.create_task(ask(cache, stubborn))
    await asyncio.sleep(0.03)
    first.cancel()
    await slow.wait()
    assert (await ask(cache, Web())).value == (PASSAGE,)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_what_was_not_used_for_longest_makes_room(path: Path, clock: Clock) -> None:
    cache = Cache(path, most_bytes=40_000, clock=clock)

    def page(number: int) -> Callable[[], Awaitable[str]]:
        async def make() -> str:
            return str(number) * 2000

        return make

    for number in range(10):
        clock.now += 1000
        await cache.through("page", f"p{number}", page(number), str)
    clock.now += 1000
    assert (await cache.through("page", "p0", page(0), str)).state == "HIT"
    for number in range(10, 30):
        clock.now += 1000
        await cache.through("page", f"p{number}", page(number), str)
        assert (await cache.through("page", "p0", page(0), str)).state == "HIT", number
    assert await cache.peek("page", "p1", str) is None
    assert await cache.peek("page", "p29", str) is not None
    with sqlite3.connect(path) as db:
        kept, counted = (
            db.execute("SELECT sum(length(value) + 300) FROM answer").fetchone()[0],
            db.execute("SELECT bytes FROM total").fetchone()[0],
        )
    db.close()
    assert kept == counted <= 40_000
    cache.close()


async def test_what_is_too_large_is_answered_and_not_kept(path: Path) -> None:
    cache = Cache(path, most_bytes=8_000)

    async def large() -> str:
        return "x" * 2_000

    for _ in range(2):
        assert await cache.through("page", "p", large, str) == Cached("x" * 2_000, "MISS")
    cache.close()


def garbage(path: Path, offset: int = 0, until: int | None = None) -> None:
    until = until or path.stat().st_size
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * (until - offset))


@pytest.mark.parametrize("offset", [0, 4096])
async def test_a_damaged_file_is_put_aside_and_begun_anew(
    path: Path, caplog: pytest.LogCaptureFixture, offset: int
) -> None:
    cache = Cache(path)
    for number in range(50):
        await ask(cache, Web(), f"q{number}")
    cache.close()
    garbage(path, offset, offset + 8192)
    caplog.set_level(logging.WARNING)
    again, web = Cache(path), Web()
    for state in ("MISS", "HIT"):
        assert (await ask(again, web, "q7")).state == state
    assert path.with_name("cache.db.damaged").exists()
    assert "is damaged: put aside as cache.db.damaged" in caplog.text
    again.close()


async def test_two_that_find_it_damaged_put_it_aside_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def large() -> str:
        return "x" * 200_000

    caches = [Cache(path) for _ in range(2)]
    for number in range(30):  # more than SQLite holds in memory
        for cache in caches:
            await cache.through("page", f"p{number}", large, str)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    garbage(path, 4096)
    for cache in caches:
        for number in range(30):
            await cache.through("page", f"p{number}", large, str)
    assert (await caches[0].through("page", "p7", large, str)).state == "HIT"
    again = Cache(path)
    assert (await again.through("page", "p7", large, str)).state == "HIT"
    assert caplog.text.count("put aside as") == 1
    for cache in (*caches, again):
        cache.close()


async def test_who_gives_up_holds_up_nobody_else(path: Path) -> None:
    one, other = Cache(path), Cache(path)
    waiting = asyncio.create_task(ask(one, Web(pause=5)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.wait([waiting])
    async with asyncio.timeout(2):
        assert (await ask(other, Web())).state == "MISS"
    for cache in (one, other):
        cache.close()


async def test_a_flipped_bit_in_an_answer_is_a_miss(cache: Cache, path: Path) -> None:
    await ask(cache, Web())
    with sqlite3.connect(path) as db:
        (value,) = db.execute("SELECT value FROM answer").fetchone()
        assert b"Verona" in value
        db.execute("UPDATE answer SET value = ?", (value.replace(b"Verona", b"Venice"),))
    db.close()
    assert await ask(cache, Web()) == Cached((PASSAGE,), "MISS")


async def test_an_answer_of_other_code_is_a_miss(cache: Cache) -> None:
    await cache.through("search", "q", Web(), READ)
    assert await cache.peek("search", "q", int) is None


async def test_a_cache_of_another_version_is_begun_anew(path: Path) -> None:
    cache = Cache(path)
    await ask(cache, Web())
    cache.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    again = Cache(path)
    assert (await ask(again, Web())).state == "MISS"
    again.close()


def test_nobody_elses_file_is_touched(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE letters (text)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is no cache of web answers"):
        Cache(path)
    assert path.read_bytes() == before


async def test_a_cache_that_cannot_be_written_costs_only_speed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache, web = Cache(tmp_path / "file" / "cache.db"), Web()
    for _ in range(2):
        assert (await ask(cache, web)).value == (PASSAGE,)
    assert web.asked == 2
    assert caplog.text.count("cannot be used") == 1
    cache.close()


PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from mia.search.cache import Cache

async def make():
    with open(sys.argv[2], "a") as file:
        file.write("asked\\n")
    await asyncio.sleep(0.3)
    return "answer"

async def main():
    cache = Cache(Path(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.readline()
    kept = await cache.through("search", "q", make, str)
    print(kept.value, flush=True)

asyncio.run(main())
"""


def processes(path: Path, log: Path, count: int) -> list[subprocess.Popen[str]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return started


def appears(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_ask_the_same_ask_once(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    started = processes(path, log, 3)
    for process in started:
        go(process)
    assert [process.communicate()[0] for process in started] == ["answer\n"] * 3
    assert log.read_text() == "asked\n"


async def test_a_process_that_was_killed_is_not_waited_for_long(
    path: Path, tmp_path: Path, clock: Clock
) -> None:
    log = tmp_path / "log"
    (process,) = processes(path, log, 1)
    go(process)
    appears(log)
    process.kill()
    process.communicate()
    clock.now = time.time() + 10
    cache = Cache(path, clock=clock)
    async with asyncio.timeout(5):
        assert (await cache.through("search", "q", Web(), READ)).state == "MISS"
    cache.close()


def test_threads_with_loops_of_their_own_share_a_file(path: Path) -> None:
    states: list[str] = []

    def work() -> None:
        async def main() -> None:
            cache = Cache(path)
            for number in range(20):
                states.append((await ask(cache, Web(), f"q{number}")).state)
            cache.close()

        asyncio.run(main())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(states) == 60 and states.count("MISS") == 20


@given(st.text(max_size=20), st.lists(st.text(max_size=9), max_size=3))
@settings(max_examples=15, deadline=None)
def test_any_request_and_answer_come_back(
    tmp_path_factory: pytest.TempPathFactory, request: str, texts: list[str]
) -> None:
    async def check() -> None:
        cache = Cache(tmp_path_factory.mktemp("cache") / "cache.db")

        async def make() -> list[str]:
            return texts

        for _ in range(2):
            assert (await cache.through("page", request, make, list[str])).value == texts
        cache.close()

    asyncio.run(check())
