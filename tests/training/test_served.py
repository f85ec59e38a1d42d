"""Learning behind a server, put together from settings: what a run stands on, and its process."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.cli.playing import Home, Served, plays
from tests.training.behind_desk import episode_of
from tests.training.behind_forever import LOOSE, service

from mia.config import load
from mia.errors import ConfigError, InputError, StoreError
from mia.journal import Journal
from mia.judges.feedback import Feedback
from mia.locks import alone
from mia.memories.workflow.sqlite import SqliteStore
from mia.team import silent
from mia.training import tiny
from mia.training.behind import Report
from mia.training.exercises import Exercise
from mia.training.inbox import Inbox
from mia.training.served import Service, check, inbox_of, learn_behind
from mia.training.versions import Shelf, Version
from mia.training.workshop import Workshop
from mia.types import Episode, Observation, ToolCall, Trajectory, Turn


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A furnished home whose models, but for the policy in training, are served."""
    with Served(plays) as server:
        made = Home(tmp_path / "house")
        made.folder.mkdir()
        made.configure(server.url)
        made.furnish()
        yield made


@pytest.fixture
def shop(home: Home) -> Workshop:
    return Workshop(load(home.config, {}), home.corpus, False, silent)


def searched(number: int, letter: str, answer: str) -> Episode:
    """An answer that memory can learn something of."""
    call = ToolCall(name="search", arguments={"query_list": [answer.lower()]})
    found = Turn(call=call, observation=Observation(text=answer))
    turns = (found, Turn(answer=answer))
    run = Trajectory(turns=turns, outcome="answered")
    return replace(episode_of(number, letter, answer), trajectory=run)


def busy(home: Home, first: int = 1) -> None:
    """Four more questions, of which people say what is right."""
    with closing(Journal(home.data / "journal.db")) as journal, served(home) as inbox:
        journal.open_run("serve served", "")
        for number, letter in enumerate("abcd", first):
            one = searched(number, letter, "A")
            journal.write("serve served", one)
            inbox.ask(one.id, "")
            inbox.tell(one.id, one.id, Feedback(answer=letter.upper()))


@contextmanager
def served(home: Home) -> Generator[Inbox]:
    with closing(Inbox(inbox_of(home.data, "served"))) as inbox:
        yield inbox


def until(home: Home, phase: str) -> Callable[[], asyncio.Event]:
    """Until a report says so."""

    def make() -> asyncio.Event:
        stop = asyncio.Event()

        async def watch() -> None:
            while not stop.is_set():
                report = reported(home)
                if report is not None and report.phase == phase and not report.waiting:
                    stop.set()
                await asyncio.sleep(0.02)

        stop.watching = asyncio.create_task(watch())  # type: ignore[attr-defined]
        return stop

    return make


def stopped() -> asyncio.Event:
    """At once."""
    stop = asyncio.Event()
    stop.set()
    return stop


def reported(home: Home) -> Report | None:
    with served(home) as inbox:
        return inbox.reported(Report)


def planners(home: Home) -> Shelf:
    return Shelf(home.data / "tiny" / "policies", "planner")


def in_use(home: Home) -> Version:
    version = planners(home).current()
    assert version is not None
    return version


def test_what_people_say_comes_to_versions_that_are_in_use(
    shop: Workshop, home: Home, speaking: Path
) -> None:
    busy(home)
    canary = [Exercise(question=each.question) for each in tiny.exercises(4, seed=5)]
    limits = replace(LOOSE, canary_points=1.0, p=0.0)
    wanted = dataclasses.replace(service(str(speaking)), canary=canary, limits=limits)
    learn_behind(shop, wanted, silent, until(home, "waiting"))
    version = in_use(home)
    assert (version.number, version.parent, version.made_by) == (2, 1, "online")
    assert version.config["run"] == "served" and version.data == "the tiny world"
    assert version.metrics["questions"] == 2 and "accuracy of 4 after 2 updates" in version.checks
    with SqliteStore(home.data / "memory.db") as store:
        known = {workflow.id for workflow in store.all()}
    assert version.workflows and set(version.workflows) <= known
    assert set(version.absorbed) <= set(version.workflows)
    with closing(Journal(home.data / "journal.db")) as journal:
        assert len(journal.entries("serve served attempt 4")) == 4


