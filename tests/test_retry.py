"""The retry layer, in virtual time: the loop's clock jumps to the next thing that is due."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ModelError, SearchError
from mia.retry import Policy, Retry, Transient, asked_wait, transient_status
from mia.types import Noun

T = TypeVar("T")
WHERE = "http://server/v1"


class _Clockwork(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for something that never comes"
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes as fast as it can."""

    def __init__(self) -> None:
        self._clockwork = _Clockwork()
        super().__init__(self._clockwork)

    def time(self) -> float:
        return self._clockwork.now


def in_virtual_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())


def now() -> float:
    return asyncio.get_running_loop().time()


def retry(policy: Policy | None = None, chance: float = 0.999) -> Retry:
    return Retry(policy, clock=now, chance=lambda: chance)


class Act(Noun, frozen=True):
    """What one attempt does: it takes its time and then fails, or not."""

    seconds: float = 0.0
    fault: str | None = None
    wait: float | None = None
    down: bool = True


class Server:
    """Acts its acts in order, the last one for ever, and notes when it was asked."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.asked: list[float] = []

    async def __call__(self) -> str:
        self.asked.append(now())
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        await asyncio.sleep(act.seconds)
        if act.fault == "refused":
            raise ModelError("no, and no again")
        if act.fault is not None:
            raise Transient(act.fault, wait=act.wait, down=act.down)
        return "yes"


DOWN = Act(fault="answered 503")
UP = Act()


acts = st.builds(
    Act,
    seconds=st.one_of(st.floats(0, 10), st.floats(0, 1000)),
    fault=st.sampled_from([None, "answered 503", "answered 503", "refused"]),
    wait=st.one_of(st.none(), st.floats(0, 4000)),
    down=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(acts, min_size=1, max_size=6),
    st.floats(0, 0.999),
    st.floats(0.1, 2) | st.floats(1, 200),
)
def test_no_sequence_of_failures_takes_longer_than_the_deadline_or_the_attempts(
    script: list[Act], chance: float, deadline: float
) -> None:
    server = Server(*script)

    async def work() -> float:
        try:
            assert await retry(Policy(deadline=deadline), chance).call(WHERE, server) == "yes"
        except ModelError as error:
            assert "\n" not in str(error)
        return now()

    assert in_virtual_time(work) <= deadline + 1e-6
    assert 1 <= len(server.asked) <= 4


def test_a_call_survives_three_failures_and_its_pauses_double_up_to_their_limit() -> None:
    server = Server(DOWN, DOWN, DOWN, UP)
    policy = Policy(longest_pause=1.5)
    assert in_virtual_time(lambda: retry(policy, chance=1.0).call(WHERE, server)) == "yes"
    assert server.asked == pytest.approx([0.0, 0.5, 1.5, 3.0])


def test_a_fourth_failure_is_raised_with_the_server_the_reason_and_the_advice() -> None:
    async def attempt() -> str:
        raise Transient("answered 503", advice="look at the server's log")

    with pytest.raises(ModelError) as caught:
        in_virtual_time(lambda: retry().call(WHERE, attempt))
    assert str(caught.value) == (
        "http://server/v1: answered 503 (in 4 attempts); look at the server's log"
    )


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(SearchError):
        in_virtual_time(lambda: Retry(error=SearchError, clock=now).call(WHERE, Server(DOWN)))


def test_an_error_that_is_not_transient_is_raised_at_once() -> None:
    server = Server(Act(fault="refused"))
    with pytest.raises(ModelError, match="no, and no again"):
        in_virtual_time(lambda: retry().call(WHERE, server))
    assert len(server.asked) == 1


def test_a_silent_server_is_given_up_at_the_deadline() -> None:
    server = Server(Act(seconds=1000))

    async def work() -> float:
        with pytest.raises(ModelError, match=r"no complete reply .within 120 s"):
            await retry().call(WHERE, server)
        return now()

    assert in_virtual_time(work) == pytest.approx(120)


def test_a_timeout_of_the_attempt_itself_is_not_taken_for_the_deadline() -> None:
    async def attempt() -> str:
        raise TimeoutError("a bug")

    with pytest.raises(TimeoutError, match="a bug"):
        in_virtual_time(lambda: retry().call(WHERE, attempt))


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.4995), (17.0, 17.0), (3600.0, 60.0)])
def test_the_wait_a_server_asks_for_is_kept_up_to_a_minute(asked: float, waited: float) -> None:
    server = Server(Act(fault="answered 429", wait=asked), UP)
    in_virtual_time(lambda: retry().call(WHERE, server))
    assert server.asked == pytest.approx([0.0, waited])


def test_a_wait_that_does_not_fit_the_deadline_fails_at_once_and_says_so() -> None:
    server = Server(Act(seconds=100, fault="answered 429", wait=45))

    async def work() -> float:
        with pytest.raises(ModelError, match="asks to wait 45 s, but only 20 s of 120 s are left"):
            await retry().call(WHERE, server)
        return now()

    assert in_virtual_time(work) == pytest.approx(100)


def test_a_pause_that_does_not_fit_the_deadline_is_not_begun() -> None:
    server = Server(DOWN)

    async def work() -> float:
        with pytest.raises(ModelError, match=r"0\.7 s are too short for another attempt"):
            await retry(Policy(deadline=1.2), chance=1.0).call(WHERE, server)
        return now()

    assert in_virtual_time(work) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("Sun, 09 Sep 2001 01:47:10 GMT", 30.0),
        ("Sun, 09 Sep 2001 01:47:10", 30.0),
        ("Sun, 09 Sep 2001 01:46:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert asked_wait(header, now=1_000_000_000) == seconds


@given(st.text())
def test_no_retry_after_header_breaks_its_reader(header: str) -> None:
    wait = asked_wait(header, now=0)
    assert wait is None or wait >= 0


def test_only_statuses_that_may_pass_are_tried_again() -> None:
    again = {status for status in range(200, 600) if transient_status(status)}
    assert again == {408, 409, 425, 429, *range(500, 600)} - {501}


async def fails(retry: Retry, server: Callable[[], Awaitable[str]]) -> str:
    with pytest.raises(ModelError) as caught:
        await retry.call(WHERE, server)
    return str(caught.value)


def test_five_failures_in_a_row_close_a_server_to_all_calls_for_half_a_minute() -> None:
    server = Server(*[DOWN] * 5, UP)

    async def work() -> None:
        shared = retry(chance=0.0)
        assert "in 4 attempts" in await fails(shared, server)
        assert "not asked, since it failed 5 times in a row" in await fails(shared, server)
        await asyncio.sleep(10)
        assert "tried again in 20 s" in await fails(shared, server)
        assert len(server.asked) == 5
        await asyncio.sleep(20)
        assert await shared.call(WHERE, server) == "yes"
        assert await shared.call(WHERE, server) == "yes"

    in_virtual_time(work)


def test_after_its_rest_a_server_gets_one_probe_and_a_failed_probe_closes_it_again() -> None:
    server = Server(*[DOWN] * 5, Act(seconds=2, fault="answered 503"), UP)

    async def work() -> None:
        shared = retry(chance=0.0)
        await fails(shared, server)
        await fails(shared, server)
        await asyncio.sleep(30)
        first, second = await asyncio.gather(fails(shared, server), fails(shared, server))
        assert "failed 6 times in a row" in first
        assert "is just being tried again" in second
        assert len(server.asked) == 6
        assert "tried again in 30 s" in await fails(shared, server)

    in_virtual_time(work)


def test_a_cancelled_probe_leaves_the_next_call_its_chance() -> None:
    server = Server(*[DOWN] * 5, Act(seconds=50), UP)

    async def work() -> None:
        shared = retry(chance=0.0)
        await fails(shared, server)
        await fails(shared, server)
        await asyncio.sleep(30)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(shared.call(WHERE, server), 1)
        assert await shared.call(WHERE, server) == "yes"

    in_virtual_time(work)


@pytest.mark.parametrize("between", [UP, Act(fault="refused"), Act(fault="429", down=False)])
def test_any_answer_from_a_living_server_starts_the_count_anew(between: Act) -> None:
    server = Server(DOWN, DOWN, DOWN, DOWN, between, DOWN, DOWN, DOWN, DOWN, UP)

    async def work() -> None:
        shared = retry(Policy(attempts=1))
        for _ in range(9):
            with suppress(ModelError):
                await shared.call(WHERE, server)
        assert await shared.call(WHERE, server) == "yes"
        assert len(server.asked) == 10

    in_virtual_time(work)


def test_no_more_calls_run_at_once_than_there_are_slots() -> None:
    running: list[int] = [0, 0]

    async def attempt() -> str:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(1)
        running[0] -= 1
        return "yes"

    async def work() -> float:
        shared = retry(Policy(concurrency=2))
        await asyncio.gather(*(shared.call(WHERE, attempt) for _ in range(6)))
        return now()

    assert in_virtual_time(work) == pytest.approx(3)
    assert running == [0, 2]


def test_a_call_that_gets_no_slot_within_its_deadline_says_so_and_the_slot_is_not_lost() -> None:
    async def work() -> None:
        shared = retry(Policy(concurrency=1, deadline=10))
        server = Server(Act(seconds=9), Act(seconds=9), UP)
        calls = (shared.call(WHERE, server) for _ in range(3))
        served, late, queued = await asyncio.gather(*calls, return_exceptions=True)
        assert served == "yes"
        assert "no complete reply" in str(late)
        assert "no free slot of 1 for 10 s" in str(queued)
        assert await shared.call(WHERE, server) == "yes"

    in_virtual_time(work)
