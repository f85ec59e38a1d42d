"""The published streaming trainer over real sockets, beside an agent and a reward service."""

from __future__ import annotations

import json
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.servers.agents import Client
from tests.servers.learners import Desk, rewarding, rows

from mia.servers.reference_submitted import Submitted


@pytest.fixture
def desk(tmp_path: Path, tiny_base: Path, speaking: Path) -> Desk:
    return Desk(tmp_path, tiny_base, speaking)


def submit(client: Client, *ids: str, **more: Any) -> Any:
    return client.post("/submit_sample", {"rollout": rows(*ids), **more})


def refused_with(client: Client, route: str) -> tuple[int, Any]:
    """The status and the whole body of a request that is not served."""
    request = urllib.request.Request(f"{client.url}{route}", b"", method="POST")
    with pytest.raises(HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=20)
    with refusal.value as answer:
        return answer.code, json.load(answer)


def test_questions_wait_until_a_batch_is_full_and_then_an_update_learns_from_it(
    desk: Desk,
) -> None:
    with desk.beside_partners() as client:
        before = client.get("/health")
        first = submit(client, "tiny-0")
        waiting = client.get("/health")
        second = submit(client, "tiny-1", epoch="0", finish="false")
        after = client.get("/health")
    assert before == {
        "status": "ok", "global_steps": 1, "total_training_steps": 100_000_000,
        "train_batch_size": 2, "rollout_n": 4, "rollout_buffer_samples": 0,
        "rollout_buffer_len": 0,
    }  # fmt: skip
    assert first == {"status": "rollout", "global_steps": 1, "rollout_buffer_len": 1, "epoch": 0}
    assert (waiting["rollout_buffer_samples"], waiting["rollout_buffer_len"]) == (4, 1)
    assert set(second) == {"status", "metrics", "global_steps", "done", "epoch"}
    assert (second["status"], second["global_steps"], second["done"]) == ("step", 2, False)
    assert all(isinstance(value, float) for value in second["metrics"].values())
    assert second["metrics"]["questions"] == 2.0 and second["metrics"]["update/version"] == 1.0
    assert second["metrics"]["update/samples"] > 0
    assert (after["global_steps"], after["rollout_buffer_samples"]) == (2, 0)


def test_a_sample_that_is_sent_again_counts_once(desk: Desk) -> None:
    with desk.beside_partners() as client:
        one = submit(client, "tiny-0")
        kept = desk.agent.kept
        again = submit(client, "tiny-0")
        twice = submit(client, "tiny-0", "tiny-0")
        assert desk.agent.kept == kept
        assert client.get("/health")["rollout_buffer_samples"] == 4
        step = submit(client, "tiny-0", "tiny-1")
        told = submit(client, "tiny-0", "tiny-1")  # by somebody whose answer was lost
        other = submit(client, "tiny-0", epoch=1)
    assert one == again == twice
    assert step["status"] == "step" and step["metrics"]["questions"] == 2.0
    assert told == step
    assert other == {"status": "rollout", "global_steps": 2, "rollout_buffer_len": 1, "epoch": 1}


def test_what_is_left_is_learned_from_when_the_client_is_at_its_end(desk: Desk) -> None:
    with desk.beside_partners(questions=4) as client:
        told = submit(client, "tiny-0", finish=True, flush_partial="yes")
    assert (told["status"], told["done"], told["global_steps"]) == ("step", True, 2)
    assert told["metrics"]["questions"] == 1.0
    assert desk.published == [1]


def test_a_batch_of_its_own_leaves_what_waits(desk: Desk) -> None:
    with desk.beside_partners() as client:
        submit(client, "tiny-0")
        told = client.post("/submit_batch", {"batch": rows("tiny-1"), "epoch": 0})
        assert client.get("/health")["rollout_buffer_len"] == 1
    assert told["status"] == "step" and told["metrics"]["questions"] == 1.0


def test_a_checkpoint_is_a_version_of_the_last_finished_update(desk: Desk) -> None:
    with desk.beside_partners() as client:
        status, body = refused_with(client, "/save_checkpoint")
        submit(client, "tiny-0", "tiny-1")
        saved = client.post("/save_checkpoint")
    assert status == 400 and (body["ok"], body["global_steps"]) == (False, 1) and body["error"]
    assert saved == {"ok": True, "checkpoint_global_step": 1, "global_steps": 2}
    assert desk.published == [1]


