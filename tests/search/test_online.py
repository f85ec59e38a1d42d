"""Online search: each query has one outcome, in time, within the money, from whoever is fit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import ConfigError, SearchError
from mia.provider import Found, FoundImages, ProviderError, WebImage, Why
from mia.search.cache import Cache
from mia.search.online import Answer, NotKept, Online
from mia.search.online_lane import POLICY, Bucket, Source, Terms
from mia.search.spending import Spending
from mia.types import Passage

FAST = replace(POLICY, first_pause=0.001, longest_pause=0.002, failures=3)
FREE = Terms(per_second=1e6, burst=1000, policy=FAST)


def passages(name: str, count: int = 3) -> tuple[Passage, ...]:
    return tuple(
        Passage(id=f"https://{name}.test/{n}", title=f"{name} {n}", text="text")
        for n in range(count)
    )


def fails(why: Why, wait: float | None = None, name: str = "a") -> ProviderError:
    return ProviderError(name, why, f"it said {why}", wait)


class Toy:
    """A provider that plays a script, and then answers well."""

    def __init__(self, name: str, *script: ProviderError | Found, pause: float = 0.0) -> None:
        self.name = name
        self.script = list(script)
        self.pause = pause
        self.asked: list[str] = []
        self.always: ProviderError | Found | None = None
        self.running = 0

    async def search(self, query: str, limit: int) -> Found:
        self.asked.append(query)
        self.running += 1
        try:
            await asyncio.sleep(self.pause)
        finally:
            self.running -= 1
        step = self.script.pop(0) if self.script else self.always
        if isinstance(step, ProviderError):
            raise step
        return step or Found(passages=passages(self.name, limit), cost=0.002)

    async def images(self, query: str, limit: int) -> FoundImages:
        found = await self.search(query, limit)
        images = tuple(WebImage(title=p.title, url=p.id) for p in found.passages)
        return FoundImages(images=images, cost=found.cost)


class Time:
    """A time in which sleeping takes none of ours."""

    def __init__(self) -> None:
        self.now = 1_767_268_800.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def online(*toys: Toy, terms: Terms = FREE, time: Time | None = None, **parts: object) -> Online:
    time = time or Time()
    sources = [Source(toy, terms, images=toy) for toy in toys]
    return Online(sources, clock=time, sleep=time.sleep, **parts)  # type: ignore[arg-type]


async def test_the_first_provider_answers_and_nobody_else_is_asked() -> None:
    a, b = Toy("a"), Toy("b")
    assert await online(a, b).search("  who\n wrote it ", 2) == passages("a", 2)
    assert (a.asked, b.asked) == (["who wrote it"], [])


@pytest.mark.parametrize("why", ["key", "quota", "rate", "down", "query", "unreadable"])
async def test_whatever_the_first_one_says_the_next_one_is_asked(why: Why) -> None:
    a, b = Toy("a"), Toy("b")
    a.always = fails(why)
    answer = await online(a, b).answer("q", 2)
    assert answer.passages == passages("b", 2) and answer.engine == "b"
    assert len(answer.failed) == 1 and answer.failed[0].startswith(f"a: it said {why}")
    assert len(a.asked) == (2 if why in ("rate", "down") else 1), "only these may be other soon"


async def test_when_all_fail_one_line_says_of_each_why() -> None:
    a, b, c = Toy("a"), Toy("b"), Toy("c")
    a.always, b.always = fails("key"), fails("captcha", name="b")  # type: ignore[arg-type]
    c.always = fails("down", name="c")
    with pytest.raises(SearchError) as caught:
        await online(a, b, c).search("q", 2)
    told = str(caught.value)
    assert told.startswith("no search provider answered: a: it said key; b: it said captcha; c: ")
    assert "\n" not in told


async def test_no_results_are_asked_for_again_elsewhere_and_are_an_answer_in_the_end() -> None:
    a, b = Toy("a", Found(passages=()), Found(passages=())), Toy("b")
    answer = await online(a, b).answer("q", 2)
    assert answer.engine == "b" and answer.failed == ()
    b.always = fails("down", name="b")
    answer = await online(a, b).answer("q2", 2)
    assert answer == Answer(engine="a")
    a.always = b.always = Found(passages=())
    assert await online(a, b).answer("q3", 2) == Answer(engine="a")


async def test_a_key_that_was_refused_is_not_tried_again() -> None:
    a, b, time = Toy("a", fails("key")), Toy("b"), Time()
    search = online(a, b, time=time)
    for n in range(3):
        assert (await search.answer(f"q{n}", 1)).engine == "b"
        time.now += 1e6
    assert len(a.asked) == 1
    assert search.resting() == {
        "a": "left alone until MIA is started again: it said key",
        "b": None,
    }


async def test_a_provider_without_credit_is_asked_again_after_an_hour() -> None:
    a, b, time = Toy("a", fails("quota")), Toy("b"), Time()
    search = online(a, b, time=time)
    assert (await search.answer("q0", 1)).engine == "b"
    time.now += 3599
    assert (await search.answer("q1", 1)).engine == "b"
    time.now += 2
    assert (await search.answer("q2", 1)).engine == "a"


@pytest.mark.parametrize(("asked", "left_alone"), [(5.0, 5.0), (1e6, 60.0)])
async def test_a_provider_that_asks_for_a_pause_gets_it_in_reason(
    asked: float, left_alone: float
) -> None:
    a, b, time = Toy("a"), Toy("b"), Time()
    a.script.append(fails("rate", wait=asked))
    search = online(a, b, time=time, terms=replace(FREE, policy=replace(FAST, attempts=1)))
    assert (await search.answer("q0", 1)).engine == "b"
    time.now += left_alone - 0.1
    assert (await search.answer("q1", 1)).engine == "b" and len(a.asked) == 1
    time.now += 0.2
    assert (await search.answer("q2", 1)).engine == "a"


async def test_a_provider_that_keeps_failing_is_left_alone_for_a_while() -> None:
    a, b, time = Toy("a"), Toy("b"), Time()
    a.always = fails("down")
    search = online(a, b, time=time)
    for n in range(5):
        assert (await search.answer(f"q{n}", 1)).engine == "b"
    assert len(a.asked) == 3, "three failures in a row"
    a.always = None
    time.now += FAST.rest + 1
    assert (await search.answer("later", 1)).engine == "a"


async def test_requests_are_spread_out_in_time() -> None:
    time = Time()
    bucket, began = Bucket(2.0, 3, time, time.sleep), time.now
    for _ in range(3):
        assert await bucket.take(0) is None
    assert time.now == began, "a burst of three"
    for n in range(1, 5):
        assert await bucket.take(10) is None
        assert time.now == pytest.approx(began + n / 2)
    wait = await bucket.take(0.1)
    assert wait == pytest.approx(0.5)


async def test_a_turn_that_was_not_used_is_given_back() -> None:
    bucket = Bucket(1.0, 1)
    await bucket.take(0)
    waiting = asyncio.create_task(bucket.take(10))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])
    wait = await bucket.take(0)
    assert wait is not None and 0.9 < wait <= 1.0


async def test_a_busy_provider_is_passed_over_and_the_last_one_waited_for() -> None:
    slow = Terms(per_second=0.1, burst=1, policy=FAST)
    a, b, time = Toy("a"), Toy("b"), Time()
    both = Online([Source(a, slow), Source(b, slow)], clock=time, sleep=time.sleep)
    assert [(await both.answer(f"q{n}", 1)).engine for n in range(3)] == ["a", "b", "b"]
    assert both.resting() == {"a": None, "b": None}
    few = Online([Source(b, slow)], clock=time, sleep=time.sleep, deadline=5)
    await few.search("q", 1)
    with pytest.raises(SearchError, match=r"b: not asked, since it may have 0\.1 requests a sec"):
        await few.search("another", 1)


async def test_a_day_of_money_is_not_overspent_by_many_at_once(tmp_path: Path) -> None:
    spending = Spending(tmp_path / "spending.db")
    paid = replace(FREE, dollars=0.002, dollars_a_day=0.02)
    a, b = Toy("a", pause=0.01), Toy("b")
    search = Online([Source(a, paid), Source(b, FREE)], spending=spending)
    engines = [
        answer.engine
        for answer in await asyncio.gather(*(search.answer(f"q{n}", 1) for n in range(30)))
    ]
    assert (engines.count("a"), engines.count("b")) == (10, 20)
    assert spending.spent("a").dollars == 0.02
    last = await search.answer("one more", 1)
    assert "are spent" in last.failed[0] and last.failed[0].startswith("a: not asked, since its $")
    spending.close()


@pytest.mark.parametrize(
    ("why", "spent"),
    [("key", 0), ("quota", 0), ("query", 0), ("rate", 0), ("unreadable", 0.01), ("down", 0.02)],
)
async def test_only_what_may_have_been_charged_counts(why: Why, spent: float) -> None:
    spending, a = Spending(), Toy("a")
    a.always = fails(why)
    search = online(a, terms=replace(FREE, dollars=0.01), spending=spending)
    with pytest.raises(SearchError):
        await search.search("q", 1)
    assert spending.spent("a").dollars == spent
    spending.close()


async def test_an_answer_costs_what_it_says() -> None:
    spending = Spending(dollars_a_run=0.011)
    search = online(Toy("a"), terms=replace(FREE, dollars=0.01), spending=spending)
    await search.search("q", 1)
    assert spending.spent("a").dollars == 0.002
    with pytest.raises(SearchError, match=r"the run's \$0.011 for searching are spent"):
        await search.search("another", 1)
    spending.close()


async def test_what_cannot_be_counted_is_not_asked(tmp_path: Path) -> None:
    spending, a = Spending(tmp_path / "spending.db"), Toy("a")
    spending.close()
    search = online(a, terms=replace(FREE, dollars=0.01), spending=spending)
    with pytest.raises(SearchError, match="a: not asked, since the counter"):
        await search.search("q", 1)
    assert a.asked == []


async def test_the_second_time_the_cache_answers(tmp_path: Path) -> None:
    a, cache = Toy("a"), Cache(tmp_path / "cache.db")
    search = online(a, cache=cache)
    states = [(await search.answer(query, 2)).cache for query in ("q x", " q  x ", "q X")]
    assert states == ["MISS", "HIT", "MISS"]
    assert (await search.answer("q x", 3)).cache == "MISS", "another limit"
    assert (await online(a, Toy("b"), cache=cache).answer("q x", 2)).cache == "MISS", "others asked"
    assert (await online(a).answer("q x", 2)).cache == "DISABLED"
    cache.close()


async def test_an_answer_of_the_second_choice_lives_for_minutes(tmp_path: Path) -> None:
    time, a = Time(), Toy("a")
    cache = Cache(tmp_path / "cache.db", clock=time)
    a.script += [fails("down"), fails("down")]
    search = online(a, Toy("b"), time=time, cache=cache)
    assert (await search.answer("q", 1)).engine == "b"
    time.now += 500
    assert (await search.answer("q", 1)).cache == "HIT"
    time.now += 200
    assert (await search.answer("q", 1)).engine == "a"
    time.now += 3600
    assert (await search.answer("q", 1)).cache == "HIT", "the first choice lives for a day"
    cache.close()


async def test_a_failure_is_kept_for_seconds(tmp_path: Path) -> None:
    time, a = Time(), Toy("a", fails("unreadable"))
    cache = Cache(tmp_path / "cache.db", clock=time)
    search = online(a, time=time, cache=cache)
    for _ in range(2):
        with pytest.raises(SearchError, match="it said unreadable"):
            await search.search("q", 1)
    assert len(a.asked) == 1
    time.now += 30
    assert await search.search("q", 1) == passages("a", 1)
    cache.close()


async def test_deterministic_asks_nobody(tmp_path: Path) -> None:
    time, a = Time(), Toy("a")
    cache = Cache(tmp_path / "cache.db", clock=time)
    search = online(a, time=time, cache=cache)
    for ask in (search.answer, search.images):
        with pytest.raises(NotKept, match="nothing is kept for 'q'") as caught:
            await ask("q", 1, deterministic=True)
        assert caught.value.code == "missing"
        assert a.asked == []
        await ask("q", 1)
        time.now += 1e7
        assert (await ask("q", 1, deterministic=True)).cache == "HIT"
        assert len(a.asked) == 1
        a.asked.clear()
    with pytest.raises(NotKept):
        await online(a).answer("q", 1, deterministic=True)
    cache.close()


@pytest.mark.parametrize("query", ["", "  ", "?!", "\ud800", "\x00"])
async def test_nothing_to_ask_for_costs_nothing(query: str) -> None:
    a = Toy("a")
    assert await online(a).search(query, 3) == ()
    assert await online(a).search("words", 0) == ()
    assert (await online(a).images(query, 3)).images == ()
    assert a.asked == []


async def test_a_query_is_made_fit_to_be_sent() -> None:
    a = Toy("a")
    await online(a).search("caf\u00e9 \ud800 " + "word " * 1000, 1)
    assert a.asked[0].startswith("café word") and len(a.asked[0]) <= 1000


async def test_pictures_come_from_those_who_find_some() -> None:
    a, b = Toy("a"), Toy("b")
    time = Time()
    search = Online([Source(a, FREE), Source(b, FREE, images=b)], clock=time, sleep=time.sleep)
    found = await search.images("q", 2)
    assert (found.engine, len(found.images), a.asked) == ("b", 2, [])
    with pytest.raises(SearchError, match="none of the search providers finds pictures: a"):
        await Online([Source(a, FREE)]).images("q", 2)


async def test_an_engine_that_is_named_is_asked_first() -> None:
    a, b = Toy("a"), Toy("b")
    assert (await online(a, b).answer("q", 1, engine="b")).engine == "b"
    assert (await online(a, b).answer("q", 1, engine="other")).engine == "a"
    b.always = fails("query", name="b")
    assert (await online(a, b).answer("q", 1, engine="b")).engine == "a"


async def test_a_search_ends_at_its_deadline_whoever_is_slow() -> None:
    loop = asyncio.get_running_loop()
    a, b = Toy("a", pause=60), Toy("b")
    search = Online([Source(a, FREE), Source(b, FREE)], deadline=0.1)
    began = loop.time()
    with pytest.raises(SearchError, match=r"a: no answer within the 0.1 s of a search"):
        await search.search("q", 1)
    assert loop.time() - began < 1 and a.running == 0
    patient = replace(FREE, policy=replace(FAST, deadline=0.1))
    search = Online([Source(a, patient), Source(b, FREE)], deadline=5)
    assert (await search.answer("q", 1)).engine == "b", "one slow provider leaves time for others"


async def test_who_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    cache, spending = Cache(tmp_path / "cache.db"), Spending(tmp_path / "spending.db")
    a = Toy("a", pause=5)
    search = Online(
        [Source(a, replace(FREE, dollars=0.001))], cache=cache, spending=spending, deadline=9
    )
    for delay in (0.0, 0.002, 0.01, 0.05):
        task = asyncio.create_task(search.search("q", 1))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()} and a.running == 0
    a.pause = 0
    assert await search.search("q", 1) == passages("a", 1)
    for store in (cache, spending):
        store.close()


async def test_the_same_query_at_once_is_one_request(tmp_path: Path) -> None:
    cache, a = Cache(tmp_path / "cache.db"), Toy("a", pause=0.05)
    search = Online([Source(a, FREE)], cache=cache)
    found = await asyncio.gather(*(search.search("q", 2) for _ in range(10)))
    assert set(found) == {passages("a", 2)} and len(a.asked) == 1
    cache.close()


async def test_pages_are_read_by_whoever_was_handed_in() -> None:
    async def pages(address: str) -> Passage | None:
        return Passage(id=address, title="T", text="text")

    search = Online([Source(Toy("a"))], pages=pages)
    page = await search.page("https://e.test/")
    assert page is not None and page.id == "https://e.test/"
    for other in ("id-7", "A title", "file:///etc/passwd", ""):
        assert await search.page(other) is None
    assert await Online([Source(Toy("a"))]).page("https://e.test/") is None


def test_a_budget_without_a_counter_is_refused() -> None:
    with pytest.raises(ConfigError, match="a has a budget for a day"):
        Online([Source(Toy("a"), Terms(dollars=0.001, dollars_a_day=1.0))])


async def test_a_refused_key_is_told_to_the_operator_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    search = online(Toy("a", fails("key")), Toy("b"))
    for n in range(3):
        await search.search(f"q{n}", 1)
    assert caplog.messages == ["a is not asked again until MIA is started again: it said key"]


def test_a_search_needs_providers_each_once() -> None:
    for wrong in ([], [Source(Toy("a")), Source(Toy("a"))]):
        with pytest.raises(ConfigError):
            Online(wrong)


async def test_a_bug_in_a_provider_is_not_hidden() -> None:
    class Broken(Toy):
        async def search(self, query: str, limit: int) -> Found:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await online(Broken("a"), Toy("b")).search("q", 1)