def test_a_run_goes_on_over_what_it_began_with_whatever_is_in_use(
    shop: Workshop, home: Home, speaking: Path
) -> None:
    busy(home)
    learn_behind(shop, service(str(speaking)), silent, until(home, "waiting"))
    first = in_use(home)
    wanted = service("current")
    again = replace(wanted.order, name="again")
    folder = home.data / "learning" / "again"
    run = Service(order=again, limits=LOOSE)
    for _ in range(2):
        learn_behind(shop, run, silent, stopped)
        assert f'"begins":"{first.number}"' in (folder / "run.json").read_text()
        planners(home).rollback()
    voted = replace(again, preset=replace(again.preset, supervision="judge"))
    learn_behind(shop, Service(order=voted, judging="vote"), silent, stopped)  # guards may change
    with pytest.raises(ConfigError, match="was begun with another preset"):
        changed = replace(again, preset=replace(again.preset, learning_rate=1e-9))
        learn_behind(shop, Service(order=changed, limits=LOOSE), silent, stopped)
    with pytest.raises(ConfigError, match="another canary"):
        canary = [Exercise(question=each.question) for each in tiny.exercises(4, seed=5)]
        learn_behind(shop, Service(order=again, canary=canary), silent, stopped)


def test_one_process_works_at_a_run(shop: Workshop, home: Home) -> None:
    lock = home.data / "learning" / "served" / "busy.lock"
    with alone(lock), pytest.raises(StoreError, match="another process works at 'served'"):
        learn_behind(shop, service("none"), silent, until(home, "waiting"))


def test_what_cannot_be_learned_is_said_before_any_work(shop: Workshop, home: Home) -> None:
    with pytest.raises(ConfigError, match="nobody here can judge without right answers"):
        check(shop, dataclasses.replace(service("none"), judging="panel"))
    with pytest.raises(InputError, match="there is no adapter in"):
        check(shop, service(str(home.folder)))
    check(shop, dataclasses.replace(service("none"), judging="vote"))


@contextmanager
def process(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """A process as a server starts it."""
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with started:
        try:
            yield started
        finally:
            started.kill()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 90
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def stands(home: Home, explored: int, phase: str = "waiting") -> bool:
    report = reported(home)
    return report is not None and (report.phase, report.explored) == (phase, explored)


def test_a_process_that_is_killed_goes_on_and_ends_when_it_is_told_to(
    home: Home, speaking: Path
) -> None:
    busy(home)
    places = map(str, (home.config, home.corpus, speaking))
    arguments = ("tests.training.behind_forever", *places)
    with process(*arguments) as first:
        wait_for(lambda: (report := reported(home)) is not None and report.explored >= 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with process(*arguments) as second:
        wait_for(lambda: stands(home, 4))
        report = reported(home)
        assert report is not None and (report.pid, report.updates) == (second.pid, 2)
        second.send_signal(signal.SIGTERM)
        _, said = second.communicate(timeout=60)
        assert second.returncode == 0 and "Traceback" not in said
    assert stands(home, 4, "stopped") and in_use(home).number == 2
    with closing(Journal(home.data / "journal.db")) as journal:
        assert journal.count() == 4 + 4 * 4


def test_without_weights_memory_learns_and_the_process_ends_with_its_server(home: Home) -> None:
    with process("mia", "serve", "behind", "--config", str(home.config), "--corpus",
                 str(home.corpus), "--set", "attempts=2") as running:  # fmt: skip
        busy(home)
        wait_for(lambda: stands(home, 4))
        report = reported(home)
        assert report is not None and report.learns == "memory" and report.updates == 0
        assert running.stdin is not None
        running.stdin.close()
        assert running.wait(timeout=30) == 0
        assert running.stderr is not None
        lines = running.stderr.read().splitlines()
    assert sum(line.startswith("feedback ") for line in lines) == 4
    assert sum(line.startswith("question ") for line in lines) == 4
    assert not (home.data / "policies").exists()
