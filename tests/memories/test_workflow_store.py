"""What the store promises: nothing acknowledged is lost, nothing damaged passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import StoreError
from mia.memories.workflow.compress import compress
from mia.memories.workflow.records import Source
from mia.memories.workflow.rows import Bucket, Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.types import Episode, Workflow

Films = Callable[..., Episode]


@pytest.fixture
def workflow(film_episode: Films) -> Workflow:
    compressed = compress(film_episode(), "default", "w1")
    assert compressed is not None
    return compressed


def test_what_was_added_is_there_after_reopening(tmp_path: Path, workflow: Workflow) -> None:
    path = tmp_path / "deep" / "memory.sqlite"
    with SqliteStore(path) as store:
        assert store.add([workflow]) == 1
        assert store.add([replace(workflow, summary="other")]) == 0
    with SqliteStore(path) as store:
        assert store.get("w1") == workflow
        assert store.get("w2") is None
        assert store.check() == 1


def test_workflows_come_newest_first_and_filtered(store: Store, workflow: Workflow) -> None:
    old = replace(workflow, id="old", created="2025-01-01")
    failed = replace(workflow, id="failed", created="2027-01-01", outcome="failure")
    other = replace(workflow, id="other", namespace="other", category="human", uses=3, wins=2)
    store.add([failed, old, workflow, other])
    assert [w.id for w in store.all("default")] == ["failed", "w1", "old"]
    assert [w.id for w in store.all("default", outcome="success", limit=1)] == ["w1"]
    assert [w.id for w in store.all(category="human")] == ["other"]
    assert (store.count(), store.count("other"), store.count("none")) == (4, 1, 0)
    assert store.stats() == (
        Bucket(category="human", outcome="success", workflows=1, uses=3, wins=2),
        Bucket(category="time", outcome="success", workflows=2, uses=0, wins=0),
        Bucket(category="time", outcome="failure", workflows=1, uses=0, wins=0),
    )


def test_a_deleted_workflow_is_gone_with_its_vectors(store: Store, workflow: Workflow) -> None:
    store.add([workflow])
    assert store.delete("w1")
    assert not store.delete("w1")
    assert store.count() == store.check() == 0


def test_a_workflow_that_comes_again_has_no_source_of_its_former_life(
    store: Store, workflow: Workflow
) -> None:
    def episodes() -> list[str]:
        return [source.episode for source in store.read(lambda rows: rows.sources("w1"))]

    store.add([replace(workflow, source_episode="first")])
    store.write(lambda rows: rows.merge("w1", Source(episode="merged")))
    assert sorted(episodes()) == ["first", "merged"]
    store.delete("w1")
    assert episodes() == []
    store.add([replace(workflow, source_episode="second")])
    assert episodes() == ["second"]


def test_a_transaction_that_raises_keeps_nothing(store: Store, workflow: Workflow) -> None:
    def two_and_a_fault() -> None:
        def job(rows: Rows) -> None:
            rows.put(workflow)
            rows.put(replace(workflow, id="w2"))
            raise ZeroDivisionError

        store.write(job)

    with pytest.raises(ZeroDivisionError):
        two_and_a_fault()
    assert store.count() == 0
    assert store.add([workflow]) == 1


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "memory.sqlite")
    store.close()
    store.close()
    with pytest.raises(StoreError, match=r"memory\.sqlite.*closed"):
        store.count()
