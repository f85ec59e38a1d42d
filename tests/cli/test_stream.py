"""`mia stream`: every question once, whatever becomes of the process."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from subprocess import Popen, TimeoutExpired
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home, Served, item, plans, plays

from mia.journal import Entry, Journal
from mia.memories.workflow.sqlite import SqliteStore
from mia.testing import Fault, Received, faults
from mia.types import Episode, decode

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]
RUN = ("--run", "drill")


class Holds:
    """Plays, but leaves the first request for a plan of each of some items without an answer."""

    def __init__(self, *items: int) -> None:
        self.held = set(items)
        self.reached: set[int] = set()

    def __call__(self, request: Received) -> Fault:
        if plans(request) and item(request) in self.held:
            self.held.discard(item(request))
            self.reached.add(item(request))
            return faults.silence()
        return plays(request)


def entries(home: Home, run: str = "drill") -> list[Entry]:
    with closing(Journal(home.data / "journal.db")) as journal:
        return journal.entries(run)


def remembered(home: Home) -> list[str]:
    """What is remembered, without what differs from run to run."""
    with SqliteStore(home.data / "memory.db") as store:
        return sorted(f"{w.question_template} {w.outcome} {w.uses}" for w in store.all())


def answers(home: Home) -> list[str | None]:
    return [entry.episode.answer for entry in entries(home)]


def arguments(home: Home) -> tuple[str, ...]:
    return ("stream", str(home.questions), "--corpus", str(home.corpus), *RUN)


def test_a_stream_answers_every_question_in_order_and_says_how_it_went(
    mia: Mia, home: Home
) -> None:
    said = mia(*arguments(home))
    assert (said.code, said.out) == (0, "")
    assert answers(home) == [f"kind {n}" for n in range(1, 9)]
    assert all(entry.remembered is not None for entry in entries(home))
    assert "8 of 8 = 1.000" in said.err and "8 answered, 0 abstained, 0 failed" in said.err
    assert remembered(home)


def test_json_is_an_episode_a_line_and_a_tally_at_the_end(mia: Mia, home: Home) -> None:
    said = mia(*arguments(home), "--json", "--limit", "2")
    *episodes, tally = said.out.splitlines()
    assert [decode(line, Episode).question.id for line in episodes] == ["q1", "q2"]
    assert msgspec.json.decode(tally)["correct"] == 2


def test_a_finished_run_does_nothing_again(mia: Mia, home: Home, served: Served) -> None:
    mia(*arguments(home), "--limit", "3")
    before = len(served.requests), remembered(home)
    said = mia(*arguments(home), "--limit", "3")
    assert said.code == 0 and "3 of 3 are done" in said.err
    assert (len(served.requests), remembered(home)) == before


def test_a_longer_limit_goes_on_and_fresh_begins_anew(mia: Mia, home: Home, served: Served) -> None:
    command = ("stream", str(home.questions), "--corpus", str(home.corpus))
    mia(*command, "--limit", "1")
    mia(*command, "--limit", "2")
    assert served.asked_to_plan() == [1, 2]
    mia(*command, "--limit", "1", "--fresh")
    assert served.asked_to_plan() == [1, 2, 1]


def test_a_run_is_not_gone_on_with_under_other_settings(mia: Mia, home: Home) -> None:
    mia(*arguments(home), "--limit", "1")
    said = mia(*arguments(home), "--limit", "2", "--no-memory")
    assert said.code == 2 and "begun with other settings" in said.err


def test_without_memory_nothing_is_remembered(mia: Mia, home: Home) -> None:
    assert mia(*arguments(home), "--no-memory").code == 0
    assert answers(home)[-1] == "kind 8" and not (home.data / "memory.db").exists()


def test_a_question_whose_model_fails_is_data_and_the_stream_goes_on(mia: Mia, home: Home) -> None:
    def player(request: Received) -> Fault:
        return faults.status(400) if plans(request) and item(request) == 2 else plays(request)

    with Served(player) as server:
        home.configure(server.url)
        said = mia(*arguments(home), "--limit", "3")
    assert said.code == 0 and "2 answered, 0 abstained, 1 failed" in said.err
    assert answers(home) == ["kind 1", None, "kind 3"]
    assert len(remembered(home)) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"question": "a"', "truncated"),
        ('{"question": ""}', "is empty"),
        ('{"question": "a", "id": "q1"}', "q1"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_asked(
    mia: Mia, home: Home, served: Served, line: str, reason: str
) -> None:
    with home.questions.open("a") as file:
        file.write(line)
    said = mia(*arguments(home))
    assert said.code == 2 and reason in said.err and f"{home.questions} line 9" in said.err
    assert served.requests == []


def test_a_corpus_with_a_bad_line_is_refused(mia: Mia, home: Home, served: Served) -> None:
    with home.corpus.open("a") as file:
        file.write('{"id": 1}\n')
    said = mia(*arguments(home))
    assert said.code == 2 and f"{home.corpus} line 12" in said.err.splitlines()[-1]
    assert served.requests == []


def test_a_run_killed_twice_answers_every_question_once(start: Start, mia: Mia, home: Home) -> None:
    mia(*arguments(home))
    undisturbed = remembered(home), answers(home)
    (home.data / "memory.db").unlink()
    (home.data / "journal.db").unlink()
    player = Holds(3, 6)
    with Served(player) as server:
        home.configure(server.url)
        for number in (3, 6):
            process = start(*arguments(home))
            server.wait_for(lambda number=number: number in player.reached)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert len(entries(home)) == number - 1
        last = start(*arguments(home))
        _, err = last.communicate(timeout=60)
        assert last.returncode == 0, err
        assert server.asked_to_plan() == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8]
    assert (remembered(home), answers(home)) == undisturbed


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_any_moment_answers_every_question_once(
    start: Start, mia: Mia, home: Home, seed: int
) -> None:
    mia(*arguments(home))
    undisturbed = remembered(home), answers(home)
    (home.data / "memory.db").unlink()
    (home.data / "journal.db").unlink()
    luck, code = random.Random(seed), None
    for _ in range(40):
        process = start(*arguments(home))
        with contextlib.suppress(TimeoutExpired):
            code = process.wait(timeout=luck.uniform(0.8, 2.0))
            break
        process.kill()
        process.wait()
    assert code == 0
    assert (remembered(home), answers(home)) == undisturbed


def test_what_was_written_but_not_remembered_is_remembered_when_the_run_goes_on(
    mia: Mia, home: Home
) -> None:
    mia(*arguments(home), "--limit", "2")
    both = remembered(home)
    (home.data / "memory.db").unlink()
    with closing(sqlite3.connect(home.data / "journal.db")) as db, db:
        db.execute("UPDATE episode SET remembered = NULL")
    mia(*arguments(home), "--limit", "2")
    assert remembered(home) == both


def test_an_interrupted_run_says_how_to_go_on_and_keeps_nothing_half_done(
    start: Start, home: Home
) -> None:
    player = Holds(3)
    with Served(player) as server:
        home.configure(server.url)
        process = start(*arguments(home))
        server.wait_for(lambda: 3 in player.reached)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "stopped after 2 of 8; the same command goes on from there" in err
    assert "Traceback" not in err
    assert answers(home) == ["kind 1", "kind 2"]


def test_a_run_that_goes_on_elsewhere_is_left_alone(start: Start, mia: Mia, home: Home) -> None:
    player = Holds(2)
    with Served(player) as server:
        home.configure(server.url)
        first = start(*arguments(home))
        server.wait_for(lambda: 2 in player.reached)
        said = mia(*arguments(home))
        assert said.code == 5 and "another process is going on with run 'drill'" in said.err
        assert server.asked_to_plan() == [1, 2]
        first.kill()
        first.communicate()
        assert mia(*arguments(home)).code == 0
    assert answers(home) == [f"kind {n}" for n in range(1, 9)]
