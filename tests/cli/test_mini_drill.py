"""The promise of `mia stream`, on real questions: with the embedded model, and with the same model
behind llama.cpp's own HTTP server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mia.journal import Journal

SERVER = Path(__file__).parents[2] / "recipes" / "llama_server.py"
MINI = Path(__file__).parents[2].parent / "shared" / "data" / "mini"
KILLS = (25, 90)
"""The process is killed once so many episodes are written down."""


def begin(home: Path, config: Path) -> subprocess.Popen[bytes]:
    files = [str(MINI / "questions.jsonl"), "--corpus", str(MINI / "corpus.jsonl")]
    where = ["--home", str(home), "--config", str(config)]
    command = [sys.executable, "-m", "mia", "stream", *files, "--run", "drill", *where]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def written(home: Path) -> int:
    if not (home / "journal.db").exists():
        return 0
    journal = Journal(home / "journal.db")
    try:
        return len(journal.entries("drill"))
    finally:
        journal.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Path:
    """Settings that name no endpoint."""
    config = tmp_path / "mia.toml"
    config.write_text("", encoding="utf-8")
    return config


@pytest.fixture
def over_http(tmp_path: Path, real_home: Path) -> Iterator[Path]:
    """Settings that name two servers, each with one adapter."""
    lines = ['[executor]\nkind = "stepwise"\n']
    servers: list[subprocess.Popen[str]] = []
    for role, adapter in (("planner", "planner"), ("executor", "reader")):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        command = [sys.executable, str(SERVER), "--adapter", adapter, "--port", port]
        environment = os.environ | {"MIA_HOME": str(real_home)}
        servers.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
        )
        url = f"http://127.0.0.1:{port}/v1"
        lines.append(f'[models.{role}]\nbase_url = "{url}"\nmodel = "{role}"\ngrammars = true\n')
    config = tmp_path / "mia.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    try:
        for server in servers:
            assert server.stdout is not None
            assert "serving" in server.stdout.readline()
        yield config
    finally:
        for server in servers:
            server.kill()
            server.communicate()


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("models", ["embedded", "over_http"])
def test_200_real_questions_killed_twice_end_in_200_episodes(
    models: str, real_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not MINI.is_dir():
        pytest.skip(f"no real questions at {MINI}")
    config: Path = request.getfixturevalue(models)
    (tmp_path / "models").symlink_to(real_home / "models")
    for enough in KILLS:
        process = begin(tmp_path, config)
        while written(tmp_path) < enough:
            assert process.poll() is None, "the stream ended before it was killed"
            time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    process = begin(tmp_path, config)
    assert process.wait() == 0
    journal = Journal(tmp_path / "journal.db")
    entries = journal.entries("drill")
    journal.close()
    asked = {entry.episode.question.id for entry in entries}
    assert len(entries) == len(asked) == 200
    assert all(entry.remembered is not None for entry in entries)
    assert not any(entry.episode.final.failed for entry in entries)
