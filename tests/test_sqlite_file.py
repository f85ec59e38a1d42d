"""A small SQLite file: whole transactions, one version, errors that name it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mia.errors import StoreError
from mia.sqlite_file import SqliteFile

SCHEMA = """
CREATE TABLE fact (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE about (fact TEXT NOT NULL REFERENCES fact (name)) STRICT;
"""


def opened(path: Path | None, version: int = 1) -> SqliteFile:
    return SqliteFile(path, "the facts", SCHEMA, version=version, synchronous="FULL")


@pytest.fixture(params=["file", "memory"])
def facts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteFile]:
    with closing(opened(tmp_path / "a" / "facts.db" if request.param == "file" else None)) as file:
        yield file


def names(file: SqliteFile) -> list[str]:
    with file.reading() as db:
        return [name for (name,) in db.execute("SELECT name FROM fact ORDER BY name")]


def test_a_block_that_raises_has_written_nothing(facts: SqliteFile) -> None:
    with facts.writing() as db:
        db.execute("INSERT INTO fact VALUES ('kept')")
    with pytest.raises(KeyError), facts.writing() as db:
        db.execute("INSERT INTO fact VALUES ('lost')")
        raise KeyError
    assert names(facts) == ["kept"]


def test_what_sqlite_refuses_names_the_file_and_is_taken_back(facts: SqliteFile) -> None:
    with pytest.raises(StoreError, match=r"the facts.*FOREIGN KEY"), facts.writing() as db:
        db.execute("INSERT INTO fact VALUES ('lost')")
        db.execute("INSERT INTO about VALUES ('nothing')")
    assert names(facts) == []


def test_what_was_acknowledged_is_seen_by_others(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    with closing(opened(path)) as file, closing(opened(path)) as other:
        with file.writing() as db:
            db.execute("INSERT INTO fact VALUES ('kept')")
        assert names(other) == ["kept"]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_of_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "facts.db"
    opened(path, version=2).close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"the facts .*facts\.db was written .*schema 2.*knows 1"):
        opened(path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"the facts .*file/facts\.db"):
        opened(tmp_path / "file" / "facts.db")
