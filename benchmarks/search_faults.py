"""Does every search end well, whatever its providers do?

    python benchmarks/search_faults.py                    # 30 faults x 50 seeds
    python benchmarks/search_faults.py --seeds 2          # seconds

An episode is one query to an online search with three providers (of six, in an order by seed, each
the real adapter over a real socket to its stand-in), of which one to three have the fault; the
others answer well, find nothing, or have another fault. Every tenth caller goes away half-way. The
query is asked three times: at once again, and 31 seconds later by a cache's clock, by a search that
knows nothing of the first one. An episode breaks a promise when

  untyped   anything but an answer or a SearchError comes out
  wrong     the answer is not that of the first provider that is well, or a failure does not name
            all three
  late      it takes longer than its deadline and half a second
  stale     a failure is told after 31 seconds without asking anybody
  left      a task is still there afterwards
Sockets and memory are looked at over all episodes: none more, and less than 50 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mia.errors import SearchError
from mia.provider import Provider
from mia.providers.brave import Brave
from mia.providers.exa import Exa
from mia.providers.searxng import SearXNG
from mia.providers.serper import Serper
from mia.providers.tavily import Tavily
from mia.providers.wikipedia import Wikipedia
from mia.retry import Policy
from mia.search.cache import LONGEST_FAILURE, Cache
from mia.search.online import Answer, Online
from mia.search.online_lane import Source, Terms
from mia.testing import ProviderStandIns

FAULTS = (
    "wrong_key", "quota", "rate", "rate_wait", "refused_query", "error_200", "down", "bad_gateway",
    "down_wait", "html_500", "teapot", "captcha", "truncated", "short", "not_json", "other_json",
    "null_fields", "no_body", "slow", "drip", "forever", "reset", "cut", "huge", "gzip_bomb",
    "bad_gzip", "redirect", "wrong_charset", "deep_json", "echo_key",
)  # fmt: skip
NAMES = ("serper", "brave", "tavily", "exa", "searxng", "wikipedia")
GOOD = ("good", "many", "hostile")
EMPTY = ("empty", "null_fields")
SECONDS = 0.6
"""For one request; more would only lengthen the episodes of the slow faults."""
REQUESTS = 5
"""A search has the time of so many."""
HEAVY = ("good", "huge", "gzip_bomb", "deep_json", "hostile")
AT_ONCE = 20
_LATE = re.compile(r"no complete|no answer within|are too short")
ROUND = 5
"""Seeds after which it is looked at what was left."""
LATER = 31.0
MOST_GROWTH = 50 * 2**20


@dataclass
class Clock:
    """The time of a cache."""

    now: float = 1_767_268_800.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Episode:
    """Who is asked, and what each of them does."""

    fault: str
    seed: int
    modes: dict[str, str]
    """By provider, in the order in which they are asked."""
    leaves: float | None
    """Seconds after which the caller goes away."""

    @property
    def query(self) -> str:
        modes = " ".join(f"{name}={mode}" for name, mode in self.modes.items())
        return f"[[{modes}]] Who wrote The Trial? {self.fault.replace('_', ' ')} {self.seed}"


@dataclass
class Outcome:
    """What became of an episode."""

    episode: Episode
    kind: str = ""
    """answered, empty, failed, left."""
    broken: list[str] = field(default_factory=list[str])
    seconds: float = 0.0


def drawn(fault: str, seed: int) -> Episode:
    """An episode, the same one every time."""
    chance = random.Random(f"{fault}-{seed}")
    names = chance.sample(NAMES, 3)
    faulty = chance.sample(names, chance.randint(1, 3))
    modes = {name: fault if name in faulty else _other(chance) for name in names}
    leaves = chance.uniform(0.0, 0.05) if seed % 10 == 9 else None
    return Episode(fault=fault, seed=seed, modes=modes, leaves=leaves)


def _other(chance: random.Random) -> str:
    """What a provider does that has not the fault: mostly well."""
    (kind,) = chance.choices((GOOD, EMPTY[:1], FAULTS), weights=(6, 1, 3))
    return chance.choice(kind)


class Closable(Provider, Protocol):
    """What all adapters are."""

    async def aclose(self) -> None: ...


def made(name: str, web: ProviderStandIns, seconds: float) -> Closable:
    """The adapter of a provider, on its stand-in."""
    base = web.at(name)
    match name:
        case "serper":
            return Serper(web.key, base_url=base, seconds=seconds)
        case "brave":
            return Brave(web.key, base_url=base, seconds=seconds)
        case "tavily":
            return Tavily(web.key, base_url=base, seconds=seconds)
        case "exa":
            return Exa(web.key, base_url=base, seconds=seconds)
        case "searxng":
            return SearXNG(base, seconds=seconds)
        case _:
            return Wikipedia("drill@example.org", base_url=base, seconds=seconds)


def _online(providers: Sequence[Provider], cache: Cache, seconds: float) -> Online:
    policy = Policy(
        deadline=seconds * 1.2, attempts=2, first_pause=0.01, longest_pause=0.02, concurrency=64
    )
    terms = Terms(per_second=1e6, burst=1000, policy=policy)
    sources = [Source(provider, terms) for provider in providers]
    return Online(sources, cache=cache, deadline=seconds * REQUESTS, sleep=_briefly)


class Drill:
    """Episodes against running stand-ins."""

    def __init__(
        self,
        web: ProviderStandIns,
        folder: Path,
        *,
        seconds: float = SECONDS,
        later: float = LATER,
    ) -> None:
        """`later` is after how many seconds of its cache's clock nothing old may be told."""
        self._web = web
        self._seconds = seconds
        self._later = later
        self._folder = folder
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def run(self, episode: Episode) -> Outcome:
        """The three askings of an episode."""
        async with self._turn:
            clock, outcome = Clock(), Outcome(episode)
            cache = Cache(self._folder / "cache.db", failures=LONGEST_FAILURE, clock=clock)
            providers = [made(name, self._web, self._seconds) for name in episode.modes]
            try:
                await self._first(_online(providers, cache, self._seconds), outcome)
                if outcome.kind == "failed":
                    await self._again(_online(providers, cache, self._seconds), outcome, clock)
            finally:
                for provider in providers:
                    await provider.aclose()
                cache.close()
            return outcome

    async def _first(self, online: Online, outcome: Outcome) -> None:
        episode, began = outcome.episode, time.monotonic()
        task = asyncio.create_task(online.answer(episode.query, 3))
        if episode.leaves is not None:
            await asyncio.sleep(episode.leaves)
            task.cancel()
        await asyncio.wait([task])
        outcome.seconds = time.monotonic() - began
        if outcome.seconds > self._seconds * REQUESTS + 0.5:
            outcome.broken.append("late")
        if task.cancelled():
            outcome.kind = "left"
            outcome.broken += [] if episode.leaves is not None else ["untyped"]
            return
        error = task.exception()
        if error is None:
            answer = task.result()
            outcome.kind = "answered" if answer.passages else "empty"
            outcome.broken += _judged(answer, episode)
        elif isinstance(error, SearchError):
            outcome.kind = "failed"
            told = str(error)
            named = all(f"{name}: " in told for name in episode.modes) and "\n" not in told
            nobody = _expected(episode, told.split("; ")) is None
            outcome.broken += [] if named and nobody else ["wrong"]
        else:
            outcome.broken.append("untyped")

    async def _again(self, online: Online, outcome: Outcome, clock: Clock) -> None:
        """The same query at once, and half a minute later."""
        query = outcome.episode.query
        before = self._asked(query)
        for _ in range(2):
            with suppress(SearchError):
                await online.answer(query, 3)
            if self._asked(query) > before:
                break
            clock.now += self._later
        if self._asked(query) == before:
            outcome.broken.append("stale")

    def _asked(self, query: str) -> int:
        words = query.rpartition("]] ")[2]
        return sum(
            any(words in str(value) for value in (*r.query.values(), *r.json().values()))
            for r in self._web.requests
        )


