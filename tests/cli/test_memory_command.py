"""`mia memory`: look into it, take it out, put it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home

from mia.types import Recollection, Workflow, decode

Mia = Callable[..., Any]


@pytest.fixture
def grown(mia: Mia, home: Home) -> Home:
    """A home that remembers a few questions."""
    said = mia("stream", str(home.questions), "--corpus", str(home.corpus), "--limit", "4")
    assert said.code == 0
    return home


def listed(mia: Mia, *more: str) -> list[Workflow]:
    return [
        decode(line, Workflow) for line in mia("memory", "list", "--json", *more).out.splitlines()
    ]


def test_an_empty_memory_says_so(mia: Mia) -> None:
    assert "0 of 0" in mia("memory", "list").err
    assert listed(mia) == []
    assert "nothing is remembered yet" in mia("memory", "stats").err
    said = mia("memory", "search", "What colour is item 1?")
    assert said.code == 7 and "nothing like it" in said.err


def test_what_is_listed_can_be_shown(mia: Mia, grown: Home) -> None:
    workflows = listed(mia)
    assert workflows and listed(mia, "--limit", "1") == workflows[:1]
    assert listed(mia, "--failures") == [] == listed(mia, "--namespace", "another")
    table = mia("memory", "list").out
    assert all(workflow.id in table for workflow in workflows)
    one = workflows[0]
    shown = mia("memory", "show", one.id).out
    assert one.id in shown and one.question_template in shown and "exact_match" in shown
    assert decode(mia("memory", "show", one.id, "--json").out, Workflow) == one


def test_a_search_says_what_would_be_recalled_and_why(mia: Mia, grown: Home) -> None:
    said = mia("memory", "search", "What colour is item 9?")
    assert said.code == 0 and "= similarity" in said.out
    found = decode(mia("memory", "search", "What colour is item 9?", "--json").out, Recollection)
    assert found.successes


def test_stats_count_what_is_there(mia: Mia, grown: Home) -> None:
    buckets = map(msgspec.json.decode, mia("memory", "stats", "--json").out.splitlines())
    assert sum(bucket["workflows"] for bucket in buckets) == len(listed(mia))
    assert "success" in mia("memory", "stats").out


def test_what_is_exported_can_be_imported_elsewhere(mia: Mia, grown: Home) -> None:
    path, other = grown.folder / "memory.jsonl", str(grown.folder / "other")
    assert mia("memory", "export", str(path)).code == 0
    there = listed(mia)
    said = mia("memory", "import", str(path), "--home", other)
    assert f"added {len(there)} workflows; 0 were there" in said.err
    assert sorted(w.id for w in listed(mia, "--home", other)) == sorted(w.id for w in there)
    again = mia("memory", "import", str(path), "--home", other)
    assert f"added 0 workflows; {len(there)} were there" in again.err


def test_an_import_with_a_bad_line_adds_nothing(mia: Mia, grown: Home) -> None:
    path, other = grown.folder / "memory.jsonl", str(grown.folder / "other")
    mia("memory", "export", str(path))
    with path.open("a") as file:
        file.write("{\n")
    said = mia("memory", "import", str(path), "--home", other)
    assert said.code == 2 and "nothing was imported" in said.err and "line" in said.err
    assert listed(mia, "--home", other) == []