def test_versions_are_made_as_often_as_the_preset_says(desk: Desk) -> None:
    with desk.beside_partners(save_every=2, questions=1) as client:
        for id in ("tiny-0", "tiny-1", "tiny-2"):
            submit(client, id)
    assert desk.published == [2]


def test_whoever_is_started_again_goes_on_where_it_was(desk: Desk) -> None:
    with desk.beside_partners() as client:
        submit(client, "tiny-0", "tiny-1")
        submit(client, "tiny-2")
    with desk.beside_partners() as client:
        health = client.get("/health")
        told = submit(client, "tiny-3")
    assert (health["global_steps"], health["rollout_buffer_len"]) == (2, 1)
    assert (told["status"], told["global_steps"]) == ("step", 3)


def test_an_update_that_was_interrupted_is_made_first(desk: Desk) -> None:
    with desk.beside_partners() as client:
        submit(client, "tiny-0")
    with closing(Submitted(desk.folder / "submitted.db")) as submitted:
        assert submitted.form(1, 2, partial=True) == 1  # and then somebody pulled the plug
    with desk.beside_partners() as client:
        told = client.post("/submit_batch", {"batch": rows("tiny-1"), "epoch": 0})
        assert client.get("/health")["rollout_buffer_len"] == 0
    assert (told["status"], told["global_steps"]) == ("step", 3)


def test_memory_learns_with_every_request(desk: Desk) -> None:
    with desk.beside_partners() as client:
        submit(client, "tiny-0")
    assert {kept.outcome for kept in desk.agent.kept} <= {"success", "failure"}
    assert desk.agent.kept
    (line,) = desk.agent.lines("evaluated-first.jsonl")
    assert line["id"] == "tiny-0" and line["question"] == "find a"
    assert (desk.agent.saves / "workflow_memory.jsonl").is_file()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "rollout"),
        ({"rollout": "gASVEAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOULg=="}, "rollout"),
        ({"rollout": {}}, "columns"),
        ({"rollout": rows("tiny-0") | {"input_ids": {"__tensor__": True}}}, "input_ids"),
        ({"rollout": rows("tiny-0", "tiny-1", "tiny-2")}, "at most 2"),
        ({"rollout": rows("tiny-0"), "epoch": "first"}, "epoch"),
        ({"rollout": rows("tiny-0"), "epoch": 1.5}, "epoch"),
        ({"rollout": rows("tiny-0"), "finish": "perhaps"}, "true or false"),
        ({"rollout": rows("tiny-0", data_id=[None])}, "at row 0"),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(
    desk: Desk, body: Any, why: str
) -> None:
    with desk("http://127.0.0.1:9", "http://127.0.0.1:9") as client:
        status, told = client.refused("/submit_sample", body)
        assert client.get("/health")["rollout_buffer_len"] == 0
    assert status == 400 and why in told


def test_an_agent_that_is_down_costs_no_question(desk: Desk) -> None:
    with rewarding() as reward, desk("http://127.0.0.1:9", reward.url) as client:
        status, why = client.refused("/submit_sample", {"rollout": rows("tiny-0")})
        assert client.get("/health")["rollout_buffer_len"] == 0
    assert status == 502 and "the agent" in why
    with desk.beside_partners() as client:
        assert submit(client, "tiny-0")["rollout_buffer_len"] == 1


def test_a_right_answer_that_nobody_registered_is_no_wrong_answer(desk: Desk) -> None:
    with desk.beside_partners() as client:
        unknown = rows("tiny-0") | {"data_id": ["elsewhere"]}
        status, why = client.refused("/submit_sample", {"rollout": unknown})
        assert client.get("/health")["rollout_buffer_len"] == 0
    assert status == 502 and "the reward service knows none" in why
    assert desk.agent.kept == ()


def test_a_request_that_nobody_waits_for_is_brought_to_its_end(desk: Desk) -> None:
    with desk.beside_partners(seconds=0.05) as client:
        assert client.refused("/submit_sample", {"rollout": rows("tiny-0", "tiny-1")})[0] == 504
        for _ in range(600):
            if client.get("/health")["global_steps"] == 2:
                break
        else:
            pytest.fail("it was not brought to its end")
