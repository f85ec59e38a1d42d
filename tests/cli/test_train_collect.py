"""`mia train collect`: every question once, whatever becomes of the process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from msgspec.structs import replace
from tests.cli.playing import Home, Served, item
from tests.cli.test_pictures import describes, is_caption, painted

from mia.memories.workflow.sqlite import SqliteStore
from mia.pictures import Pictures
from mia.testing import Fault, Received, faults
from mia.training.exercises import read_exercises, write_exercises
from mia.types import Note, Recollection

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]
IDS = [f"q{n}" for n in range(1, 9)]
CALL = '<tool_call>{"name": "search", "arguments": {"query_list": ["item"]}}</tool_call>'


def acts(request: Received) -> bool:
    """Who speaks in tags is told where to stop."""
    return "stop" in (request.body or {})


def plans(request: Received) -> bool:
    body = request.body or {}
    return "messages" in body and "response_format" not in body and not acts(request)


def speaks(request: Received) -> Fault:
    """Plans, searches once, answers `kind N`, in tags; is content from item 2 on."""
    body, number = request.body or {}, item(request)
    if "messages" not in body:
        return Fault()
    if "response_format" in body:
        return faults.ok(json.dumps({"goal_met": number > 1, "reason": f"item {number}"}))
    if plans(request):
        return faults.ok(f"1. Search for item {number}.")
    if any(message["role"] == "assistant" for message in body["messages"]):
        return faults.ok(f"<answer>kind {number if number < 8 else 0}</answer>")
    return faults.ok(CALL)


class Holds:
    """Speaks, but leaves the first request for a plan of an item without an answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.reached = False

    def __call__(self, request: Received) -> Fault:
        if plans(request) and item(request) == self.number and not self.reached:
            self.reached = True
            return faults.silence()
        return speaks(request)


@pytest.fixture
def served(home: Home) -> Any:
    with Served(speaks) as server:
        home.configure(server.url)
        yield server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.furnish()
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exercises.jsonl"


def planned(server: Served) -> list[int]:
    """The items of all requests for a plan."""
    return [item(request) for request in server.requests if plans(request)]


def command(home: Home, out: Path, *more: str) -> tuple[str, ...]:
    return ("train", "collect", "--data", str(home.questions), "--corpus", str(home.corpus),
            "--out", str(out), "--concurrency", "1", *more)  # fmt: skip


def ids(out: Path) -> list[str]:
    return [exercise.question.id for exercise in read_exercises(out)]


