"""`mia eval`: methods beside each other, begun, killed, gone on with and reported."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from tests.cli.playing import Home

from mia.evaluate import Folder, Results, Size

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]
METHODS = "none,rag,memento,mia,only-memory,only-plan,memory-for-planner,plus-reflect,placebo"


def asked(home: Home, *more: str) -> tuple[str, ...]:
    corpus = ("--corpus", str(home.corpus))
    return ("eval", "--data", str(home.questions), *corpus, "--name", "trial", *more)


def results(home: Home) -> Results:
    return Folder(home.data / "evaluations" / "trial").results()


def test_methods_are_asked_the_same_and_compared(mia: Mia, home: Home) -> None:
    said = mia(*asked(home, "--methods", METHODS, "--json"))
    assert said.code == 0, said.err
    summary = json.loads(said.out)
    assert [row["method"] for row in summary["rows"]] == METHODS.split(",")
    found = results(home)
    for done in found.arms:
        assert [e.episode.answer for e in done.entries] == [f"kind {n}" for n in range(1, 9)]
        assert all(entry.remembered is not None for entry in done.entries)
    kept = {done.arm.method: done.size.memories if done.size else None for done in found.arms}
    assert kept["none"] is None and kept["rag"] == kept["memento"] == kept["mia"] == 8
    for done in found.arms:
        if done.size is not None:
            file = Folder(home.data / "evaluations" / "trial").memories / f"{done.arm.method}-0.db"
            assert done.size.bytes == file.stat().st_size, "as it lies there when all is folded"
    assert not (home.data / "memory.db").exists(), "the user's own memory is left alone"


def test_who_plans_and_who_reflects_is_the_methods(mia: Mia, home: Home) -> None:
    assert mia(*asked(home, "--methods", METHODS)).code == 0
    by_method = {done.arm.method: [e.episode for e in done.entries] for done in results(home).arms}
    for method, episodes in by_method.items():
        planned = [episode.plan is not None and episode.plan.usage.calls for episode in episodes]
        reflected = [e.reflection is not None and e.reflection.usage.calls for e in episodes]
        assert all(planned) == (method not in ("none", "rag", "only-memory")), method
        assert all(reflected) == (method in ("memento", "mia", "plus-reflect", "placebo")), method
    shown = [episode.plan.text for episode in by_method["rag"] if episode.plan is not None]
    assert "Note 1" not in shown[0] and "Note 1" in shown[-1]


def test_seeds_shuffle_all_but_a_warm_up(mia: Mia, home: Home) -> None:
    said = mia(*asked(home, "--methods", "none,frozen", "--seed", "0,1", "--warm", "3"))
    assert said.code == 0, said.err
    arms = {(done.arm.method, done.arm.seed): done for done in results(home).arms}
    orders = {seed: arms["none", seed].arm.order for seed in (0, 1)}
    assert arms["frozen", 1].arm.order == orders[1] != orders[0]
    assert sorted(orders[1][:3]) == sorted(orders[0][:3])
    assert arms["frozen", 0].size is not None and arms["frozen", 0].size.memories == 3


def test_a_killed_evaluation_goes_on_by_its_name_alone(mia: Mia, home: Home, start: Start) -> None:
    process = start(*asked(home, "--methods", "none,mia", "--concurrency", "1"))
    folder = Folder(home.data / "evaluations" / "trial")
    while not folder.begun or sum(len(done.entries) for done in folder.results().arms) < 3:
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {e.episode.id for done in results(home).arms for e in done.entries}
    assert 3 <= len(before) < 16
    said = mia("eval", "--resume", "trial")
    assert said.code == 0, said.err
    after = [e.episode.id for done in results(home).arms for e in done.entries]
    assert len(after) == len(set(after)) == 16 and before <= set(after)


def test_it_goes_on_from_any_folder(
    mia: Mia, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home.questions.parent)
    corpus = ("--corpus", str(home.corpus.relative_to(home.questions.parent)))
    name = ("--methods", "none", "--limit", "1", "--name", "trial")
    assert mia("eval", "--data", home.questions.name, *corpus, *name).code == 0
    monkeypatch.chdir(tmp_path.parent)
    assert mia("eval", "--resume", "trial").code == 0


def test_a_judge_that_cannot_be_had_is_told_before_anything_begins(mia: Mia, home: Home) -> None:
    settings = home.config.read_text()
    named = settings.replace("[models.default]", "[models.planner]")
    (at,) = (part for part in settings.split("[") if part.startswith("models.default"))
    executor = at.replace("models.default]", "[models.executor]")
    home.config.write_text(f"{named}\n{executor}")
    said = mia(*asked(home, "--methods", "none", "--judge", "reference"))
    assert said.code == 2 and "the reference judge needs an endpoint" in said.err
    assert not (home.data / "evaluations").exists()


def test_ctrl_c_says_how_to_go_on(home: Home, start: Start) -> None:
    process = start(*asked(home, "--methods", "mia"))
    folder = Folder(home.data / "evaluations" / "trial")
    while not folder.begun or not folder.results().arms[0].entries:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "mia eval --resume trial goes on from there" in err
    assert "Traceback" not in err


def test_more_methods_may_join_but_not_other_questions(mia: Mia, home: Home) -> None:
    assert mia(*asked(home, "--methods", "none", "--limit", "4")).code == 0
    assert mia(*asked(home, "--methods", "none,mia", "--limit", "4")).code == 0
    assert [len(done.entries) for done in results(home).arms] == [4, 4]
    said = mia(*asked(home, "--methods", "none", "--limit", "5"))
    assert said.code == 2 and "begun with other questions;" in said.err
    said = mia(*asked(home, "--methods", "none", "--limit", "4", "--judge", "reference"))
    assert said.code == 2 and "begun with other settings" in said.err


def test_what_was_asked_for_before_goes_on_and_is_told(mia: Mia, home: Home) -> None:
    first = mia(*asked(home, "--methods", "none", "--limit", "2"))
    assert "trial: 2 questions, methods none\n" in first.err and "asked for before" not in first.err
    more = mia(*asked(home, "--methods", "closed", "--limit", "2"))
    assert "trial: 2 questions, methods none, closed\nnone: asked for before" in more.err


def test_arms_of_one_seed_have_one_order_and_of_one_name_one_warm_up(mia: Mia, home: Home) -> None:
    command = ("--methods", "none,frozen", "--seed", "0,1", "--warm", "3")
    assert mia(*asked(home, *command)).code == 0
    said = mia(*asked(home, "--methods", "mia", "--seed", "1"))
    assert said.code == 2 and "other orders of seed 1, by --warm" in said.err
    said = mia(*asked(home, "--methods", "frozen", "--warm", "5"))
    assert said.code == 2 and "other frozen, by its file or --warm" in said.err
    assert len(results(home).arms) == 4


@pytest.mark.parametrize("more", [("--methods", "mia"), ("--judge", "exact"), ("--name", "x")])
def test_going_on_takes_nothing_that_would_ask_for_something_else(
    mia: Mia, home: Home, more: tuple[str, ...]
) -> None:
    assert mia(*asked(home, "--methods", "none", "--limit", "1")).code == 0
    said = mia("eval", "--resume", "trial", *more)
    assert said.code == 2 and "--resume goes on with 'trial' as it was asked for" in said.err


def test_a_command_that_cannot_be_read_is_named(mia: Mia, home: Home) -> None:
    assert mia(*asked(home, "--methods", "none", "--limit", "1")).code == 0
    (home.data / "evaluations" / "trial" / "command.json").write_text("{")
    said = mia("eval", "--resume", "trial")
    assert said.code == 5 and "command.json: " in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(("limit", "told"), [("1", False), ("8", True)])
def test_a_spent_budget_is_told_where_there_was_more_to_ask(
    mia: Mia, home: Home, limit: str, told: bool
) -> None:
    options = ("--methods", "mia", "--limit", limit, "--budget", "0")
    assert ("the budget is spent" in mia(*asked(home, *options)).err) is told


def test_a_method_of_ones_own_is_a_file_with_two_functions(
    mia: Mia, home: Home, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "seen = []\n"
        "def recall(question):\n    return list(seen[-2:])\n"
        "def remember(episode):\n    seen.append(episode['question']['text'])\n"
    )
    said = mia(*asked(home, "--methods", f"none,{mine}"))
    assert said.code == 0, said.err
    (done,) = (done for done in results(home).arms if done.arm.method == str(mine))
    texts = [[note.text for note in e.episode.recollection.notes] for e in done.entries]
    questions = [entry.episode.question.text for entry in done.entries]
    assert texts == [questions[max(0, at - 2) : at] for at in range(8)]
    assert str(mine) not in said.err, "it goes by its name"
    assert done.size == Size(memories=None, bytes=0), "nobody but the file knows what it keeps"


def test_the_method_that_the_documents_show_works(mia: Mia, home: Home, tmp_path: Path) -> None:
    mine, documents = tmp_path / "mine.py", Path(__file__).parents[2] / "docs"
    (code,) = re.findall(r"```python\n(.*?)```", (documents / "evaluation.md").read_text(), re.S)
    mine.write_text(code)
    assert mia(*asked(home, "--methods", str(mine), "--limit", "4")).code == 0
    (done,) = results(home).arms
    told = [[note.text for note in e.episode.recollection.notes] for e in done.entries]
    answered = [f"{e.episode.question.text} {e.episode.answer}" for e in done.entries]
    assert told == [[], answered[:1], answered[:2], answered[1:3]]


def test_nothing_is_written_beside_a_method_of_ones_own_and_at_its_end_it_may_go(
    mia: Mia, home: Home, tmp_path: Path
) -> None:
    mine = tmp_path / "ideas" / "mine.py"
    mine.parent.mkdir()
    mine.write_text("def recall(question):\n    return []\ndef remember(episode):\n    pass\n")
    command = ("--methods", f"none,{mine}", "--limit", "2")
    assert mia(*asked(home, *command)).code == 0
    assert not list(mine.parent.glob("*.json"))
    mine.unlink()
    assert mia("eval", "--resume", "trial").code == 0
    assert mia(*asked(home, "--methods", "none,mia", "--limit", "2")).code == 0
    assert [len(done.entries) for done in results(home).arms] == [2, 2, 2]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "there is no file"),
        ("def recall(question)", "cannot be loaded: expected ':'"),
        ("def recall(question): return []", "should have a function remember(episode)"),
    ],
)
def test_a_method_of_ones_own_that_cannot_be_run_is_no_part_of_the_evaluation(
    mia: Mia, home: Home, tmp_path: Path, code: str | None, reason: str
) -> None:
    mine = tmp_path / "mine.py"
    if code is not None:
        mine.write_text(code)
    said = mia(*asked(home, "--methods", f"none,{mine}", "--limit", "1"))
    assert said.code == 2 and reason in said.err and said.err.count("\n") == 1
    assert mia(*asked(home, "--methods", "none", "--limit", "1")).code == 0
    assert [done.arm.method for done in results(home).arms] == ["none"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--methods", "nine"), "there is no method 'nine'; there are none, rag"),
        (("--methods", "mia,frozen"), "say how long it is, with --warm"),
        (("--judge", "me"), "there is no judge 'me'; there are auto, exact"),
        (("--methods", ","), "--methods names none"),
        (("--seed", "one"), "--seed takes numbers"),
        (("--name", "../up"), "is no name"),
        (("--order", "nowhere.jsonl"), "no order of questions at"),
        (("--resume", "gone"), "there is no evaluation 'gone'"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    mia: Mia, home: Home, arguments: tuple[str, ...], reason: str
) -> None:
    said = mia("eval", "--data", str(home.questions), *arguments)
    assert (said.code, said.out) == (2, "")
    assert reason in said.err and said.err.count("\n") == 1


def test_without_data_it_says_what_to_type(mia: Mia) -> None:
    said = mia("eval")
    assert said.code == 2 and "--data" in said.err


def test_what_there_is_is_listed(mia: Mia, home: Home) -> None:
    assert mia(*asked(home, "--methods", "none", "--limit", "1")).code == 0
    listed = json.loads(mia("eval", "--list", "--json").out)
    assert listed["evaluations"] == ["trial"]
    assert "mia" in listed["methods"]
    assert "evaluations: trial" in mia("eval", "--list").out
