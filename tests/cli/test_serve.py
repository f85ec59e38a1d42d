"""`mia serve`: what it says, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import urlopen

from tests.cli.playing import Home

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]


def test_a_server_says_what_it_answers_from_and_where(mia: Mia, start: Start, home: Home) -> None:
    with home.config.open("a") as settings:
        settings.write('[search.web]\norder = ["wikipedia"]\n')
    index = Path(mia("index", "build", str(home.corpus)).out.strip())
    process = start("serve", "search", "--corpus", index.name, "--port", "0")
    assert process.stderr is not None
    told = [process.stderr.readline()]
    while "listening" not in told[-1]:
        told.append(process.stderr.readline())
        assert told[-1], "it ended"
    assert f"serving the corpus {index}; the web by wikipedia\n" in told
    address = told[-1].split()[2]
    with urlopen(f"{address}/health", timeout=10) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_port_that_is_taken_is_one_line_and_code_2(mia: Mia, home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = mia("serve", "search", "--corpus", str(home.corpus), "--port", str(port))
    assert (said.code, said.out) == (2, "") and said.err.count("\n") == 1
    assert said.err.startswith("mia: cannot listen at 127.0.0.1, port") and "--port" in said.err


def test_other_machines_are_served_only_with_a_token(mia: Mia, home: Home) -> None:
    said = mia("serve", "search", "--host", "0.0.0.0", "--corpus", str(home.corpus))
    assert said.code == 2 and "MIA_SERVER_TOKEN" in said.err and said.err.count("\n") == 1