def test_questions_become_exercises_in_their_order_and_memory_does_not_grow(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    said = mia(*command(home, out, "--concurrency", "3"))
    assert said.code == 0 and said.out == f"8 exercises in {out}\n"
    every = read_exercises(out, gold=True)
    assert [exercise.question.id for exercise in every] == IDS
    assert [e.plan and e.plan.text for e in every] == [
        f"1. Search for item {n}." for n in range(1, 9)
    ]
    assert all(e.exchanges == () and e.correct is None for e in every)
    assert sorted(planned(served)) == list(range(1, 9)) and not any(map(acts, served.requests))
    with SqliteStore(home.data / "memory.db") as store:
        assert list(store.all()) == []


def test_for_a_planner_no_plan_is_asked_for(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    assert mia(*command(home, out, "--stage", "planner")).code == 0
    assert all(exercise.plan is None for exercise in read_exercises(out))
    assert planned(served) == []


def test_memory_helps_with_all_but_a_questions_own_task(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    own = "[memory]\nexclude_same_task = false\nwithhold = 1.0"
    home.configure(served.url, '[executor]\nkind = "react"\nprotocol = "text"\n' + own)
    when = ("spring", "summer", "autumn", "winter")
    rows = [
        {"question": f"What colour is item {n} that the old woman found in Rovigo in {season}?",
         "id": f"q{n}", "answer": f"kind {n}", "task": f"t{n % 2}"}
        for n, season in enumerate(when, 1)
    ]  # fmt: skip
    home.questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert mia("stream", str(home.questions), "--corpus", str(home.corpus)).code == 0
    assert mia(*command(home, out, "--stage", "planner")).code == 0
    recalled = [(e.question, item.workflow) for e in read_exercises(out)
                for item in (*e.recollection.successes, *e.recollection.failures)]  # fmt: skip
    assert recalled and all(question.task != workflow.task for question, workflow in recalled)


def test_of_whole_runs_every_word_is_kept_as_the_endpoint_saw_and_said_it(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    said = mia(*command(home, out, "--runs", "--json"))
    came = json.loads(said.out)
    assert (said.code, came["collected"], came["judged"], came["correct"]) == (0, 8, 8, 7)
    every = read_exercises(out)
    assert [exercise.correct for exercise in every] == [True] * 7 + [False]
    kept = [each for exercise in every for each in exercise.exchanges]
    seen = [request for request in served.requests if "messages" in (request.body or {})]
    assert came["exchanges"] == len(kept) == len(seen) > 8 * 4
    for exchange, request in zip(kept, seen, strict=True):
        asked = [(m["role"], m["content"]) for m in request.body["messages"]]
        assert [(m.role, m.content) for m in exchange.messages] == asked
        assert exchange.reply == replied(request)
    stages = [(each.role, each.stage) for each in every[0].exchanges]
    assert stages[0] == ("planner", "plan") and ("planner", "replan") in stages
    assert ("planner", "replan") not in [(e.role, e.stage) for e in every[1].exchanges]
    with SqliteStore(home.data / "memory.db") as store:
        assert list(store.all()) == []


def replied(request: Received) -> str:
    """What the endpoint says to a request."""
    return json.loads(speaks(request).body or b"")["choices"][0]["message"]["content"]


def test_who_names_nothing_to_search_is_told_what_is_searched(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    shorter = ("train", "collect", "--data", str(home.questions), "--limit", "1")
    for more, told in (((), False), (("--runs",), True)):
        said = mia(*shorter, "--out", f"{out}{told}", *more)
        assert ("is the demo's corpus" in said.err) is told
    assert "demo" not in mia(*command(home, out, "--limit", "1", "--runs")).err


def test_pictures_are_described_for_those_who_cannot_see(
    mia: Mia, home: Home, tmp_path: Path, out: Path
) -> None:
    painted(tmp_path / "box.png", 1)
    row = {"question": "What colour is item 3?", "id": "a", "image": "box.png"}
    home.questions.write_text(json.dumps(row))
    with Served(describes) as server:
        home.configure(server.url)
        text = home.config.read_text().replace('model = "toy"\n', 'model = "toy"\nsees = true\n', 1)
        home.config.write_text(text)
        assert mia(*command(home, out)).code == 0
        assert sum(map(is_caption, server.requests)) == 1
    (exercise,) = read_exercises(out)
    assert exercise.question.caption == "A tin box."
    assert Pictures(home.data / "pictures").bytes(exercise.question.pictures[0])


def test_a_collection_that_is_killed_goes_on_where_it_stopped(
    start: Start, mia: Mia, home: Home, served: Served, out: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed.jsonl"
    mia(*command(home, undisturbed, "--runs"))
    player = Holds(4)
    with Served(player) as server:
        home.configure(server.url)
        process = start(*command(home, out, "--runs"))
        server.wait_for(lambda: player.reached)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not out.exists()
        said = mia(*command(home, out, "--runs"))
        assert said.code == 0 and "3 of 8 are collected; going on" in said.err
        first_plans = [item(r) for r in server.requests if plans(r) and not replans(r)]
        assert first_plans == [1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert read_exercises(out) == read_exercises(undisturbed)


def replans(request: Received) -> bool:
    return any(message["role"] == "assistant" for message in (request.body or {})["messages"])


def test_what_is_collected_is_not_asked_again_and_a_longer_limit_goes_on(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    for limit, whole in (("3", 3), ("3", 3), ("5", 5)):
        assert mia(*command(home, out, "--limit", limit)).code == 0
        assert ids(out) == IDS[:whole]
    assert planned(served) == [1, 2, 3, 4, 5]


def test_a_question_that_fails_is_data_and_tried_again_the_next_time(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    def player(request: Received) -> Fault:
        return faults.status(400) if item(request) == 2 and plans(request) else speaks(request)

    with Served(player) as server:
        home.configure(server.url)
        same = home.config.read_text()
        said = mia(*command(home, out))
        assert said.code == 0 and "1 of 8 failed; the same command tries them again" in said.err
        assert "failed: q2: " in said.err and ids(out) == [id for id in IDS if id != "q2"]
        came = json.loads(mia(*command(home, out, "--json")).out)
        assert (came["collected"], came["failed"], came["faults"][0][:3]) == (7, 1, "q2:")
        assert planned(server).count(2) == 2 and planned(server).count(1) == 1
        assert home.config.read_text() == same


def test_where_all_fails_nothing_is_written(mia: Mia, home: Home, out: Path) -> None:
    with Served(lambda _: faults.status(400)) as server:
        home.configure(server.url)
        said = mia(*command(home, out))
    assert said.code == 4 and "nothing could be collected; q1: " in said.err
    assert not out.exists()


@pytest.mark.parametrize("other", [("--runs",), ("--stage", "planner"), ("--namespace", "n")])
def test_a_collection_is_not_gone_on_with_under_other_settings(
    mia: Mia, home: Home, served: Served, out: Path, other: tuple[str, ...]
) -> None:
    mia(*command(home, out, "--limit", "1"))
    before = out.read_bytes(), len(served.requests)
    said = mia(*command(home, out, *other))
    assert said.code == 2 and "begun with other questions or settings" in said.err
    assert (out.read_bytes(), len(served.requests)) == before


def test_without_a_name_each_collection_has_its_own(mia: Mia, home: Home, served: Served) -> None:
    given = ("train", "collect", "--data", str(home.questions), "--limit", "1")
    for more in ((), (), ("--stage", "planner")):
        assert mia(*given, *more).code == 0
    files = sorted((home.data / "exercises").glob("questions-*.jsonl"))
    assert len(files) == 2 and planned(served) == [1]


def test_a_file_of_somebody_else_is_left_alone(mia: Mia, home: Home, served: Served) -> None:
    before = home.corpus.read_bytes()
    said = mia(*command(home, home.corpus))
    assert said.code == 2 and "is there already" in said.err
    assert home.corpus.read_bytes() == before and served.requests == []


def test_a_bad_row_is_named_before_anything_is_asked(
    mia: Mia, home: Home, served: Served, out: Path
) -> None:
    with home.questions.open("a") as file:
        file.write('{"question": ""}')
    said = mia(*command(home, out))
    assert said.code == 2 and f"{home.questions} row 9: " in said.err and served.requests == []


def test_what_was_collected_before_is_collected_anew_from_an_exercise_file(
    mia: Mia, home: Home, served: Served, out: Path, tmp_path: Path
) -> None:
    mia(*command(home, out, "--limit", "2"))
    stale = [replace(e, recollection=Recollection(notes=(Note(text="old"),)), correct=True)
             for e in read_exercises(out)]  # fmt: skip
    from_it = tmp_path / "from.jsonl"
    write_exercises(from_it, stale)
    again = tmp_path / "again.jsonl"
    assert mia("train", "collect", "--data", str(from_it), "--out", str(again)).code == 0
    assert read_exercises(again) == read_exercises(out)


def test_an_interrupted_collection_says_how_to_go_on(start: Start, home: Home, out: Path) -> None:
    player = Holds(3)
    with Served(player) as server:
        home.configure(server.url)
        process = start(*command(home, out))
        server.wait_for(lambda: player.reached)
        process.send_signal(signal.SIGINT)
        printed, err = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    assert "stopped after 2 of 8; the same command goes on from there" in err
    assert "Traceback" not in err


def test_a_collection_that_goes_on_elsewhere_is_left_alone(
    start: Start, mia: Mia, home: Home, out: Path
) -> None:
    player = Holds(2)
    with Served(player) as server:
        home.configure(server.url)
        first = start(*command(home, out))
        server.wait_for(lambda: player.reached)
        said = mia(*command(home, out))
        assert said.code == 5 and f"another process is collecting {out}" in said.err
        assert planned(server) == [1, 2]
        first.kill()
        first.communicate()
        assert mia(*command(home, out)).code == 0
    assert ids(out) == IDS
