"""`mia memory`: look into it, take it out, put it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.cli.playing import Home

from mia.memories.workflow.recall import Explanation
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


def test_an_explanation_names_every_workflow_and_its_fate(mia: Mia, grown: Home) -> None:
    said = mia("memory", "explain", "What colour is item 9?")
    assert said.code == 0
    assert "looked up as" in said.out and "recalled" in said.out
    whole = decode(mia("memory", "explain", "What colour is item 9?", "--json").out, Explanation)
    assert {c.workflow.id for c in whole.considered} == {w.id for w in listed(mia)}


def test_one_bad_memory_is_found_read_and_forgotten_by_the_beginning_of_its_id(
    mia: Mia, grown: Home
) -> None:
    bad, *rest = listed(mia)
    assert bad.id in mia("memory", "list").out
    assert "plan" in mia("memory", "show", bad.id[:24]).out or len(rest) > 0
    would = mia("memory", "forget", bad.id, "--dry-run")
    assert "would be forgotten" in would.err and bad in listed(mia)
    done = mia("memory", "forget", bad.id)
    assert done.code == 0 and bad.id in done.out
    assert bad not in listed(mia)
    database = grown.data / "memory.db"
    files = [database, database.with_name("memory.db-wal")]
    assert all(bad.question.encode() not in f.read_bytes() for f in files if f.exists())


def test_what_a_run_brought_can_be_forgotten_together(mia: Mia, grown: Home) -> None:
    assert mia("memory", "forget").code == 2, "everything is never forgotten by accident"
    said = mia("memory", "forget", "--run", "no such run")
    assert said.code == 2 and "no run" in said.err
    assert mia("memory", "forget", "--since", "tomorrow").code == 2
    assert mia("memory", "forget", "--judge", "exact_match").code == 0
    assert listed(mia) == []


def test_an_edit_is_kept_and_the_log_tells_of_it(mia: Mia, grown: Home) -> None:
    one = listed(mia)[0]
    assert mia("memory", "edit", one.id, "--lesson", "Look twice.").code == 0
    assert decode(mia("memory", "show", one.id, "--json").out, Workflow).lesson == "Look twice."
    assert "edited by hand" in mia("memory", "log", one.id).out
    said = mia("memory", "edit", one.id, "--category", "nonsense")
    assert said.code == 2 and "location" in said.err
    assert mia("memory", "edit", one.id, "--summary", "word " * 400).code == 2


def test_a_quarantined_workflow_is_not_recalled_until_it_is_trusted(mia: Mia, grown: Home) -> None:
    question = "What colour is item 9?"
    for workflow in listed(mia):
        mia("memory", "trust", workflow.id, "--quarantine")
    assert len(listed(mia, "--quarantined")) == len(listed(mia))
    assert mia("memory", "search", question).code == 7
    for workflow in listed(mia):
        mia("memory", "trust", workflow.id)
    assert mia("memory", "search", question).code == 0


def test_a_snapshot_can_be_looked_at_and_gone_back_to(mia: Mia, grown: Home) -> None:
    assert "no snapshots yet" in mia("memory", "snapshot").err
    before = listed(mia)
    assert mia("memory", "snapshot", "before").code == 0
    assert "before" in mia("memory", "snapshot").out
    mia("memory", "trust", before[0].id, "--quarantine")
    assert listed(mia) != before
    assert listed(mia, "--as-of", "before") == before
    assert mia("memory", "restore", "before").code == 0
    assert listed(mia) == before
    said = mia("memory", "restore", "never")
    assert said.code == 2 and "never" in said.err


def test_a_backup_brings_everything_back(mia: Mia, grown: Home) -> None:
    before, copy = listed(mia), grown.folder / "copy.db"
    assert mia("memory", "backup", str(copy)).code == 0
    mia("memory", "forget", "--judge", "exact_match")
    assert mia("memory", "restore", str(copy)).code == 0
    assert listed(mia) == before
    assert "all whole" in mia("memory", "verify").err


def test_the_published_layout_goes_out_and_comes_in(mia: Mia, grown: Home) -> None:
    path, other = grown.folder / "memory.jsonl", str(grown.folder / "other")
    assert mia("memory", "export", str(path), "--published").code == 0
    assert set(msgspec.json.decode(path.read_bytes())) == {"text-only", "text-image"}
    assert mia("memory", "import", str(path), "--home", other).code == 0
    there = listed(mia, "--home", other)
    assert len(there) == len(listed(mia))
    assert {w.trust for w in there} == {"quarantined"}, "nobody here vouches for what comes in"


def test_compacting_and_embedding_anew_lose_nothing(mia: Mia, grown: Home) -> None:
    before = listed(mia)
    said = mia("memory", "compact")
    assert f"{len(before)} workflows before" in said.err
    assert "dropped" in mia("memory", "reembed").err
    assert sorted(w.id for w in listed(mia)) == sorted(w.id for w in before)
    assert mia("memory", "search", "What colour is item 9?").code == 0


def test_uplift_needs_an_experiment_and_says_how_to_begin_one(mia: Mia, grown: Home) -> None:
    said = mia("memory", "stats", "--uplift")
    assert said.code == 7 and "withhold" in said.err
