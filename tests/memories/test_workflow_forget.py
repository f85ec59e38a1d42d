"""Forgetting: all of it goes, and nothing else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.memories.making import a_query, a_workflow, ids, keep

from mia.errors import InputError, StoreError
from mia.memories.workflow.forget import Choice, Forgotten, Gone, forget
from mia.memories.workflow.history import restore, snapshot
from mia.memories.workflow.records import Source
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.types import Remembered, Workflow

SECRET = "zanzibar-7781"
EVIL = Choice(domains=("evil.example",))


def names(gone: Iterable[Gone]) -> list[str]:
    return [item.id for item in gone]


def evil(id: str, **changed: str) -> Workflow:
    return a_workflow(id, source_domains=("evil.example", "wiki.example"), **changed)


def on_disk(path: Path, text: str) -> list[str]:
    """The files of the database that have a text in them."""
    files = path.parent.glob(f"{path.name}*")
    return [file.name for file in files if text.encode() in file.read_bytes()]


def test_nothing_is_left_of_what_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        # some builds of SQLite overwrite what they delete; the others must do as well
        store.write(lambda rows: list(rows.session.rows("PRAGMA secure_delete = OFF")))
        for number in range(60):
            keep(store, a_workflow(f"w{number}", lesson="x" * 900))
        keep(store, evil("evil", summary=f"the answer is {SECRET}", question_id=SECRET))
        keep(store, evil("evil", summary=f"always {SECRET}"))
        for number in range(60, 90):
            keep(store, a_workflow(f"w{number}", lesson="x" * 900))
        assert on_disk(path, SECRET)
        done = forget(store, "default", EVIL)
        assert (names(done.direct), done.texts, done.scrubbed) == (["evil"], 2, True)
        assert on_disk(path, SECRET) == []
        assert store.check() == 90
        assert len(ids(store, a_query(1, limit=100))) == 90
    assert on_disk(path, SECRET) == []


def a_memory_with_a_secret(path: Path) -> None:
    """One workflow that has it in its text, one that merged an episode with it."""
    with SqliteStore(path) as store:
        for number in range(12):
            keep(store, a_workflow(f"w{number}"))
        keep(store, evil("evil", summary=f"the answer is {SECRET}", question_id=SECRET))
        source = Source(episode="bad", question_id=SECRET, domains=("evil.example",))
        store.write(lambda rows: rows.merge("w1", source))


BEHIND = {
    "where a text read": "UPDATE versions SET body = replace(body, 'evil', 'evim') WHERE seq = 25",
    "where an episode read": "UPDATE versions SET body = replace(body, 'il.', '.') WHERE seq = 27",
    "which entry a text is of": "UPDATE versions SET seq = 26 WHERE seq = 25",
    "a text less": "DELETE FROM versions WHERE seq = 27",
    "whose a merged episode is": "UPDATE log SET workflow = 'w2' WHERE action = 'merge'",
    "what an entry did": "UPDATE log SET action = 'nerge' WHERE action = 'merge'",
    "which namespace an entry is of": "UPDATE log SET namespace = 'defaulu' WHERE seq = 25",
    "who influenced a text": "UPDATE log SET detail = replace(detail, 'parents', 'qarents')",
    "an entry less": "DELETE FROM log WHERE seq = 27",
    "the tail": "DELETE FROM log WHERE seq >= 27",
    "which workflow a row is of": "UPDATE workflows SET id = 'evim' WHERE id = 'evil'",
}


@pytest.mark.parametrize("what", BEHIND)
def test_what_damage_would_hide_from_forgetting_is_an_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "memory.sqlite"
    a_memory_with_a_secret(path)
    with SqliteStore(path) as store:
        keep(store, a_workflow("child", parents=("evil",)))
        with closing(sqlite3.connect(path)) as db, db:
            assert db.execute(BEHIND[what]).rowcount > 0
        with pytest.raises(StoreError):
            forget(store, "default", EVIL)


def test_no_flipped_bit_makes_forgetting_miss_anything_in_silence(tmp_path: Path) -> None:
    a_memory_with_a_secret(tmp_path / "whole")
    whole = (tmp_path / "whole").read_bytes()
    luck = random.Random(7)
    done = 0
    for number in range(80):
        path = tmp_path / f"{number}.sqlite"
        damaged = bytearray(whole)
        damaged[luck.randrange(len(whole))] ^= 1 << luck.randrange(8)
        path.write_bytes(damaged)
        try:
            with SqliteStore(path) as store:
                told = forget(store, "default", EVIL)
        except StoreError:
            continue
        done += 1
        assert (names(told.direct), names(told.unmerged)) == (["evil"], ["w1"])
        assert on_disk(path, SECRET) == []
    assert done > 10


def test_a_dry_run_tells_the_same_and_changes_nothing(store: Store) -> None:
    keep(store, evil("evil"))
    keep(store, a_workflow("child", parents=("evil",)))
    keep(store, a_workflow("merged"))
    source = Source(episode="e", domains=("evil.example",))
    store.write(lambda rows: rows.merge("merged", source))
    before, head = store.all(), store.read(lambda rows: rows.log.head())
    told = forget(store, "default", EVIL, dry_run=True)
    assert (store.all(), store.read(lambda rows: rows.log.head())) == (before, head)
    done = forget(store, "default", EVIL)
    assert done == replace(told, scrubbed=True)
    assert names(done.direct) == ["evil"]
    assert names(done.descendants) == ["child"]
    assert names(done.unmerged) == ["merged"]
    assert "evil.example" in done.direct[0].why
    assert "under the influence of evil" in done.descendants[0].why


def test_descendants_of_every_generation_go_too(store: Store) -> None:
    keep(store, evil("evil"))
    keep(store, a_workflow("child", parents=("other", "evil")))
    keep(store, a_workflow("grandchild", parents=("child",)))
    keep(store, a_workflow("stranger", parents=("other",)))
    store.delete("child")
    done = forget(store, "default", EVIL)
    assert names(done.descendants) == ["child", "grandchild"]
    assert [workflow.id for workflow in store.all()] == ["stranger"]
    assert store.check() == 1


def test_influence_is_that_of_the_text_of_then(store: Store) -> None:
    keep(store, evil("parent"))
    keep(store, a_workflow("early", parents=("parent",)))
    keep(store, a_workflow("parent", summary="clean"))
    keep(store, a_workflow("late", parents=("parent",)))
    done = forget(store, "default", EVIL)
    assert names(done.descendants) == ["early"]
    assert names(done.unmerged) == ["parent"]
    assert {workflow.id for workflow in store.all()} == {"parent", "late"}


def test_a_workflow_that_replaced_its_own_parent_descends_from_it(store: Store) -> None:
    keep(store, evil("w1"))
    store.write(lambda rows: rows.put(a_workflow("w1", summary="shorter"), parents=("w1",)))
    done = forget(store, "default", EVIL)
    assert names(done.descendants) == ["w1"]
    assert store.count() == 0


def test_what_was_restored_descends_from_what_it_was(store: Store) -> None:
    keep(store, evil("evil"))
    keep(store, a_workflow("child", parents=("evil",)))
    snapshot(store, "then")
    store.delete("child")
    restore(store, "then")
    assert names(forget(store, "default", EVIL).descendants) == ["child"]


def test_a_workflow_that_only_merged_an_episode_loses_that_episode(store: Store) -> None:
    keep(store, a_workflow("w1"))
    bad = Source(episode="bad", domains=("evil.example",))
    good = Source(episode="good", domains=("wiki.example",))
    for source in (bad, good):
        store.write(lambda rows, source=source: rows.merge("w1", source))
    forget(store, "default", EVIL)
    left = {source.episode for source in store.read(lambda rows: rows.sources("w1"))}
    assert left == {"good", "episode of w1"}
    assert store.check() == 1


@pytest.mark.parametrize(
    ("choice", "gone"),
    [
        (Choice(domains=("example",)), {"a", "b", "c"}),
        (Choice(domains=("B.example",)), {"b"}),
        (Choice(domains=("wwwb.example",)), set()),
        (Choice(episodes=("episode of a",)), {"a"}),
        (Choice(judges=("panel",)), {"c"}),
        (Choice(workflows=("a", "c", "nobody")), {"a", "c"}),
        (Choice(judges=("panel",), workflows=("a",)), {"a", "c"}),
        (Choice(since=datetime(2026, 5, 2)), {"b", "c"}),
        (Choice(since=datetime(2026, 5, 9, tzinfo=UTC)), set()),
    ],
)
def test_what_is_chosen_goes(tmp_path: Path, choice: Choice, gone: set[str]) -> None:
    days = iter((1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6))
    clock = lambda: datetime(2026, 5, next(days), tzinfo=UTC)  # noqa: E731
    with SqliteStore(tmp_path / "memory.sqlite", clock=clock) as store:
        keep(store, a_workflow("a", source_domains=("a.example",)))
        keep(store, a_workflow("b", source_domains=("www.b.example",)))
        keep(store, a_workflow("c", source_domains=("c.example",), verdict_kind="panel"))
        done = forget(store, "default", choice)
        assert set(names(done.direct)) == gone
        assert {workflow.id for workflow in store.all()} == {"a", "b", "c"} - gone


def test_other_namespaces_are_left_alone(store: Store) -> None:
    keep(store, evil("theirs", namespace="other"))
    assert forget(store, "default", EVIL) == Forgotten(
        direct=(), descendants=(), unmerged=(), pairs=(), texts=0, scrubbed=True
    )
    assert store.count("other") == 1


def test_a_forgotten_episode_does_not_come_back_by_itself(store: Store) -> None:
    keep(store, evil("evil"))
    decided = Remembered(decision="stored", reason="new", workflow_id="evil")
    store.write(lambda rows: rows.absorb("default", "episode of evil", decided))
    forget(store, "default", EVIL)
    assert store.read(lambda rows: rows.absorbed("default", "episode of evil")) == decided


def test_what_was_deleted_before_is_forgotten_too(store: Store) -> None:
    keep(store, evil("evil"))
    store.delete("evil")
    assert names(forget(store, "default", EVIL).direct) == ["evil"]
    assert names(forget(store, "default", EVIL).direct) == []
    assert store.check() == 0


def test_a_choice_of_nothing_is_refused(store: Store) -> None:
    with pytest.raises(InputError):
        forget(store, "default", Choice())


def test_files_that_cannot_be_scrubbed_are_told(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        keep(store, evil("evil"))
        store.backup(tmp_path / "memory.sqlite.mine.bak")
        done = forget(store, "default", EVIL)
        assert done.copies == (str(tmp_path / "memory.sqlite.mine.bak"),)
