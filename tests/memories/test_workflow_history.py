"""Time travel: the past is what it was, and the way back leaves no trace but in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.memories.making import EMBEDDER, a_query, a_workflow, credit, found_by, ids, keep

from mia.errors import InputError
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import (
    Restored,
    as_of,
    changes,
    restore,
    revive,
    snapshot,
    snapshots,
)
from mia.memories.workflow.records import Source
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.types import Workflow

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def everything(store: Store) -> set[Workflow]:
    return set(store.all())


def head(store: Store) -> int:
    return store.read(lambda rows: rows.log.head().seq)


def test_the_past_is_what_it_was(store: Store) -> None:
    was: dict[int, set[Workflow]] = {head(store): everything(store)}

    def note() -> None:
        was[head(store)] = everything(store)

    keep(store, a_workflow("w1"))
    note()
    keep(store, a_workflow("w2"))
    credit(store, "w1")
    note()
    keep(store, a_workflow("w1", summary="shorter", uses=1, wins=1))
    note()
    store.set_trust("w2", "quarantined")
    store.delete("w1")
    note()
    store.add([a_workflow("w1", summary="a third text")])
    note()
    for seq, workflows in was.items():
        past = as_of(store, seq)
        assert (set(past.workflows), past.erased) == (workflows, 0)


def test_a_time_names_the_newest_entry_of_then(tmp_path: Path) -> None:
    now = [DAY]
    with SqliteStore(tmp_path / "memory.sqlite", clock=lambda: now[0]) as store:
        for number in range(3):
            now[0] = DAY + timedelta(days=number)
            store.add([a_workflow(f"w{number}")])
        assert as_of(store, DAY - timedelta(seconds=1)).workflows == ()
        assert len(as_of(store, DAY + timedelta(days=1)).workflows) == 2
        assert len(as_of(store, "2026-05-02T12:00").workflows) == 2
        assert len(as_of(store, "2026-05-02T01:00+02:00").workflows) == 1
        assert len(as_of(store, "1").workflows) == 1


@pytest.mark.parametrize("when", [-1, 99, "99", "the other day", ""])
def test_what_names_no_time_is_refused(store: Store, when: int | str) -> None:
    store.add([a_workflow()])
    with pytest.raises(InputError):
        as_of(store, when)


def test_a_snapshot_is_a_name_for_the_present(store: Store) -> None:
    keep(store, a_workflow("w1"))
    taken = snapshot(store, "2026")
    keep(store, a_workflow("w2"))
    assert [workflow.id for workflow in as_of(store, "2026").workflows] == ["w1"]
    assert snapshots(store) == (taken,)
    for name in ("2026", " "):
        with pytest.raises(InputError):
            snapshot(store, name)
    assert store.check() == 2


def test_a_restore_brings_back_texts_counters_and_sources(store: Store) -> None:
    keep(store, a_workflow("deleted"))
    keep(store, a_workflow("changed"))
    keep(store, a_workflow("credited"))
    keep(store, a_workflow("same"))
    source = Source(episode="merged", domains=("b.example",))
    store.write(lambda rows: rows.merge("deleted", source))
    before, known = everything(store), store.read(lambda rows: rows.sources("deleted"))
    snapshot(store, "then")
    store.delete("deleted")
    keep(store, a_workflow("changed", summary="another"))
    credit(store, "credited")
    keep(store, a_workflow("new"))
    done = restore(store, "then")
    assert done == Restored(seq=done.seq, brought_back=2, recounted=1, removed=1, erased=0)
    assert everything(store) == before
    assert store.read(lambda rows: rows.sources("deleted")) == known
    assert store.check() == 4


def test_a_restore_can_be_undone(store: Store) -> None:
    keep(store, a_workflow("w1"))
    snapshot(store, "then")
    credit(store, "w1")
    keep(store, a_workflow("w2"))
    after, at = everything(store), head(store)
    restore(store, "then")
    restore(store, at)
    assert everything(store) == after
    assert store.check() == 2


def test_a_restore_without_a_difference_changes_nothing(store: Store) -> None:
    keep(store, a_workflow("w1"))
    at = head(store)
    assert restore(store, at) == Restored(seq=at, brought_back=0, recounted=0, removed=0, erased=0)
    assert head(store) == at


def test_what_kept_its_text_is_found_at_once_after_a_restore(store: Store) -> None:
    keep(store, a_workflow("kept"))
    keep(store, a_workflow("deleted"))
    snapshot(store, "then")
    credit(store, "kept")
    store.delete("deleted")
    restore(store, "then")
    assert ids(store, a_query(1)) == ["kept"]
    missing = store.read(lambda rows: rows.vectors.missing("default", EMBEDDER))
    assert [workflow.id for workflow in missing] == ["deleted"]


def test_what_was_forgotten_is_not_brought_back(store: Store) -> None:
    keep(store, a_workflow("evil", source_domains=("evil.example",)))
    keep(store, a_workflow("good"))
    snapshot(store, "then")
    forget(store, "default", Choice(domains=("evil.example",)))
    past = as_of(store, "then")
    assert ([workflow.id for workflow in past.workflows], past.erased) == (["good"], 1)
    assert restore(store, "then").erased == 1
    assert store.get("evil") is None
    assert store.check() == 1


def test_the_past_can_be_searched(store: Store) -> None:
    keep(store, a_workflow("w1"), found_by(1))
    keep(store, a_workflow("w2"), found_by(1, 0.5))
    snapshot(store, "then")
    store.delete("w1")
    keep(store, a_workflow("w2", summary="another text"), found_by(0, 1))
    keep(store, a_workflow("w3"), found_by(1))
    with SqliteStore(None) as past:
        revive(store, "then", past)
        assert {workflow.id for workflow in past.all()} == {"w1", "w2"}
        missing = past.read(lambda rows: rows.vectors.missing("default", EMBEDDER))
        assert {workflow.id for workflow in missing} == {"w1", "w2"}
        for workflow in missing:
            again = found_by(1, 0.5 * (workflow.id == "w2"))
            past.write(lambda rows, id=workflow.id, v=again: rows.vectors.set(id, EMBEDDER, v))
        assert ids(past, a_query(1)) == ["w1", "w2"]
        assert past.check() == 2
    assert ids(store, a_query(1)) == ["w3", "w2"]


def test_the_log_tells_what_happened_to_a_workflow(store: Store) -> None:
    keep(store, a_workflow("w1"))
    keep(store, a_workflow("w2"))
    store.write(lambda rows: rows.credit("w1", won=True, at="2026", reason="episode e9"))
    store.delete("w1", "not of use")
    told = [(entry.action, entry.reason) for entry in changes(store, "w1")]
    assert told == [("put", ""), ("embed", ""), ("credit", "episode e9"), ("delete", "not of use")]
    assert [entry.action for entry in changes(store, last=1)] == ["delete"]
    assert [entry.action for entry in changes(store, "w1", last=2)] == ["credit", "delete"]
