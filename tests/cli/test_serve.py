"""`mia serve`: what it says, and how it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from subprocess import Popen
from typing import Any
from urllib.request import urlopen

from tests.cli.playing import Home

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]


def test_a_server_says_what_it_answers_from_and_where(start: Start, home: Home) -> None:
    with home.config.open("a") as settings:
        settings.write('[search.web]\norder = ["wikipedia"]\n')
    process = start("serve", "search", "--corpus", str(home.corpus), "--port", "0")
    assert process.stderr is not None
    told = [process.stderr.readline()]
    while "listening" not in told[-1]:
        told.append(process.stderr.readline())
        assert told[-1], "it ended"
    assert f"serving the corpus {home.corpus}; the web by wikipedia\n" in told
    address = told[-1].split()[2]
    with urlopen(f"{address}/health", timeout=10) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_other_machines_are_served_only_with_a_token(mia: Mia, home: Home) -> None:
    said = mia("serve", "search", "--host", "0.0.0.0", "--corpus", str(home.corpus))
    assert said.code == 2 and "MIA_SERVER_TOKEN" in said.err and said.err.count("\n") == 1
