"""`mia serve reference --role learner`: the streaming trainer of a home, as a process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.cli.playing import Home
from tests.cli.test_serve_reference import running
from tests.servers.agents import Agent
from tests.servers.learners import rewarding, rows

from mia.cli.serve_learner import order_of
from mia.errors import InputError
from mia.training import tiny
from mia.training.embedded import EMBEDDED
from mia.training.versions import shelf

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]
TINY = (
    "--role", "learner", "--preset", "tiny", "--base", "tiny", "--set", "questions=2",
    "--set", "attempts=4",
)  # fmt: skip


def post(address: str, body: Any) -> Any:
    with urlopen(Request(address, json.dumps(body).encode(), method="POST"), timeout=90) as answer:
        return json.load(answer)


def test_a_learner_updates_its_planner_and_publishes_versions(
    start: Start, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    agent = Agent(tmp_path / "agent")
    with agent(executor=tiny.TinyExecutor(tiny.ByRule())) as partner, rewarding() as reward:
        monkeypatch.setenv("TTRL_AGENT_BASE", partner.url)
        monkeypatch.setenv("GT_REWARD_URL", reward.url)
        with running(start, *TINY) as (address, told):
            assert "0 updates in 'streaming'; planner tiny, 2 questions of 4 attempts" in told
            body = {"rollout": rows("tiny-0", "tiny-1"), "epoch": 0, "finish": True}
            assert post(f"{address}/submit_sample", body)["status"] == "step"
            assert post(f"{address}/save_checkpoint", {})["checkpoint_global_step"] == 1
        with running(start, *TINY) as (address, told):
            assert "1 updates" in told
            assert post(f"{address}/save_checkpoint", {})["ok"] is True
    (version,) = shelf(home.data / "tiny", "planner").versions()
    assert version.metrics["updates"] == 1.0 and version.made_by == "online"
    assert "adapter_model.safetensors" in version.files
    assert (home.data / "published" / "learner" / "streaming" / "checkpoint").is_dir()


def test_a_run_goes_on_with_what_it_was_begun_with(start: Start, mia: Mia, home: Home) -> None:
    with running(start, *TINY):
        said = mia("serve", "reference", "--port", "0", *TINY)
        assert said.code == 5 and "another process" in said.err
    said = mia("serve", "reference", "--port", "0", *TINY, "--set", "learning_rate=1e-9")
    assert said.code == 2 and "learning_rate" in said.err


def test_the_preset_goes_with_the_base() -> None:
    own = order_of(None, (), None, None, None, "cpu")
    theirs = order_of(None, ("attempts=3",), "/models/8b", "none", "night", "cpu")
    assert (own.base, own.preset.rank, own.name) == (EMBEDDED, 8, "streaming")
    assert (theirs.base, theirs.preset.questions, theirs.preset.attempts) == ("/models/8b", 32, 3)
    assert (theirs.begins, theirs.name) == ("none", "night")
    with pytest.raises(InputError, match="streaming"):
        order_of("nothing", (), None, None, None, "cpu")
