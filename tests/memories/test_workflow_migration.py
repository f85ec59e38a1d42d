"""Files of older versions: everything in them is kept, and an upgrade is whole or not at all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.memories.making import a_workflow

from mia.errors import StoreError
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import as_of
from mia.memories.workflow.migrations import APPLICATION, MIGRATIONS, Step, migrate
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import Remembered, Workflow

GOLDEN = Path(__file__).with_name("golden")
KNOWN = msgspec.json.Decoder(Workflow)


def build(path: Path, version: int = 1) -> None:
    """A file as that version wrote it."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript((GOLDEN / f"v{version}.sql").read_text(encoding="utf-8"))


def rows_of(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def contents(path: Path) -> list[tuple[object, ...]]:
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    return [
        (name, *row)
        for (name,) in rows_of(path, tables)
        for row in rows_of(path, f"SELECT * FROM {name}")
    ]


def test_a_file_of_version_1_keeps_its_meaning_row_for_row(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    build(path)
    bodies = rows_of(path, "SELECT body FROM workflows ORDER BY created DESC, seq DESC")
    workflows = tuple(KNOWN.decode(str(body)) for (body,) in bodies)
    absorbed = rows_of(path, "SELECT namespace, episode, body FROM absorbed")
    vectors = rows_of(
        path,
        "SELECT workflow, question, template, caption FROM vectors WHERE embedder = 'other-64'",
    )
    assert (len(workflows), len(absorbed), len(vectors)) == (6, 6, 4)
    with SqliteStore(path) as store:
        assert store.check() == 6
        assert store.all() == workflows
        for namespace, episode, body in absorbed:
            decided = store.read(lambda rows, at=(namespace, episode): rows.absorbed(*at))
            assert decided == msgspec.json.decode(str(body), type=Remembered)
        kept = store.read(lambda rows: dict(rows.vectors.all()))
        for id, question, template, caption in vectors:
            found = kept.pop(str(id))
            assert (found.question.tobytes(), found.template.tobytes()) == (question, template)
            assert (None if found.caption is None else found.caption.tobytes()) == caption
        assert kept == {}
        assert store.read(lambda rows: rows.vectors.made_by()) == ("other-64", 64)
        missing = store.read(lambda rows: rows.vectors.missing("default", "other-64"))
        assert [workflow.id for workflow in missing] == ["late"]


def test_episodes_of_version_1_are_sources(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    build(path)
    with SqliteStore(path) as store:
        first = store.read(lambda rows: rows.sources("01K00000000000000000000001"))
        assert {source.episode for source in first} == {
            "episode of Heat",
            "episode of Alien",
            "episode of Jaws",
        }
        (own,) = (source for source in first if source.episode == "episode of Alien")
        assert (own.question_id, own.judge) == ("question of Alien", "exact_match")
        assert own.domains == ("wiki.example",)


def test_sources_of_version_4_are_read_from_the_log(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    build(path, 4)
    known = rows_of(path, "SELECT workflow, digest, body FROM sources")
    assert len(known) == 7
    with SqliteStore(path) as store:
        assert store.check() == 3
        found = [
            (id, digest, source.raw.decode())
            for id in ("w1", "w2", "w3")
            for _, digest, source in store.read(lambda rows, id=id: list(rows.all_sources(id)))
        ]
        assert sorted(found) == sorted(known)
        assert forget(store, "default", Choice(episodes=("good",))).unmerged[0].id == "w1"
        assert store.check() == 3
    assert rows_of(path, "SELECT name FROM sqlite_schema WHERE name = 'sources'") == []


def test_the_log_begins_with_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    build(path)
    with SqliteStore(path) as store:
        upgraded = store.read(lambda rows: rows.log.head().seq)
        before = set(store.all())
        store.delete("late")
        assert set(as_of(store, upgraded).workflows) == before


@pytest.mark.parametrize("at", range(len(MIGRATIONS[1]) + 1))
def test_an_upgrade_that_dies_at_any_step_leaves_the_old_file(tmp_path: Path, at: int) -> None:
    def dies(_: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "memory.sqlite"
    build(path)
    before = contents(path)
    steps: list[Step] = [*MIGRATIONS[1][:at], dies, *MIGRATIONS[1][at:]]
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(KeyboardInterrupt):
            migrate(db, path, (MIGRATIONS[0], steps))
    assert contents(path) == before
    assert rows_of(path, "PRAGMA user_version") == [(1,)]
    with SqliteStore(path) as store:
        assert store.check() == 6


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE workflows SET wins = 9 WHERE seq = 1",
        "UPDATE workflows SET body = replace(body, 'director', 'producer') WHERE seq = 1",
        "UPDATE vectors SET template = zeroblob(256) WHERE embedder = 'other-64'",
        "UPDATE absorbed SET crc = crc + 1",
    ],
)
def test_a_damaged_file_is_not_upgraded(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "memory.sqlite"
    build(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    before = contents(path)
    with pytest.raises(StoreError, match="damaged"):
        SqliteStore(path)
    assert contents(path) == before


def test_the_old_file_is_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    build(path)
    before = contents(path)
    SqliteStore(path).close()
    assert contents(tmp_path / "memory.sqlite.v1.bak") == before


def test_a_migration_backs_up_first_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        store.add([a_workflow()])
    newer = (*MIGRATIONS, ("ALTER TABLE workflows ADD COLUMN mood TEXT",))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, newer)
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert connection.execute("SELECT id, mood FROM workflows").fetchall() == [("w1", None)]
    backup = tmp_path / f"memory.sqlite.v{len(MIGRATIONS)}.bak"
    with SqliteStore(backup) as store:
        assert store.get("w1") == a_workflow()


def test_a_new_file_is_marked_and_not_backed_up(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    SqliteStore(path).close()
    assert rows_of(path, "PRAGMA application_id") == [(APPLICATION,)]
    assert not list(tmp_path.glob("*.bak*"))


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    SqliteStore(path).close()
    rows_of(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer MIA \(schema 99.*the way it was installed"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE episodes (id TEXT)")
    with pytest.raises(StoreError, match="another program"):
        SqliteStore(path)
    text = tmp_path / "notes.txt"
    text.write_text("not a database, whatever its name says" * 40)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        SqliteStore(text)
