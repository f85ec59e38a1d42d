"""What a policy does without is seen in memory and on its version; memory follows the version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Mia
from tests.cli.playing import Home

from mia.cli.policy_memory import put_to_use
from mia.config import load
from mia.models.catalog import known
from mia.team import silent
from mia.training.embedded import EMBEDDED
from mia.training.versions import Draft, Shelf, shelf
from mia.training.workshop import Workshop
from mia.types import Workflow, decode

QUESTION = "What colour is item 9?"


@pytest.fixture
def grown(mia: Mia, home: Home) -> Home:
    """A home that remembers a few questions."""
    said = mia("stream", str(home.questions), "--corpus", str(home.corpus), "--limit", "4")
    assert said.code == 0
    return home


def listed(mia: Mia) -> list[Workflow]:
    return [decode(line, Workflow) for line in mia("memory", "list", "--json").out.splitlines()]


def absorbers(mia: Mia) -> set[str | None]:
    return {workflow.absorbed for workflow in listed(mia)}


def publish(folder: Path, *ids: str, parent: int = 0) -> Shelf:
    """A version that does without these workflows."""
    one = shelf(folder, "planner")
    draft = Draft(
        base="SmolLM2", base_sha256=known("smollm2-135m").sha256, made_by="online", parent=parent,
        workflows=ids, absorbed=ids,
    )  # fmt: skip

    def fill(into: Path) -> None:
        (into / "adapter_model.safetensors").write_bytes(b"weights")

    one.publish(draft, fill)
    return one


def test_memory_says_what_a_version_absorbed_and_the_version_says_it_too(
    mia: Mia, grown: Home
) -> None:
    ids = [workflow.id for workflow in listed(mia)]
    publish(grown.data, *ids)
    assert absorbers(mia) == {None}
    said = mia("policy", "promote", "planner", "1")
    count = len(ids)
    assert f"{count} workflows stand behind others: version 1 does without them" in said.err
    told = "absorbed by planner 1: stands behind others (mia policy show planner 1)"
    assert told in " ".join(mia("memory", "show", ids[0]).out.split())
    assert told in " ".join(mia("memory", "explain", QUESTION).out.split())
    explained = json.loads(mia("memory", "explain", QUESTION, "--json").out)
    assert {item["workflow"]["absorbed"] for item in explained["considered"]} == {"planner 1"}
    assert "absorbed by planner 1" in mia("memory", "log", ids[0]).out
    shown = mia("policy", "show", "planner", "1")
    assert f"{count} came of what it learned from" in shown.out
    assert f"it does without {count} of them" in shown.out
    assert shown.out.count("mia memory show ") == 2 * min(count, 3)
    assert ("more; --json lists them" in shown.out) == (count > 3)
    whole = json.loads(mia("policy", "show", "planner", "1", "--json").out)
    assert whole["workflows"] == whole["absorbed"] == ids


def test_going_back_takes_it_back(mia: Mia, grown: Home) -> None:
    ids = [workflow.id for workflow in listed(mia)]
    publish(grown.data, ids[0])
    publish(grown.data, ids[1], parent=1)
    (told,) = map(json.loads, mia("policy", "promote", "planner", "2", "--json").out.splitlines())
    assert (told["demoted"], told["readmitted"]) == (2, 0)
    said = mia("policy", "rollback", "planner")
    assert "2 workflows are as they were before version 2" in said.err
    assert absorbers(mia) == {None}
    mia("policy", "promote", "planner", "2")
    said = mia("policy", "promote", "planner", "1")
    assert "1 workflows are as they were before version 2" in said.err
    assert absorbers(mia) == {None, "planner 1"}


def test_a_memory_that_cannot_be_written_keeps_nobody_from_going_back(
    mia: Mia, grown: Home
) -> None:
    ids = [workflow.id for workflow in listed(mia)]
    publish(grown.data, ids[0])
    mia("policy", "promote", "planner", "1")
    memory, aside = grown.data / "memory.db", grown.folder / "aside.db"
    shutil.copy(memory, aside)
    memory.write_bytes(b"no database" * 400)
    said = mia("policy", "rollback", "planner")
    assert said.code == 0 and "what came with MIA" in said.out
    assert "when it can be written, run: mia policy promote planner 0" in said.err
    memory.unlink()
    shutil.copy(aside, memory)
    assert absorbers(mia) == {None, "planner 1"}
    assert "they were absorbed" in mia("policy", "promote", "planner", "0").err
    assert absorbers(mia) == {None}


def test_what_is_absorbed_can_be_cleared_after_a_look(mia: Mia, grown: Home) -> None:
    ids = [workflow.id for workflow in listed(mia)]
    publish(grown.data, ids[0])
    said = mia("memory", "forget", "--absorbed", "planner 1")
    assert said.code == 2 and "nothing is absorbed" in said.err
    assert "0 workflows would be" in mia("memory", "forget", "--absorbed", "all", "--dry-run").err
    mia("policy", "promote", "planner", "1")
    said = mia("memory", "forget", "--absorbed", "planner 7")
    assert said.code == 2 and "there are: planner 1" in said.err
    said = mia("memory", "forget", "--absorbed", "planner 1", "--dry-run")
    assert said.out.split() == ["cleared", ids[0], "planner", "1", "does", "without", "it"]
    assert len(listed(mia)) == len(ids)
    assert "forgot 1 workflows" in mia("memory", "forget", "--absorbed", "all").err
    assert [workflow.id for workflow in listed(mia)] == ids[1:]


def test_what_a_run_promotes_memory_follows_but_not_into_the_tiny_world(
    mia: Mia, grown: Home
) -> None:
    ids = [workflow.id for workflow in listed(mia)]
    shop = Workshop(load(grown.config, {}), None, False, silent)
    publish(grown.data / "tiny", ids[0])
    put_to_use(shop, "planner", "tiny", 1)
    assert absorbers(mia) == {None}
    publish(grown.data, ids[0])
    put_to_use(shop, "planner", EMBEDDED, 1)
    assert absorbers(mia) == {None, "planner 1"}


def test_versions_that_absorbed_nothing_leave_memory_alone(mia: Mia, home: Home) -> None:
    publish(home.data)
    assert mia("policy", "promote", "planner", "1").code == 0
    assert not (home.data / "memory.db").exists()
