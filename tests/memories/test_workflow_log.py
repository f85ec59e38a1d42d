"""The log: whoever changes anything behind its back is found out."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.memories.making import a_workflow, credit, found_by, keep

from mia.errors import StoreError
from mia.memories.workflow.log import Entry, Head, chained
from mia.memories.workflow.records import Source
from mia.memories.workflow.sqlite import SqliteStore
from mia.types import Remembered

texts = st.text(max_size=12)
entries = st.builds(
    Entry,
    seq=st.integers(1, 1000),
    at=texts,
    namespace=texts,
    action=texts,
    workflow=st.none() | texts,
    reason=texts,
    digest=st.none() | texts,
    detail=texts,
    hash=st.just(""),
)


@given(entries, entries, st.sampled_from(["0" * 64, "f" * 64]))
def test_entries_that_differ_have_other_hashes(one: Entry, other: Entry, before: str) -> None:
    assert (chained(before, one) == chained(before, other)) == (one == other)
    assert chained("1" * 64, one) != chained(before, one)


@given(st.lists(entries, min_size=2, max_size=6), st.data())
def test_a_chain_without_one_of_its_entries_ends_otherwise(
    chain: list[Entry], data: st.DataObject
) -> None:
    def end(entries: list[Entry]) -> str:
        last = Head().hash
        for entry in entries:
            last = chained(last, entry)
        return last

    gone = data.draw(st.integers(0, len(chain) - 1))
    assert end(chain) != end([*chain[:gone], *chain[gone + 1 :]])


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one of everything."""
    path = tmp_path_factory.mktemp("lived") / "memory.sqlite"
    with SqliteStore(path) as store:
        keep(store, a_workflow("w1"))
        keep(store, a_workflow("w2"), found_by(0, 1, caption=(1,)))
        credit(store, "w1")
        store.add([a_workflow("w3"), a_workflow("w4")])
        store.delete("w4")
        store.set_trust("w2", "quarantined", "looks odd")
        source = Source(episode="another", domains=("a.example",))
        store.write(lambda rows: rows.merge("w1", source))
        kept = Remembered(decision="merged", reason="known", workflow_id="w1")
        store.write(lambda rows: rows.absorb("default", "another", kept))
        assert store.check() == 3
    return path


TAMPERING = {
    "a counter": "UPDATE workflows SET wins = 0  WHERE id = 'w1'",
    "trust": "UPDATE workflows SET trust = 'trusted' WHERE id = 'w2'",
    "a text": "UPDATE versions SET body = replace(body, 'film', 'play') WHERE seq = 1",
    "an erased text": "DELETE FROM versions WHERE seq = (SELECT max(seq) FROM versions)",
    "a row": "DELETE FROM workflows WHERE id = 'w3'",
    "vectors": "UPDATE vectors SET template = zeroblob(32) WHERE seq = 1",
    "no vectors": "DELETE FROM vectors WHERE seq = 1",
    "no note of missing vectors": "DELETE FROM unembedded",
    "a wrong note of missing vectors": "INSERT INTO unembedded VALUES (1, 'default')",
    "the embedder": "UPDATE meta SET value = 'other' WHERE name = 'embedder'",
    "the dimension": "UPDATE meta SET value = '7' WHERE name = 'dimension'",
    "a source": "UPDATE versions SET body = replace(body, 'a.example', 'b.example')",
    "a source less": "DELETE FROM versions WHERE body LIKE '%another%'",
    "whose a source is": "UPDATE log SET workflow = 'w2' WHERE action = 'merge'",
    "a text of no entry": "INSERT INTO versions SELECT 1000, body FROM versions WHERE seq = 1",
    "a decision": "UPDATE absorbed SET body = replace(body, 'merged', 'stored')",
    "a decision less": "DELETE FROM absorbed",
    "a reason": "UPDATE log SET reason = 'never mind' WHERE action = 'trust'",
    "a time": "UPDATE log SET at = '2020' WHERE seq = 3",
    "an entry less": "DELETE FROM log WHERE action = 'credit'",
    "the tail": "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)",
    "no log": "DELETE FROM log",
    "the head": "UPDATE meta SET value = '1 00' WHERE name = 'head'",
    "a snapshot": "INSERT INTO snapshots VALUES ('never', 1, '2026', 0)",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_whoever_changes_a_thing_behind_the_log_is_found_out(
    tmp_path: Path, lived: Path, what: str
) -> None:
    path = tmp_path / "memory.sqlite"
    shutil.copy(lived, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(TAMPERING[what])
    with SqliteStore(path) as store, pytest.raises(StoreError):
        store.check()


def test_a_row_with_all_its_checksums_put_right_is_found_out(tmp_path: Path, lived: Path) -> None:
    path, forged = tmp_path / "memory.sqlite", tmp_path / "forged.sqlite"
    shutil.copy(lived, path)
    with SqliteStore(forged) as store:
        keep(store, a_workflow("w1", uses=9, wins=9))
        (row,) = store.read(lambda rows: list(rows.all_columns()))
        seal = store.read(lambda rows: next(rows.session.rows("SELECT seal FROM workflows"))[0])
    assert row.seq == 1
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE workflows SET uses = 9, wins = 9, used = NULL, seal = ? WHERE id = 'w1'",
            (seal,),
        )
    with SqliteStore(path) as store:
        forgery = store.get("w1")
        assert forgery is not None
        assert forgery.wins == 9
        with pytest.raises(StoreError, match="w1 was changed behind the log's back"):
            store.check()


def test_nothing_is_written_after_a_log_that_was_cut(tmp_path: Path, lived: Path) -> None:
    path = tmp_path / "memory.sqlite"
    shutil.copy(lived, path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)")
    with SqliteStore(path) as store, pytest.raises(StoreError, match="entries are missing"):
        store.add([a_workflow("new")])


def test_what_cannot_be_erased_is_an_error(file_store: SqliteStore) -> None:
    keep(file_store, a_workflow())
    with pytest.raises(StoreError, match="entry 2 is missing"):
        file_store.write(lambda rows: rows.log.erase([2]))


def test_times_in_the_log_never_go_back(tmp_path: Path) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    times = iter([now, now - timedelta(days=3), now + timedelta(days=1)])
    with SqliteStore(tmp_path / "memory.sqlite", clock=lambda: next(times)) as store:
        for number in range(3):
            store.add([a_workflow(f"w{number}")])
        at = [entry.at for entry in store.read(lambda rows: list(rows.log.entries()))]
    first, later = "2026-05-01T00:00:00.000+00:00", "2026-05-02T00:00:00.000+00:00"
    assert at == [first, first, later]
