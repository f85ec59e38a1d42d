"""`mia serve` as a process: it answers, follows the version in use, and takes feedback down."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.cli.playing import Home, Served, item, plans, plays

from mia.cli.serve_api import Around, Wishes, command
from mia.engines import adapters
from mia.models.catalog import known
from mia.models.torch_local import origin_of
from mia.testing import Fault, Received, faults
from mia.training.versions import GGUF, Draft, Shelf, shelf

Mia = Callable[..., Any]
Start = Callable[..., Popen[str]]
ITEM = "What colour is item 3?"


@contextmanager
def running(start: Start, *arguments: str) -> Generator[tuple[Popen[str], str, str]]:
    """A server as a process, its address, and what it says."""
    process = start("serve", "--port", "0", *arguments)
    assert process.stderr is not None
    told = [process.stderr.readline()]
    while "listening" not in told[-1]:
        told.append(process.stderr.readline())
        assert told[-1], f"it ended: {told}"
    yield process, told[-1].split()[2], "".join(told)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)
        assert (process.returncode, out) == (0, "") and "Traceback" not in err


def call(address: str, body: Any = None) -> Any:
    raw = None if body is None else json.dumps(body).encode()
    request = Request(address, raw, {"Content-Type": "application/json"})
    with urlopen(request, timeout=90) as answer:
        return json.load(answer)


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def publish(policies: Shelf, base_sha256: str, gguf: bytes = b"") -> int:
    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        if gguf:
            (folder / GGUF).write_bytes(gguf)

    draft = Draft(base="base", base_sha256=base_sha256, made_by="online")
    return policies.publish(draft, fill).number


def test_a_server_says_what_it_serves_and_how_to_ask_it(start: Start, home: Home) -> None:
    with running(start, "--corpus", str(home.corpus)) as (_, address, said):
        assert "planner toy at 127.0.0.1; the corpus" in said
        assert f'{address}/v1/ask -d \'{{"question"' in said and "/v1/feedback" not in said
        told = call(f"{address}/v1/ask", {"question": ITEM, "answers": ["kind 3"]})
        assert (told["answer"], told["version"]) == ("kind 3", None)
        assert told["verdict"]["value"] == "correct"
        with pytest.raises(HTTPError, match="404"):
            call(f"{address}/v1/feedback", {"episode": told["episode"], "up": True})
        assert call(f"{address}/v1/learning")["learner"] is None


def test_feedback_outlives_a_kill_and_comes_to_memory(start: Start, mia: Mia, home: Home) -> None:
    learn = ("--learn", "--corpus", str(home.corpus))
    with running(start, *learn) as (process, address, said):
        assert "; memory learns behind, by feedback" in said and "/v1/feedback" in said
        told = call(f"{address}/v1/ask", {"question": ITEM, "id": "q1"})
        learner = call(f"{address}/v1/learning")["learner"]["process"]
        call(f"{address}/v1/feedback", {"episode": told["episode"], "key": "f1", "up": True})
        process.kill()
        process.wait()
    pid = learner["pid"]
    until(lambda: pid is None or not Path(f"/proc/{pid}").exists())
    with running(start, *learn) as (_, address, _):
        again = call(f"{address}/v1/ask", {"question": ITEM, "id": "q1"})

        def kept() -> Any:
            (one,) = call(f"{address}/v1/episodes/{told['episode']}")["feedback"]
            return one

        first = kept()
        until(lambda: kept()["came_to"] is not None)
        until(lambda: call(f"{address}/v1/learning")["learner"]["report"]["explored"] == 1)
        learned = call(f"{address}/v1/learning")["learner"]
        said = call(f"{address}/v1/feedback", {"episode": told["episode"], "key": "f1", "up": True})
    assert again == told and said == {"key": "f1", "new": False}
    assert (first["key"], first["feedback"]) == ("f1", {"up": True})
    assert learned["report"]["learns"] == "memory" and learned["waiting"] == 0
    assert mia("memory", "list", "--json").out.count(ITEM) == 1


@pytest.fixture
def served() -> Iterator[Served]:
    """A vLLM server, whose plans say which adapter made them."""

    def player(request: Received) -> Fault:
        if request.path.endswith("_lora_adapter"):
            return Fault(body=b"Success")
        if plans(request):
            return faults.ok(f"{(request.body or {})['model']} looks for item {item(request)}")
        return plays(request)

    with Served(player) as server:
        yield server


def test_what_is_promoted_answers_and_a_rollback_takes_it_back(
    start: Start, mia: Mia, home: Home
) -> None:
    base = home.folder / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"weights")
    policies = shelf(home.data, "planner")
    number = publish(policies, origin_of(base).sha256)
    served = ("--base", str(base), "--corpus", str(home.corpus))
    with running(start, *served) as (_, address, said):

        def version() -> int:
            return call(f"{address}/v1/learning")["version"]

        def asked() -> tuple[int, str]:
            told = call(f"{address}/v1/ask", {"question": ITEM})
            return told["version"], told["plan"].split()[0]

        assert "version 0" in said and asked() == (0, "toy")
        assert mia("policy", "promote", "planner", str(number)).code == 0
        until(lambda: version() == number)
        assert asked() == (number, "planner-served-v1")
        policies.promote(publish(policies, "1" * 64))
        until(lambda: "another base" in call(f"{address}/v1/learning")["refused"])
        assert asked()[0] == number
        for _ in range(2):
            assert mia("policy", "rollback", "planner").code == 0
        until(lambda: version() == 0)
        assert asked() == (0, "toy")


def test_the_embedded_planner_changes_versions_between_two_questions(
    start: Start, home: Home, real_home: Path
) -> None:
    home.data.mkdir()
    (home.data / "models").symlink_to(real_home / "models")
    home.config.write_text(f'home = "{home.data}"\nthreads = 1\n')
    policies = shelf(home.data, "planner")
    sha256 = known("smollm2-135m").sha256
    first, second = (
        publish(policies, sha256, adapters()["planner"].read_bytes()) for _ in range(2)
    )
    broken = publish(policies, sha256, b"no adapter")
    policies.promote(first)
    with running(start, "--corpus", str(home.corpus)) as (_, address, said):
        assert f"planner embedded, version {first}" in said
        assert call(f"{address}/v1/ask", {"question": ITEM})["version"] == first
        policies.promote(broken)
        until(lambda: "cannot serve" in call(f"{address}/v1/learning")["refused"])
        assert call(f"{address}/v1/ask", {"question": ITEM})["version"] == first
        policies.promote(second)
        until(lambda: call(f"{address}/v1/learning")["version"] == second)
        assert call(f"{address}/v1/ask", {"question": ITEM})["version"] == second


def test_what_cannot_be_learned_with_is_said_before_anything_is_served(
    mia: Mia, home: Home
) -> None:
    home.questions.write_text('{"question": "Which town?", "id": "town"}\n')
    for arguments, code, told in (
        (["--judge", "vote"], 2, "are for --learn"),
        (["--keep", "3"], 2, "are for --learn"),
        (["--learn", "--judge", "gold"], 2, "feedback, panel, vote"),
        (["--learn", "--judge", "panel"], 2, "[models.judge]"),  # judge = "exact" in the settings
        (["--learn", "--preset", "huge"], 2, "embedded-online"),
        (["--learn", "--set", "attempt=2"], 2, "did you mean attempts"),
        (["--learn", "--guard", "kl=-1"], 2, "--guard kl=-1"),
        (["--learn", "--name", "a/b"], 2, "no name"),
        (["--learn", "--reward", "nowhere:none"], 2, "no reward at 'nowhere:none'"),
        (["--reward", "a:b"], 2, "are for --learn"),
        (["--learn", "--canary", str(home.questions)], 2, "1 canary questions have no answer"),
        (["--base", str(home.folder / "nothing")], 2, "no model in Hugging Face's form"),
        (["--host", "0.0.0.0"], 2, "MIA_SERVER_TOKEN"),
        (["--name", "two", "search"], 2, "stand behind it"),
    ):
        said = mia("serve", "--port", "0", *arguments)
        assert (said.code, said.out) == (code, "") and told in said.err, arguments


def test_two_servers_of_one_name_are_one_too_many(start: Start, mia: Mia, home: Home) -> None:
    with running(start, "--corpus", str(home.corpus)):
        said = mia("serve", "--port", "0", "--corpus", str(home.corpus))
        assert said.code == 5 and "serve served" in said.err


def test_a_learner_is_told_what_its_server_was_told() -> None:
    around = Around("night", "/base", Path("c.jsonl"), True, Path("mia.toml"), Path("home"), "lab")
    wishes = Wishes(
        "vote", "ttrl", ("attempts=4", "seed=1"), ("kl=0.1",), "c", "none", "cpu", "a:b", 3, 0
    )
    said = command(around, wishes)
    assert said[:5] == [sys.executable, "-m", "mia", "serve", "behind"]
    assert " ".join(said[5:]) == (
        "--name night --judge vote --preset ttrl --canary c --base /base --from none --device cpu"
        " --reward a:b --keep 3 --explore-per-day 0 --corpus c.jsonl --config mia.toml --home home"
        " --namespace lab --set attempts=4 --set seed=1 --guard kl=0.1 --web"
    )
    bare = command(Around("served", None, None, False, None, None, None), Wishes())
    assert bare[5:] == ["--name", "served", "--judge", "feedback"]
