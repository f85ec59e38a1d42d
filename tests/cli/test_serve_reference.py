"""`mia serve reference`: the published services of a home, as a process."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any
from urllib.request import Request, urlopen

import pytest
from msgspec.structs import replace
from tests.cli.playing import Home, Served

from mia.cli.serve import PORTS
from mia.cli.serve_reference import for_clients
from mia.config import load
from mia.servers.reference_memory_wire import MOST_RECALLED

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]


@contextmanager
def running(start: Start, *arguments: str) -> Generator[tuple[str, str]]:
    """The address of a service, and what it says it serves."""
    process = start("serve", "reference", "--port", "0", *arguments)
    assert process.stderr is not None
    told = [process.stderr.readline()]
    while "listening" not in told[-1]:
        told.append(process.stderr.readline())
        assert told[-1], "it ended"
    yield told[-1].split()[2], "".join(told)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def post(address: str, body: Any) -> Any:
    with urlopen(Request(address, json.dumps(body).encode(), method="POST"), timeout=20) as answer:
        return json.load(answer)


def test_a_memory_service_plans_with_the_models_of_the_settings(start: Start, home: Home) -> None:
    with running(start, "--role", "memory", "--namespace", "lab") as (address, told):
        assert "0 workflows in 'lab'; planner toy at 127.0.0.1, manager code" in told
        (planned,) = post(f"{address}/plan", [{"question": "Who made item 3?"}])
    assert planned["plan"].startswith("1. Search for item 3.")
    assert (home.data / "memory.db").is_file()


def test_a_reward_service_keeps_its_answers_in_the_home(start: Start, home: Home) -> None:
    with running(start, "--role", "reward") as (address, told):
        assert "0 right answers" in told and "judge exact" in told
        post(f"{address}/register_gts", {"data_id": "q1", "ground_truth": "Rovigo"})
        messages = ["1. Search.", "<answer>Rovigo</answer>", "no"]
        worth = post(f"{address}/compute_gt_reward", {"data_id": "q1", "messages": messages})
    assert worth["score"] == 1.0
    with running(start, "--role", "reward") as (_, told):
        assert "1 right answers" in told


def test_a_search_service_is_the_search_server(start: Start, home: Home) -> None:
    with running(start, "--role", "search", "--no-web", "--corpus", str(home.corpus)) as (at, _):
        found = post(f"{at}/retrieve", {"queries": ["item 3"], "topk": 1, "return_scores": True})
    assert found["result"][0][0]["document"]["id"] == "i3"


def test_options_of_another_role_are_refused(mia: Mia) -> None:
    said = mia("serve", "reference", "--role", "reward", "--unsupervised")
    assert said.code == 2 and "--role memory" in said.err
    said = mia("serve", "reference", "--role", "agent", "--set", "attempts=2")
    assert said.code == 2 and "--role learner" in said.err
    assert mia("serve", "reference").code == 2


@pytest.mark.parametrize("role", ["memory", "agent", "learner", "reward", "search"])
def test_other_machines_are_served_only_with_a_token(mia: Mia, home: Home, role: str) -> None:
    said = mia("serve", "reference", "--role", role, "--host", "0.0.0.0")
    assert said.code == 2 and "MIA_SERVER_TOKEN" in said.err and said.err.count("\n") == 1


def test_the_ports_are_the_published_ones() -> None:
    assert {role.value: port for role, port in PORTS.items()} == {
        "memory": 5000, "agent": 5000, "reward": 6000, "search": 8001,
        "learner": 8765,
    }  # fmt: skip


def test_recall_returns_all_that_a_request_may_ask_for_and_withholds_nothing(home: Home) -> None:
    plain = load(home.config)
    withholding = replace(plain.settings, memory=replace(plain.settings.memory, withhold=0.5))
    memory = for_clients(replace(plain, settings=withholding), "qwen").settings.memory
    assert memory.withhold == 0.0
    assert memory.successes == memory.failures == MOST_RECALLED
    assert memory.tokens == plain.settings.memory.tokens * MOST_RECALLED


def test_published_variables_name_models_that_the_settings_do_not(
    home: Home, served: Served
) -> None:
    urls = {"MEMORY_URL": "http://manager.example/v1", "PLAN_URL": "http://planner.example/v1"}
    home.config.write_text(f'home = "{home.data}"\n')
    models = for_clients(load(home.config, urls), "qwen").settings.models
    assert models.manager is not None and models.planner is not None
    assert (models.manager.base_url, models.manager.model) == (urls["MEMORY_URL"], "qwen")
    assert models.planner.base_url == urls["PLAN_URL"] and models.executor == models.planner
    home.configure(served.url)
    models = for_clients(load(home.config, urls), "qwen").settings.models
    assert models.manager is None and models.planner == models.default
