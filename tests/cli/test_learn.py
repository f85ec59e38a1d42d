"""`mia learn`: every question once, answered and learned from, whatever becomes of the process."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import Popen
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home

from mia.journal import Journal
from mia.memories.workflow.sqlite import SqliteStore
from mia.report.learning import Standing
from mia.training.buffer import Outcome
from mia.types import decode

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]


def arguments(home: Home, *more: str) -> tuple[str, ...]:
    return ("learn", str(home.questions), "--corpus", str(home.corpus), "--name", "drill",
            "--set", "attempts=2", *more)  # fmt: skip


def unanswered(home: Home) -> Path:
    path = home.questions.with_name("unanswered.jsonl")
    rows = [msgspec.json.decode(line) for line in home.questions.read_bytes().splitlines()]
    bare = [{key: value for key, value in row.items() if key != "answers"} for row in rows]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, bare)))
    return path


def told(said: Any) -> tuple[list[Outcome], Standing]:
    assert said.code == 0, said.err
    *outcomes, standing = said.out.splitlines()
    return [decode(line, Outcome) for line in outcomes], decode(standing, Standing)


def test_each_question_is_answered_tried_out_and_remembered(mia: Mia, home: Home) -> None:
    outcomes, standing = told(mia(*arguments(home, "--json")))
    assert [one.answer for one in outcomes] == [f"kind {n}" for n in range(1, 9)]
    assert all(one.right and len(one.rewards) == 2 and one.kept for one in outcomes)
    (epoch,) = standing.epochs
    assert (epoch.right.successes, epoch.right.trials, standing.learns) == (8, 8, "memory")
    assert standing.exploring.calls >= 8 and standing.updates == 0
    with closing(Journal(home.data / "journal.db")) as journal:
        assert len(journal.entries("learn drill")) == 8 and journal.count() == 16
    with SqliteStore(home.data / "memory.db") as store:
        assert sum(1 for _ in store.all()) > 0


def test_people_are_told_how_it_went_and_what_learns(mia: Mia, home: Home) -> None:
    said = mia(*arguments(home))
    assert said.code == 0, said.err
    assert "behind an endpoint: only memory and plan memory learn" in said.err
    assert "100.0% of 8" in said.out and "oracle" in said.out and "median" in said.out


def test_without_right_answers_attempts_vote(mia: Mia, home: Home) -> None:
    bare = unanswered(home)
    command = ("learn", str(bare), "--corpus", str(home.corpus), "--name", "drill",
               "--set", "attempts=3", "--judge", "vote", "--limit", "3", "--json")  # fmt: skip
    outcomes, standing = told(mia(*command))
    assert [one.judged for one in outcomes] == [True] * 3
    assert standing.judge == "vote" and standing.agreed.trials == 3


def test_right_answers_stay_unseen_where_attempts_vote(mia: Mia, home: Home) -> None:
    outcomes, standing = told(mia(*arguments(home, "--judge", "vote", "--limit", "3", "--json")))
    assert all(one.right for one in outcomes) and standing.agreed.successes == 3
    with closing(Journal(home.data / "journal.db")) as journal:
        asked = [entry.episode.question for entry in journal.entries("learn drill")]
    assert asked and all(question.answers is None for question in asked)


def test_killed_anywhere_it_goes_on_and_nothing_is_done_twice(
    mia: Mia, home: Home, start: Start
) -> None:
    file = home.data / "learning" / "drill" / "attempted.db"
    for done in (2, 5):
        process = start(*arguments(home))
        while process.poll() is None and count(file) < done:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    outcomes, standing = told(mia(*arguments(home, "--json")))
    assert standing.done == 8 and len(outcomes) < 8
    with closing(Journal(home.data / "journal.db")) as journal:
        ids = [entry.episode.question.id for entry in journal.entries("learn drill")]
    assert sorted(ids) == sorted(set(ids)) and len(ids) == 8


def count(file: Path) -> int:
    """The questions that are noted; none while the file is just being made."""
    if not file.exists():
        return 0
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM attempted").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_a_run_that_is_over_tells_again_how_it_went(mia: Mia, home: Home) -> None:
    first = told(mia(*arguments(home, "--limit", "2", "--json")))[1]
    again, second = told(mia(*arguments(home, "--limit", "2", "--json")))
    assert again == [] and second == first


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--judge", "me"), "there is no judge 'me'; there are gold, panel, vote"),
        (("--preset", "nine"), "there is no preset 'nine'"),
        (("--guard", "kl=no"), "--guard kl=no"),
        (("--guard", "margin=2"), "are shares, 0 to 1"),
        (("--set", "attempts=1"), "no run can have this: attempts"),
        (("--name", "../up"), "is no name"),
        (("--order", "nowhere.jsonl"), "no order of questions at"),
    ],
)
def test_what_cannot_be_learned_is_said_in_one_line(
    mia: Mia, home: Home, more: tuple[str, ...], reason: str
) -> None:
    said = mia(*arguments(home, *more))
    assert (said.code, said.out) == (2, "")
    assert reason in said.err and said.err.count("\n") == 1
    assert not (home.data / "learning" / "drill" / "attempted.db").exists()


def test_questions_without_answers_need_another_judge(mia: Mia, home: Home) -> None:
    said = mia("learn", str(unanswered(home)), "--corpus", str(home.corpus))
    assert said.code == 2 and "8 questions have no right answer" in said.err
    assert "--judge vote" in said.err


def test_canary_questions_need_answers(mia: Mia, home: Home) -> None:
    said = mia(*arguments(home, "--canary", str(unanswered(home))))
    assert said.code == 2 and "8 canary questions have no answer" in said.err
