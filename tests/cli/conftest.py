"""The command line, run in this process or as one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cli.playing import Home, Served, plays

from mia.cli.main import main


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


Mia = Callable[..., Said]


@pytest.fixture
def served() -> Iterator[Served]:
    with Served(plays) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, served: Served) -> Home:
    """A furnished home whose models are served."""
    made = Home(tmp_path)
    made.configure(served.url)
    made.furnish()
    return made


@pytest.fixture
def mia(home: Home, capsys: pytest.CaptureFixture[str]) -> Mia:
    """Runs a command here, with the settings of the home."""

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--config", str(home.config)])
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def start(home: Home) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command as a process, which does not outlive the test."""
    started: list[subprocess.Popen[str]] = []
    # what a shell runs in the background ignores Ctrl-C, and so would its children
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def run(*arguments: str) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MIA_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "mia", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=home.folder,
            env={**environment, "MIA_CONFIG": str(home.config)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
