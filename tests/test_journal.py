"""The journal: a question once in a run, everything there after reopening, damage named."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mia.errors import ConfigError, InputError, StoreError
from mia.journal import Journal, fingerprint
from mia.types import Episode, Question, Remembered, Usage

STORED = Remembered(decision="stored", reason="new", workflow_id="w1")
CHILD = """
import sys
from pathlib import Path
from mia.errors import StoreError
from mia.journal import Journal
from mia.types import Episode, Question
path, name = Path(sys.argv[1]), sys.argv[2]
journal = Journal(path)
journal.open_run("race", "same")
for number in range(30):
    for key in (f"{name}-{number}", f"shared-{number}"):
        try:
            journal.write("race", Episode(id=f"{name}-{key}", question=Question(text=key, id=key)))
            print(key)
        except StoreError as error:
            assert "has an episode" in str(error), error
"""


def episode(question: str, id: str = "") -> Episode:
    return Episode(
        id=id or f"e-{question}", question=Question(text=f"Who is {question}?", id=question)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with closing(Journal(path)) as opened:
        yield opened


def damage(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


async def test_a_question_has_one_episode_in_a_run(journal: Journal) -> None:
    first, second = journal.open_run("one", ""), journal.open_run("two", "")
    await first.append(episode("ann"))
    with pytest.raises(StoreError, match="'ann' has an episode in run 'one' already"):
        await first.append(episode("ann", "another"))
    await second.append(episode("ann", "e2"))
    assert [entry.episode.id for entry in first.entries()] == ["e-ann"]
    assert journal.count() == 2


async def test_a_file_opened_again_has_everything_in_the_order_it_came(path: Path) -> None:
    with closing(Journal(path)) as journal:
        run = journal.open_run("run", "config")
        for name in ("zoe", "ann", "bob"):
            await run.append(episode(name))
        await run.settle("e-ann", STORED)
    with closing(Journal(path)) as journal:
        entries = journal.open_run("run", "config").entries()
    assert [entry.episode for entry in entries] == [episode(name) for name in ("zoe", "ann", "bob")]
    assert [entry.remembered for entry in entries] == [None, STORED, None]


def test_a_run_is_not_gone_on_with_under_other_settings(journal: Journal) -> None:
    journal.open_run("run", "five passages")
    with pytest.raises(ConfigError, match="'run' was begun with other settings"):
        journal.open_run("run", "six passages")
    journal.open_run("other", "six passages")


def test_an_episode_is_found_by_its_id_and_by_its_question(journal: Journal, path: Path) -> None:
    for run in ("one", "two"):
        journal.open_run(run, "")
        journal.write(run, episode("ann", f"{run}-ann"))
    written = Episode(id="e7", question=Question(text="bob", id="bob"), version=7)
    journal.write("one", written)
    assert journal.episode("two-ann") == journal.answered("two", "ann") == episode("ann", "two-ann")
    assert journal.episode("e7") == journal.episode("e7", "one") == written
    assert journal.answered("one", "bob") == written and journal.answered("two", "bob") is None
    for id, run in (("e8", None), ("e7", "two")):
        with pytest.raises(InputError, match=f"no episode '{id}'"):
            journal.episode(id, run)
    damage(path, "UPDATE episode SET body = substr(body, 1, 20) WHERE id = 'e7'")
    for look in (lambda: journal.episode("e7"), lambda: journal.answered("one", "bob")):
        with pytest.raises(StoreError, match=r"episode e7 in .* is damaged"):
            look()


def test_a_damaged_row_is_named(journal: Journal, path: Path) -> None:
    journal.open_run("run", "")
    for name in ("ann", "bob"):
        journal.write("run", episode(name))
    damage(path, "UPDATE episode SET body = substr(body, 1, 20) WHERE question_id = 'bob'")
    with pytest.raises(StoreError, match=r"episode e-bob in .* is damaged"):
        journal.entries("run")


def test_a_row_that_is_whole_but_no_episode_is_named(journal: Journal, path: Path) -> None:
    journal.open_run("run", "")
    journal.write("run", episode("ann"))
    damage(path, 'UPDATE episode SET remembered = CAST(\'{"decision":"eaten"}\' AS BLOB)')
    with pytest.raises(StoreError, match=r"episode e-ann in .* cannot be read"):
        journal.entries("run")


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    Journal(path).close()
    damage(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"another version of MIA .schema 99"):
        Journal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\x00" + b"x" * 999]
)
def test_a_file_that_is_no_journal_is_named(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"journal\.db"):
        Journal(path)


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file"):
        Journal(tmp_path / "file" / "journal.db")


def test_two_processes_write_one_run_and_no_question_twice(path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(path)]
    children = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True)
        for name in ("left", "right")
    ]
    written: list[str] = []
    for child in children:
        with child:
            lines, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        written += lines.split()
    with closing(Journal(path)) as journal:
        kept = [entry.episode.question.id for entry in journal.entries("race")]
    assert sorted(kept) == sorted(written) and len(set(kept)) == 90


def test_only_one_goes_on_with_a_run_at_a_time(journal: Journal, path: Path) -> None:
    with closing(Journal(path)) as other, journal.alone("run"):
        with pytest.raises(StoreError, match="going on with run 'run'"), other.alone("run"):
            raise AssertionError
        with other.alone("another run"):
            pass
    with journal.alone("run"):
        pass


def test_a_fingerprint_is_equal_when_the_settings_are() -> None:
    assert fingerprint(Usage(calls=1), "a") == fingerprint(Usage(calls=1), "a")
    others = {fingerprint(Usage(calls=2), "a"), fingerprint(Usage(calls=1), "b"), fingerprint("a")}
    assert fingerprint(Usage(calls=1), "a") not in others and len(others) == 3
