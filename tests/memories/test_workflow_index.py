"""The best rows: exactly those that the rules of scoring say, whatever happened to the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.memories.making import (
    EMBEDDER,
    a_query,
    a_workflow,
    credit,
    found_by,
    ids,
    keep,
    vector,
)

from mia.errors import StoreError
from mia.memories.workflow.records import Vectors
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Own, Query, Scored, Store
from mia.memory import Weights, frequency, score, similarity, value
from mia.types import Workflow

Stored = tuple[Workflow, Vectors]


def by_the_rules(stored: list[Stored], query: Query) -> list[Scored]:
    """What `best` should be, one workflow at a time."""
    found: list[Scored] = []
    for w, v in stored:
        if (w.namespace, w.modality, w.outcome) != (query.namespace, query.modality, query.outcome):
            continue
        if w.trust != "trusted" or query.category not in (None, w.category):
            continue
        own = query.without
        if own and (w.question_id == own.question_id or (own.task and w.task == own.task)):
            continue
        if own and float(v.question @ query.asked.question) >= own.same:
            continue
        question = float(v.template.astype(float) @ query.asked.template.astype(float))
        caption = None
        if v.caption is not None and query.asked.caption is not None:
            caption = float(v.caption.astype(float) @ query.asked.caption.astype(float))
        sim = similarity(question, caption, query.weights)
        if sim < query.floor:
            continue
        val, freq = value(w.uses, w.wins, query.weights), frequency(w.uses)
        total = score(sim, val, freq, query.weights)
        found.append(
            Scored(
                w.id, w.outcome, w.category, w.question_id, w.task, total, sim, question, caption,
                val, freq, w.absorbed is not None,
            )
        )  # fmt: skip
    ranked = sorted(found, key=lambda item: (item.absorbed, -item.score, item.id))
    return ranked[: query.limit]


angles = st.integers(-3, 3)
rows = st.tuples(angles, angles, angles).filter(any)


@st.composite
def vectors(draw: st.DrawFn) -> Vectors:
    caption = draw(st.none() | rows)
    question, template = draw(rows), draw(rows)
    return Vectors(
        vector(*question), vector(*template), None if caption is None else vector(*caption)
    )


@st.composite
def stores(draw: st.DrawFn) -> list[Stored]:
    stored: list[Stored] = []
    for number in range(draw(st.integers(0, 40))):
        uses = draw(st.integers(0, 5))
        workflow = a_workflow(
            f"w{number}",
            namespace=draw(st.sampled_from(["default", "other"])),
            modality=draw(st.sampled_from(["text", "text", "text-image"])),
            outcome=draw(st.sampled_from(["success", "success", "failure"])),
            category=draw(st.sampled_from(["time", "human"])),
            question_id=draw(st.sampled_from(["q1", "q2", "q3"])),
            task=draw(st.sampled_from([None, "t1", "t2"])),
            trust=draw(st.sampled_from(["trusted", "trusted", "quarantined"])),
            absorbed=draw(st.sampled_from([None, None, "planner 1"])),
            uses=uses,
            wins=draw(st.integers(0, uses)),
        )
        stored.append((workflow, draw(vectors())))
    return stored


@st.composite
def queries(draw: st.DrawFn) -> Query:
    own = st.builds(
        Own,
        question_id=st.sampled_from(["q1", "none"]),
        task=st.sampled_from([None, "t1"]),
        same=st.sampled_from([0.97, 2.0]),
    )
    return Query(
        namespace=draw(st.sampled_from(["default", "other"])),
        modality=draw(st.sampled_from(["text", "text-image"])),
        outcome=draw(st.sampled_from(["success", "failure"])),
        asked=draw(vectors()),
        weights=draw(
            st.sampled_from([Weights(), Weights(similarity=1, value=0, frequency=0, question=0.5)])
        ),
        floor=draw(st.sampled_from([-1.0, 0.3, 0.75])),
        limit=draw(st.integers(0, 5)),
        category=draw(st.sampled_from([None, "time", "human"])),
        without=draw(st.none() | own),
    )


def assert_same(found: tuple[Scored, ...], wanted: list[Scored]) -> None:
    assert [item.id for item in found] == [item.id for item in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one == other


def put_all(store: Store, stored: list[Stored]) -> None:
    def job(rows: Rows) -> None:
        for workflow, found in stored:
            rows.put(workflow)
            rows.vectors.set(workflow.id, EMBEDDER, found)

    store.write(job)


@settings(max_examples=60, deadline=None)
@given(stores(), st.lists(queries(), min_size=1, max_size=6), st.data())
def test_the_best_are_those_of_the_rules(
    stored: list[Stored], asked: list[Query], data: st.DataObject
) -> None:
    with SqliteStore(None) as store:
        half = data.draw(st.integers(0, len(stored)))
        put_all(store, stored[:half])
        for query in asked:
            assert_same(store.best(query), by_the_rules(stored[:half], query))
        put_all(store, stored[half:])
        gone = {w.id for w, _ in stored if data.draw(st.booleans())} if stored else set()
        for id in gone:
            store.delete(id)
        left = [(w, v) for w, v in stored if w.id not in gone]
        for query in asked:
            assert_same(store.best(query), by_the_rules(left, query))
        assert store.check() == len(left)


def test_every_row_counts_however_many_there_are(store: Store) -> None:
    luck = np.random.default_rng(5)
    stored: list[Stored] = []
    for number in range(700):
        row = vector(*luck.normal(size=8))
        uses = int(luck.integers(0, 4))
        absorbed = "planner 1" if number % 3 == 0 else None
        workflow = a_workflow(f"w{number}", uses=uses, wins=uses // 2, absorbed=absorbed)
        stored.append((workflow, Vectors(row, row)))
    put_all(store, stored)
    for limit in (1, 3, 50, 700, 1000):
        query = a_query(*luck.normal(size=8), limit=limit)
        assert_same(store.best(query), by_the_rules(stored, query))


def test_equals_come_in_the_order_of_their_ids_wherever_they_lie(store: Store) -> None:
    for number in (5, 1, 9, 3, 7):
        keep(store, a_workflow(f"w{number}"), found_by(3, 1, 2))
    assert ids(store, a_query(3, 1, 2)) == ["w1", "w3", "w5", "w7", "w9"]
    store.delete("w1")
    keep(store, a_workflow("w1"), found_by(3, 1, 2))
    found = store.best(a_query(3, 1, 2))
    assert [item.id for item in found] == ["w1", "w3", "w5", "w7", "w9"]
    assert len({item.score for item in found}) == 1


def test_the_floor_is_exact(store: Store) -> None:
    keep(store, a_workflow("w1"), found_by(3, 4))
    (item,) = store.best(a_query(1))
    for floor, found in ((item.similarity, ["w1"]), (item.similarity + 1e-9, [])):
        assert ids(store, a_query(1, floor=floor)) == found


def test_many_rows_of_ones_own_do_not_hide_the_others(store: Store) -> None:
    for number in range(200):
        keep(store, a_workflow(f"own{number}", task="t1"), found_by(1))
    keep(store, a_workflow("other"), found_by(1, 1))
    own = Own("none", "t1", 2.0)
    assert ids(store, a_query(1, without=own, limit=2)) == ["other"]


def test_a_rolled_back_transaction_never_shows(store: Store) -> None:
    keep(store, a_workflow("w1"))

    def job(rows: Rows) -> None:
        rows.delete("w1")
        rows.put(a_workflow("w2"))
        rows.vectors.set("w2", EMBEDDER, found_by(1))
        assert ids(store, a_query(1)) == ["w1"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(job)
    assert ids(store, a_query(1)) == ["w1"]
    credit(store, "w1")
    assert store.best(a_query(1))[0].value == value(1, 1, Weights())
    assert store.check() == 1


def test_what_another_process_wrote_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "memory.sqlite"
    with SqliteStore(path) as one, SqliteStore(path) as other:
        assert ids(one, a_query(1)) == []
        keep(other, a_workflow("w1"))
        assert ids(one, a_query(1)) == ["w1"]
        credit(other, "w1")
        assert one.best(a_query(1))[0].frequency == 0.5
        other.set_trust("w1", "quarantined")
        assert ids(one, a_query(1)) == []
        other.set_trust("w1", "trusted")
        keep(other, a_workflow("w1", category="human"), found_by(0, 1))
        assert ids(one, a_query(0, 1, category="human", floor=0.9)) == ["w1"]
        other.delete("w1")
        assert ids(one, a_query(1)) == []
        assert one.check() == other.check() == 0


def test_a_credit_before_a_change_of_text_counts_once(store: Store) -> None:
    keep(store, a_workflow("w1"))
    assert ids(store, a_query(1)) == ["w1"]
    credit(store, "w1")
    workflow = store.get("w1")
    assert workflow is not None
    keep(store, workflow)
    credit(store, "w1")
    assert store.best(a_query(1))[0].frequency == frequency(2)


def test_vectors_of_another_length_are_refused(store: Store) -> None:
    keep(store, a_workflow("w1"))
    short = Vectors(vector(1)[:4], vector(1)[:4])
    with pytest.raises(StoreError, match="run: mia memory reembed"):
        store.write(lambda rows: rows.vectors.set("w1", EMBEDDER, short))
    query = a_query(1)
    asked = Query(**{**{f: getattr(query, f) for f in query.__slots__}, "asked": short})
    with pytest.raises(StoreError, match="run: mia memory reembed"):
        store.best(asked)


def test_another_embedder_begins_anew(store: Store) -> None:
    keep(store, a_workflow("w1"))
    keep(store, a_workflow("w2"))
    assert len(ids(store, a_query(1))) == 2
    with pytest.raises(StoreError, match="run: mia memory reembed"):
        store.write(lambda rows: rows.vectors.set("w1", "other", found_by(1)))
    assert store.reembed() == 2
    assert ids(store, a_query(1)) == []
    assert store.check() == 2
    store.write(lambda rows: rows.vectors.set("w1", "other", found_by(1)))
    assert ids(store, a_query(1)) == ["w1"]
    assert store.check() == 2
    assert store.read(lambda rows: rows.vectors.made_by()) == ("other", 8)


def test_an_empty_store_takes_any_embedder(store: Store) -> None:
    keep(store, a_workflow("w1"))
    store.delete("w1")
    store.add([a_workflow("w2")])
    assert len(store.read(lambda rows: rows.vectors.missing("default", "other"))) == 1
    store.write(lambda rows: rows.vectors.set("w2", "other", found_by(1)))
    assert ids(store, a_query(1)) == ["w2"]
