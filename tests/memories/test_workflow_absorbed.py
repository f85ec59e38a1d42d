"""What a policy's weights absorbed stands behind, is never lost by it, and comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.memories.making import a_query, a_workflow, credit, found_by, ids, keep
from tests.memories.postgres_server import sql

from mia.errors import StoreError
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.history import as_of, changes, restore
from mia.memories.workflow.interchange import import_, write
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.postgres import PostgresStore
from mia.memories.workflow.recall import Rules
from mia.memories.workflow.remember import Keeping, make_room
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.testing import ToyEmbedder
from mia.types import Episode, Question, VerdictValue, Workflow, encode

Films = Callable[..., Episode]
ONE = Rules(k_successes=1, k_failures=1, trust_mode=False)


def three(store: Store) -> None:
    for name in ("w1", "w2", "w3"):
        keep(store, a_workflow(name), found_by(1))


def absorbers(store: Store) -> dict[str, str | None]:
    return {workflow.id: workflow.absorbed for workflow in store.all()}


def test_what_is_absorbed_stands_behind_all_that_is_not(store: Store) -> None:
    three(store)
    keep(store, a_workflow("far"), found_by(1, 1))
    assert ids(store, a_query(1)) == ["w1", "w2", "w3", "far"]
    assert store.demote(["w1", "w2"], "planner 12") == 2
    assert ids(store, a_query(1)) == ["w3", "far", "w1", "w2"]
    assert ids(store, a_query(1, limit=3)) == ["w3", "far", "w1"]
    assert ids(store, a_query(1, limit=2)) == ["w3", "far"]
    assert store.check() == 4


def test_it_is_absorbed_once_by_whoever_was_first(store: Store) -> None:
    three(store)
    assert store.demote(["w1", "gone"], "planner 12") == 1
    before = len(changes(store))
    assert store.demote(["w1"], "planner 12") == store.demote(["w1"], "planner 13") == 0
    assert len(changes(store)) == before, "nothing was written"
    assert absorbers(store) == {"w1": "planner 12", "w2": None, "w3": None}


def test_versions_that_are_left_give_back_what_they_absorbed_in_every_namespace(
    store: Store,
) -> None:
    three(store)
    keep(store, a_workflow("w4", namespace="other"), found_by(1))
    store.demote(["w1", "w4"], "planner 12")
    store.demote(["w2"], "planner 11")
    store.demote(["w3"], "executor 12")
    assert store.readmit(["planner 12", "planner 13"], "back to 11") == 2
    assert store.readmit(["planner 12"]) == 0
    assert absorbers(store) == {"w1": None, "w4": None, "w2": "planner 11", "w3": "executor 12"}
    assert ids(store, a_query(1)) == ["w1", "w2", "w3"]
    assert store.check() == 4


def test_the_log_tells_of_it_and_of_its_taking_back(store: Store) -> None:
    three(store)
    store.demote(["w1"], "planner 12")
    store.readmit(["planner 12"], "planner 11 is in use")
    told = [(entry.action, entry.reason) for entry in changes(store, "w1", last=2)]
    assert told == [
        ("demote", "absorbed by planner 12"),
        ("readmit", "planner 12 does not count any more: planner 11 is in use"),
    ]


def test_use_and_trust_leave_it_as_it_is_and_the_past_knows_it(store: Store) -> None:
    three(store)
    store.demote(["w1"], "planner 12")
    then = changes(store)[-1].seq
    credit(store, "w1")
    store.set_trust("w1", "quarantined")
    store.set_trust("w1", "trusted")
    workflow = store.get("w1")
    assert workflow is not None and (workflow.absorbed, workflow.uses) == ("planner 12", 1)
    store.readmit(["planner 12"])
    assert {w.id: w.absorbed for w in as_of(store, then).workflows}["w1"] == "planner 12"
    assert restore(store, then).recounted == 1
    assert absorbers(store)["w1"] == "planner 12"
    assert ids(store, a_query(1)) == ["w2", "w3", "w1"]
    assert restore(store, then - 1).recounted == 1
    assert absorbers(store)["w1"] is None
    assert store.check() == 3


def test_another_process_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as one, SqliteStore(path) as other:
        three(one)
        assert ids(other, a_query(1)) == ["w1", "w2", "w3"]
        one.demote(["w1"], "planner 12")
        assert ids(other, a_query(1)) == ["w2", "w3", "w1"]
        assert other.check() == one.check() == 3


@pytest.mark.parametrize("value", ["NULL", "'planner 13'", "''"])
def test_a_mark_that_was_changed_behind_the_logs_back_is_found(tmp_path: Path, value: str) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        three(store)
        store.demote(["w1"], "planner 12")
        with closing(sqlite3.connect(path)) as db, db:
            db.execute(f"UPDATE workflows SET absorbed = {value} WHERE id = 'w1'")
        for look in (store.check, lambda: store.get("w1")):
            with pytest.raises(StoreError, match="w1"):
                look()


# recall


async def film(memory: WorkflowMemory, store: Store, episode: Episode) -> Workflow:
    id = (await memory.remember(episode)).workflow_id
    workflow = store.get(id or "")
    assert workflow is not None
    return workflow


ASKED = Question(text="When was the director of film Alien born?", id="asked")


async def test_a_recall_takes_what_is_absorbed_only_where_there_is_nothing_else(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder(), rules=ONE)
    best = await film(memory, store, film_episode("Jaws"))
    for _ in range(9):
        credit(store, best.id)
    store.add([replace(best, id="other", plan="#1 another way", uses=9, wins=0)])
    assert await recalled(memory) == [best.id]
    store.demote([best.id], "planner 12")
    assert await recalled(memory) == ["other"]
    explained = (await memory.explain(ASKED)).considered
    assert [(item.workflow.id, item.workflow.absorbed, item.fate) for item in explained] == [
        ("other", None, "recalled"),
        (best.id, "planner 12", "others stand before it: a policy absorbed it"),
    ]
    assert explained[1].score > explained[0].score
    store.delete("other")
    assert await recalled(memory) == [best.id]


async def recalled(memory: WorkflowMemory) -> list[str]:
    found = await memory.recall(ASKED)
    return [item.workflow.id for item in (*found.successes, *found.failures)]


@pytest.mark.parametrize("verdict", [VerdictValue.CORRECT, VerdictValue.INCORRECT])
async def test_one_that_is_absorbed_drives_no_other_out_by_being_nearer(
    store: Store, film_episode: Films, verdict: VerdictValue
) -> None:
    rules = Rules(floor=0.5, margin=0.0, trust_mode=False)
    memory = WorkflowMemory(store, ToyEmbedder(), rules=rules)
    near = await film(memory, store, film_episode("Jaws", verdict=verdict))
    less = await film(memory, store, film_episode("Jaws", id="e2", question_id="q2", verb="shot"))
    assert less.id != near.id
    assert await recalled(memory) == [near.id]
    store.demote([near.id], "planner 12")
    assert await recalled(memory) == [less.id, near.id]


async def test_a_text_that_is_told_better_is_as_absorbed_as_before(
    store: Store, film_episode: Films
) -> None:
    memory = WorkflowMemory(store, ToyEmbedder())
    first = await film(memory, store, film_episode("Jaws"))
    store.write(lambda rows: rows.put(replace(first, summary=f"{first.summary} and on and on")))
    store.demote([first.id], "planner 12")
    remembered = await memory.remember(film_episode("Heat"))
    assert (remembered.decision, remembered.workflow_id) == ("replaced", first.id)
    assert absorbers(store) == {first.id: "planner 12"}
    assert store.check() == 1


# bounds


def test_what_is_absorbed_goes_first_when_memory_is_full(store: Store) -> None:
    three(store)
    for name in ("w1", "w2", "w3"):
        keep(store, a_workflow(name, plan="#1 the same"), found_by(1))
    for _ in range(5):
        credit(store, "w2")
    store.demote(["w2"], "planner 12")
    gone = store.write(lambda rows: make_room(rows, Keeping("default", "", capacity=2)))
    assert [item.id for item in gone] == ["w2"]
    assert "planner 12 does without it" in gone[0].reason


def test_the_only_success_of_its_kind_stays_though_it_is_absorbed(store: Store) -> None:
    three(store)
    keep(store, a_workflow("w4", plan=a_workflow("w3").plan), found_by(1))
    store.demote(["w1"], "planner 12")
    gone = store.write(lambda rows: make_room(rows, Keeping("default", "", capacity=3)))
    assert [item.id for item in gone] == ["w3"]


# out, in, and gone


def test_a_file_carries_it_and_older_files_have_none(tmp_path: Path, store: Store) -> None:
    three(store)
    store.demote(["w1"], "planner 12")
    write(store.all(), tmp_path / "memory.jsonl")
    older = encode(a_workflow("w9")).decode()
    assert "absorbed" not in older
    (tmp_path / "older.jsonl").write_text(f"{older}\n")
    with SqliteStore(None) as copy:
        import_(copy, tmp_path / "memory.jsonl")
        import_(copy, tmp_path / "older.jsonl")
        assert absorbers(copy) == {**absorbers(store), "w9": None}
        assert copy.check() == 4


def test_clearing_takes_what_was_absorbed_and_not_what_it_influenced(store: Store) -> None:
    three(store)
    keep(store, a_workflow("child", parents=("w1",)), found_by(1))
    keep(store, a_workflow("there", namespace="other"), found_by(1))
    store.demote(["w1", "there"], "planner 12")
    store.demote(["w2"], "planner 13")
    choice = Choice(absorbed=("planner 12",))
    before = len(changes(store))
    told = forget(store, "default", choice, dry_run=True)
    assert len(changes(store)) == before
    done = forget(store, "default", choice)
    assert (done.cleared, done.texts) == (told.cleared, told.texts)
    assert [(gone.id, gone.why) for gone in done.cleared] == [("w1", "planner 12 does without it")]
    assert not (done.direct or done.descendants or done.unmerged)
    assert set(absorbers(store)) == {"w2", "w3", "child", "there"}
    assert store.check() == 4


def test_what_is_forgotten_for_another_reason_takes_its_descendants_along(store: Store) -> None:
    three(store)
    keep(store, a_workflow("child", parents=("w1",)), found_by(1))
    store.demote(["w1"], "planner 12")
    done = forget(store, "default", Choice(workflows=("w1",), absorbed=("planner 12",)))
    assert [gone.id for gone in done.direct] == ["w1"] and not done.cleared
    assert [gone.id for gone in done.descendants] == ["child"]


def test_nothing_is_cleared_where_nothing_is_absorbed(store: Store) -> None:
    three(store)
    assert forget(store, "default", Choice(absorbed=())).cleared == ()
    assert store.count() == 3


# schemas that knew nothing of it


def test_a_file_of_the_schema_before_is_upgraded_and_keeps_its_seals(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as store:
        three(store)
        credit(store, "w1")
        before = store.all()
    with closing(sqlite3.connect(path)) as db, db:
        seals = db.execute("SELECT seal FROM workflows ORDER BY seq").fetchall()
        db.execute("DROP INDEX workflows_by_absorber")
        db.execute("ALTER TABLE workflows DROP COLUMN absorbed")
        db.execute("PRAGMA user_version = 5")
    with SqliteStore(path) as store:
        assert (store.check(), store.all()) == (3, before)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT seal FROM workflows ORDER BY seq").fetchall() == seals
        assert store.demote(["w1"], "planner 12") == 1
        assert store.check() == 3
    with SqliteStore(tmp_path / "memory.sqlite.v5.bak") as kept:
        assert kept.all() == before


def test_a_database_of_the_schema_before_is_upgraded_and_keeps_its_seals(emptied: str) -> None:
    with PostgresStore(emptied) as store:
        three(store)
        before = store.all()
    sql(emptied, "ALTER TABLE mia.workflows DROP COLUMN absorbed")
    sql(emptied, "UPDATE mia.about SET version = 2")
    with PostgresStore(emptied) as store:
        assert (store.check(), store.all()) == (3, before)
        assert store.demote(["w1"], "planner 12") == 1
        assert ids(store, a_query(1)) == ["w2", "w3", "w1"]
