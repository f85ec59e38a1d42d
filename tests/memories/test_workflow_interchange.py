"""Memories in and out of a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.errors import InputError
from mia.memories.workflow.compress import compress
from mia.memories.workflow.interchange import Imported, import_, write
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Question, Workflow, encode

Films = Callable[..., Episode]


@pytest.fixture
def workflow(film_episode: Films) -> Workflow:
    compressed = compress(film_episode(), "default", "w1")
    assert compressed is not None
    return replace(compressed, uses=3, wins=2, used="2026-02-02")


async def test_what_was_exported_is_imported_again(
    tmp_path: Path, store: Store, workflow: Workflow
) -> None:
    store.add([workflow, replace(workflow, id="w2", namespace="other", caption="a shark")])
    file = tmp_path / "memory.jsonl"
    write(store.all()[::-1], file)
    with SqliteStore(tmp_path / "copy.sqlite") as copy:
        assert import_(copy, file) == Imported(added=2, skipped=0)
        assert copy.all() == store.all()
        assert import_(copy, file) == Imported(added=0, skipped=2)
        memory = WorkflowMemory(copy, ToyEmbedder())
        question = Question(text="When was the director of film Heat born?", id="q")
        (item,) = (await memory.recall(question)).successes
        assert item.workflow == workflow


def test_every_bad_line_is_reported_and_none_is_imported(
    tmp_path: Path, store: Store, workflow: Workflow
) -> None:
    good = encode(workflow).decode()
    lines = [
        good,
        "{not json",
        "",
        '{"id": "w3"}',
        good.replace('"success"', '"triumph"'),
        good.replace('"w1"', '""'),
        good.replace('"uses":3', '"uses":"many"'),
        "[" * 100_000,
        "\udcff\udcfe",
    ]
    file = tmp_path / "memory.jsonl"
    file.write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    with pytest.raises(InputError) as raised:
        import_(store, file)
    for number in (2, 4, 5, 6, 7, 8, 9):
        assert f"line {number}: " in str(raised.value)
    for number in (1, 3):
        assert f"line {number}: " not in str(raised.value)
    assert store.count() == 0


@pytest.mark.parametrize(
    ("uses", "wins", "wanted"),
    [(3, 9, (3, 3)), (-1, -1, (0, 0)), (-5, 2, (0, 0)), (2, -2, (2, 0)), (10**18, 1, (10**9, 1))],
)
def test_impossible_counts_are_put_right(
    tmp_path: Path,
    store: Store,
    workflow: Workflow,
    uses: int,
    wins: int,
    wanted: tuple[int, int],
) -> None:
    file = tmp_path / "memory.jsonl"
    file.write_bytes(encode(replace(workflow, uses=uses, wins=wins)))
    import_(store, file)
    (read,) = store.all()
    assert (read.uses, read.wins) == wanted


def test_an_id_twice_in_a_file_counts_once(
    tmp_path: Path, store: Store, workflow: Workflow
) -> None:
    file = tmp_path / "memory.jsonl"
    other = replace(workflow, summary="other")
    file.write_bytes(encode(workflow) + b"\n" + encode(other) + b"\n")
    assert import_(store, file, namespace="mine") == Imported(added=1, skipped=1)
    assert store.all("mine") == (replace(workflow, namespace="mine"),)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match="no file"):
        import_(store, tmp_path / "absent.jsonl")


def test_an_export_that_fails_leaves_what_was_there(
    tmp_path: Path, store: Store, workflow: Workflow
) -> None:
    store.add([workflow])
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        write(store.all(), target)
    assert [path.name for path in tmp_path.glob("*.building")] == []


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_garbled_file_is_imported_whole_or_not_at_all(
    tmp_path: Path, store: Store, workflow: Workflow, at: int, byte: int
) -> None:
    second = encode(replace(workflow, id="w2"))
    raw = bytearray(encode(workflow) + b"\n" + second)
    raw[at % len(raw)] = byte
    file = tmp_path / "memory.jsonl"
    file.write_bytes(raw)
    before = store.count()
    try:
        imported = import_(store, file)
    except InputError:
        assert store.count() == before
    else:
        assert store.count() == before + imported.added
        assert imported.added + imported.skipped in (1, 2)