async def _briefly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.02))


def _expected(episode: Episode, failed: Sequence[str]) -> str | None:
    """Who has to answer; the first that is empty where nobody finds anything, None for nobody. One
    that was too slow, since the machine has other work too, does not have to."""
    late = [line for line in failed if _LATE.search(line)]
    fit = {
        name: mode
        for name, mode in episode.modes.items()
        if not any(f"{name}: " in line for line in late)
    }
    good = [name for name, mode in fit.items() if mode in GOOD]
    empty = [name for name, mode in fit.items() if mode in EMPTY]
    return (good or empty or [None])[0]


def _judged(answer: Answer, episode: Episode) -> list[str]:
    mode = episode.modes.get(answer.engine)
    wanted = _expected(episode, answer.failed)
    right = answer.engine == wanted and bool(answer.passages) == (mode in GOOD)
    return [] if right else ["wrong"]


def sockets() -> int:
    """How many this process has open."""
    links = (path for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum("socket" in str(path.readlink()) for path in links)


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@dataclass
class Result:
    """What a drill found."""

    outcomes: list[Outcome]
    sockets: int
    """More than before."""
    tasks: int
    growth: int
    contacts: int
    seconds: float

    @property
    def broken(self) -> list[str]:
        """Every promise that was broken, with its episode."""
        told = [
            f"{one.episode.fault} {one.episode.seed} {one.episode.modes}: {', '.join(one.broken)}"
            for one in self.outcomes
            if one.broken
        ]
        told += [f"{self.sockets} sockets are left"] if self.sockets > 0 else []
        told += [f"{self.tasks} tasks are left"] if self.tasks else []
        told += [f"{self.contacts} internal contacts"] if self.contacts else []
        told += [f"grew by {self.growth:,} bytes"] if self.growth > MOST_GROWTH else []
        return told


async def drill(
    web: ProviderStandIns, folder: Path, seeds: Sequence[int], seconds: float = SECONDS
) -> Result:
    """All faults with all seeds."""
    runner, began = Drill(web, folder, seconds=seconds), time.monotonic()
    outcomes: list[Outcome] = []
    contacts = 0
    for heavy in HEAVY:  # so that their bodies are made before anything is measured
        await runner.run(Episode(heavy, -1, dict.fromkeys(NAMES, heavy), None))
    warm = resident()
    for start in range(0, len(seeds), ROUND):
        episodes = [drawn(fault, seed) for seed in seeds[start : start + ROUND] for fault in FAULTS]
        outcomes += await asyncio.gather(*map(runner.run, episodes))
        contacts += web.contacts
        web.requests.clear()
        gc.collect()
    growth = resident() - warm
    tasks = len(asyncio.all_tasks()) - 1
    return Result(outcomes, 0, tasks, growth, contacts, time.monotonic() - began)


def run(seeds: Sequence[int], seconds: float = SECONDS) -> Result:
    """A drill with stand-ins of its own."""
    before = sockets()
    with tempfile.TemporaryDirectory() as folder, ProviderStandIns() as web:
        result = asyncio.run(drill(web, Path(folder), seeds, seconds))
    result.sockets = sockets() - before
    return result


def table(result: Result) -> str:
    """The result as Markdown."""
    lines = [
        "| fault | episodes | answered | empty | failed | caller left | longest s | broken |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        own = [one for one in result.outcomes if one.episode.fault == fault]
        kinds = Counter(one.kind for one in own)
        counts = " | ".join(str(kinds[kind]) for kind in ("answered", "empty", "failed", "left"))
        longest, broken = max(one.seconds for one in own), sum(bool(one.broken) for one in own)
        lines.append(f"| {fault} | {len(own)} | {counts} | {longest:.2f} | {broken} |")
    typed = sum("untyped" not in one.broken for one in result.outcomes)
    lines += [
        "",
        f"{typed} of {len(result.outcomes)} episodes with one typed outcome; "
        f"{sum(bool(one.broken) for one in result.outcomes)} with a broken promise; "
        f"{result.contacts} internal contacts; {result.tasks} tasks and {result.sockets} sockets "
        f"left; memory {result.growth / 2**20:+.1f} MiB; {result.seconds:.0f} s.",
    ]
    return "\n".join(lines)


def main() -> int:
    """Prints the table; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50, help="episodes of each fault")
    logging.getLogger("mia").setLevel(logging.ERROR)  # refused keys are told to operators
    result = run(range(parser.parse_args().seeds))
    print(table(result))
    for line in result.broken:
        print(line, file=sys.stderr)
    return 1 if result.broken else 0


if __name__ == "__main__":
    sys.exit(main())
