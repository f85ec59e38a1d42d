"""The promise of `mia stream`, on real questions with the real embedded model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mia.journal import Journal

MINI = Path(__file__).parents[2].parent / "shared" / "data" / "mini"
KILLS = (25, 90)
"""The process is killed once so many episodes are written down."""


def begin(home: Path) -> subprocess.Popen[bytes]:
    files = [str(MINI / "questions.jsonl"), "--corpus", str(MINI / "corpus.jsonl")]
    command = [sys.executable, "-m", "mia", "stream", *files, "--run", "drill", "--home", str(home)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def written(home: Path) -> int:
    if not (home / "journal.db").exists():
        return 0
    journal = Journal(home / "journal.db")
    try:
        return len(journal.entries("drill"))
    finally:
        journal.close()


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_200_real_questions_killed_twice_end_in_200_episodes(
    real_home: Path, tmp_path: Path
) -> None:
    if not MINI.is_dir():
        pytest.skip(f"no real questions at {MINI}")
    (tmp_path / "models").symlink_to(real_home / "models")
    for enough in KILLS:
        process = begin(tmp_path)
        while written(tmp_path) < enough:
            assert process.poll() is None, "the stream ended before it was killed"
            time.sleep(0.5)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    process = begin(tmp_path)
    assert process.wait() == 0
    journal = Journal(tmp_path / "journal.db")
    entries = journal.entries("drill")
    journal.close()
    asked = {entry.episode.question.id for entry in entries}
    assert len(entries) == len(asked) == 200
    assert all(entry.remembered is not None for entry in entries)
    assert not any(entry.episode.final.failed for entry in entries)
