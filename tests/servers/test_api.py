"""`mia serve` over real sockets: every route, what is told on the way, and what is told once."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.asking import DOWN, RUN, TWICE, Desk
from tests.servers.serving import Serving

from mia.judges.feedback import Feedback
from mia.servers.answering import Answering, Ended
from mia.servers.api import app
from mia.servers.learning import Learning
from mia.testing import ToyMemory
from mia.training.behind import Report
from mia.types import Episode, Question, Remembered

TOWN = {"question": "Which town?"}
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with closing(Desk(tmp_path)) as made:
        yield made


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def ask(client: httpx2.Client, body: dict[str, Any] | None = None, **headers: str) -> Any:
    answer = client.post("/v1/ask", json=body or TOWN, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(client: httpx2.Client, body: dict[str, Any]) -> list[tuple[str, Any]]:
    answer = client.post("/v1/ask", json=body, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [parsed(block) for block in answer.text.split("\n\n") if block.startswith("event")]


def parsed(block: str) -> tuple[str, Any]:
    name, data = block.split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def measures(client: httpx2.Client) -> str:
    return client.get("/metrics").text


# asking


def test_a_question_has_an_answer_that_is_on_the_disk(desk: Desk) -> None:
    number = desk.promoted()
    with desk() as client:
        told = ask(client, {**TOWN, "answers": ["Rovigo"]})
        kept = client.get(f"/v1/episodes/{told['episode']}").json()
    assert (told["answer"], told["outcome"], told["abstained"]) == ("Rovigo", "answered", False)
    assert (told["version"], told["plan"]) == (number, f"version {number}")
    assert told["verdict"]["value"] == "correct" and told["turns"] == 2
    assert kept["episode"]["id"] == told["episode"] and kept["episode"]["version"] == number
    assert kept["feedback"] == []
    assert desk.journal.episode(told["episode"]).answer == "Rovigo"
    assert [each.id for each in desk.memory.episodes] == [told["episode"]]


def test_without_weights_of_ours_there_is_no_version(desk: Desk) -> None:
    with desk(desk.served(in_use=False)) as client:
        told = ask(client)
        learning = client.get("/v1/learning").json()
    assert (told["version"], told["plan"]) == (None, "version -1")
    assert learning == {"name": "test", "version": None, "refused": "", "learner": None}


def test_what_was_down_is_told_and_is_no_answer(desk: Desk) -> None:
    with desk() as client:
        told = ask(client, {"question": DOWN})
        measured = measures(client)
    assert (told["answer"], told["outcome"]) == (None, "failed:model")
    assert (told["detail"], told["plan"]) == ("nobody is there", None)
    assert 'mia_failures_total{source="ask"} 1.0' in measured
    assert 'mia_requests_total{status="success",tool="ask"} 1.0' in measured
    assert "search_" not in measured


def test_a_stream_tells_what_happens_and_last_the_same_as_without(desk: Desk) -> None:
    with desk() as client:
        told = events(client, {"question": TWICE, "id": "town"})
        plain = ask(client, {"question": TWICE, "id": "town"})
        again = events(client, {"question": TWICE, "id": "town"})
    names = [name for name, _ in told]
    assert names == [
        "recollection", "plan", "turn", "turn", "reflection", "replan", "turn", "turn", "answer",
    ]  # fmt: skip
    said = dict(told)
    assert said["plan"]["text"] == "version 0" and said["replan"]["text"] == "version 0 again"
    assert told[2][1]["tool"] == "search" and "Rovigo" in told[2][1]["observation"]
    assert said["answer"] == plain and plain["replanned"] is True
    assert again == [("answer", plain)], "what was answered is not answered anew"


def test_a_silent_stream_says_that_it_is_still_there(desk: Desk) -> None:
    desk.executor.may.clear()
    with (
        desk(desk.served(keep_alive=0.05)) as client,
        client.stream("POST", "/v1/ask", json=TOWN, headers=STREAM) as answer,
    ):
        lines: list[str] = []
        for line in answer.iter_lines():
            lines.append(line)
            if line.startswith(":"):
                desk.executor.may.set()
    assert lines.count(": still at it") >= 1
    assert parsed("\n".join(lines[-3:-1]))[0] == "answer"


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_who_goes_away_ends_the_episode(desk: Desk, headers: dict[str, str]) -> None:
    desk.executor.may.clear()
    with desk() as client:
        gone = socket.create_connection(("127.0.0.1", client.base_url.port or 0))
        body = json.dumps(TOWN).encode()
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = ["POST /v1/ask HTTP/1.1", "Host: localhost", "Content-Type: application/json",
                f"Content-Length: {len(body)}", *lines, "", ""]  # fmt: skip
        gone.sendall("\r\n".join(head).encode() + body)
        until(lambda: desk.executor.begun == ["Which town?"])
        assert desk.executor.given_up == []
        gone.close()
        until(lambda: desk.executor.given_up == ["Which town?"])
        assert desk.journal.count() == 0 and desk.memory.episodes == []


def test_one_who_goes_away_does_not_end_what_another_waits_for(desk: Desk) -> None:
    desk.executor.may.clear()
    with desk() as client, ThreadPoolExecutor(1) as pool:
        waits = pool.submit(ask, client, {**TOWN, "id": "town"})
        until(lambda: len(desk.executor.begun) == 1)
        with pytest.raises(httpx2.ReadTimeout):
            client.post("/v1/ask", json={**TOWN, "id": "town"}, timeout=0.2)
        until(lambda: 'requests_total{status="success",tool="ask"} 1.0' in measures(client))
        desk.executor.may.set()
        assert waits.result(20)["answer"] == "Rovigo"
    assert desk.executor.begun == ["Which town?"] and desk.executor.given_up == []


# once


def test_a_repeated_ask_is_the_same_episode(desk: Desk) -> None:
    key = {"Idempotency-Key": "k1"}
    with desk() as client:
        first = ask(client, **key)
        assert ask(client, **key) == first
        assert ask(client, {**TOWN, "id": "k1"}) == first
        others = [ask(client)["episode"], ask(client)["episode"]]
    with desk() as client:
        assert ask(client, **key) == first, "also after a restart"
        other = client.post("/v1/ask", json={"question": "Which lake?"}, headers=key)
        unlike = client.post("/v1/ask", json={**TOWN, "id": "k2"}, headers=key)
    assert len({first["episode"], *others}) == 3
    assert other.status_code == 409 and "another question" in other.json()["error"]
    assert unlike.status_code == 422
    assert len(desk.executor.begun) == 3


def test_asks_with_one_key_at_once_are_one_episode(desk: Desk) -> None:
    desk.executor.may.clear()
    with desk() as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, client, {**TOWN, "id": "k1"}) for _ in range(8)]
        until(lambda: len(desk.executor.begun) == 1)
        desk.executor.may.set()
        told = [each.result(20) for each in asked]
    assert all(each == told[0] for each in told)
    assert desk.executor.begun == ["Which town?"] and desk.journal.count() == 1


# learning


def test_who_learns_behind_is_told_of_episodes_that_nobody_judged(desk: Desk) -> None:
    with desk(desk.served(learns=True)) as client:
        told = ask(client, {**TOWN, "user": "ada", "id": "q1"})
        (noted,) = desk.inbox.asked()
        ask(client, {**TOWN, "user": "ada", "id": "q1"})
    assert (noted.episode, noted.user) == (told["episode"], "ada")
    assert len(desk.inbox.asked()) == 1
    assert (told["verdict"]["value"], told["verdict"]["reason"]) == ("unknown", "judged later")
    assert desk.memory.questions != [] and desk.memory.episodes == []
    (entry,) = desk.journal.open_run(RUN, "").entries()
    assert entry.remembered is None, "whoever learns notes what memory did"


def test_an_answer_that_was_not_noted_is_noted_before_it_goes_out(desk: Desk) -> None:
    """As when the server is killed between the two: a repeated ask mends it, and so does
    feedback."""
    with desk() as client:  # nobody learns
        first, second = ask(client, {**TOWN, "id": "q1"}), ask(client, {**TOWN, "id": "q2"})
    assert desk.inbox.asked() == ()
    with desk(desk.served(learns=True)) as client:
        assert ask(client, {**TOWN, "id": "q1", "user": "ada"}) == first
        said = client.post("/v1/feedback", json={"episode": second["episode"], "up": True})
        assert said.status_code == 200
    assert [each.episode for each in desk.inbox.asked()] == [first["episode"], second["episode"]]


def test_feedback_is_taken_down_once_for_a_key(desk: Desk) -> None:
    with desk(desk.served(learns=True)) as client:
        episode = ask(client)["episode"]

        def tell(**said: Any) -> httpx2.Response:
            return client.post("/v1/feedback", json={"episode": episode, **said})

        assert tell(key="f1", up=True).json() == {"key": "f1", "new": True}
        assert tell(key="f1", up=True).json() == {"key": "f1", "new": False}
        assert tell(key="f1", up=False).status_code == 409
        assert tell(answer="Rovigo", text="see the map").json()["new"] is True
        desk.inbox.settle(1, "remembered")
        kept = client.get(f"/v1/episodes/{episode}").json()["feedback"]
    assert [each.feedback for each in desk.inbox.of(episode)] == [
        Feedback(up=True), Feedback(answer="Rovigo", text="see the map"),
    ]  # fmt: skip
    assert [each["came_to"] for each in kept] == ["remembered", None]


@pytest.mark.parametrize(
    ("said", "status"),
    [({}, 422), ({"text": ""}, 422), ({"up": "perhaps"}, 422), ({"score": 2}, 422),
     ({"answer": " "}, 422), ({"up": True, "mood": 1}, 422),
     ({"up": True, "episode": "nobody's"}, 404)],
)  # fmt: skip
def test_feedback_that_says_nothing_or_on_nothing_is_refused(
    desk: Desk, said: dict[str, Any], status: int
) -> None:
    with desk(desk.served(learns=True)) as client:
        answer = client.post("/v1/feedback", json={"episode": ask(client)["episode"], **said})
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert desk.inbox.waiting() == ()


def test_where_nobody_learns_feedback_says_what_to_start(desk: Desk) -> None:
    with desk() as client:
        told = client.post("/v1/feedback", json={"episode": ask(client)["episode"], "up": True})
        paused = client.post("/v1/learning/pause")
    assert told.status_code == paused.status_code == 404
    assert "--learn" in told.json()["error"] and "--learn" in paused.json()["error"]


def test_what_the_learner_does_is_told_and_changed(desk: Desk) -> None:
    lines: list[str] = []
    command = [sys.executable, "-c", "import sys; print('on it', file=sys.stderr, flush=True);"
               " sys.stdin.read()"]  # fmt: skip
    learning = Learning(command, lines.append)
    with desk(desk.served(learning)) as client:
        until(lambda: lines == ["on it"])
        first = client.get("/v1/learning").json()["learner"]
        desk.inbox.report(Report(phase="exploring", learns="memory", updates=3))
        client.post("/v1/feedback", json={"episode": ask(client)["episode"], "up": False})
        wishes = [client.post(f"/v1/learning/{change}").json()["learner"]["wish"]
                  for change in ("pause", "drain", "resume")]  # fmt: skip
        later = client.get("/v1/learning").json()["learner"]
        assert client.post("/v1/learning/stop").status_code == 422
    assert (first["wish"], first["report"], first["waiting"]) == ("run", None, 0)
    assert first["process"]["running"] and first["process"]["pid"]
    assert wishes == ["pause", "drain", "run"] and desk.inbox.wished == "run"
    assert later["report"]["phase"] == "exploring" and later["report"]["updates"] == 3
    assert later["waiting"] == 1
    assert not learning.process.running, "it ends with the server"


def test_who_learns_stands_still_while_somebody_asks(desk: Desk) -> None:
    lines: list[str] = []
    echo = "import sys\nwhile said := sys.stdin.read(1): print(said, file=sys.stderr, flush=True)"
    command = [sys.executable, "-c", echo]
    with desk(desk.served(Learning(command, lines.append))) as client:
        until(lambda: lines == ["0"])
        ask(client)
        until(lambda: lines == ["0", "1", "0"])
        ask(client)
        until(lambda: lines == ["0", "1", "0", "1", "0"])


def test_right_answers_come_as_feedback_where_somebody_learns(desk: Desk) -> None:
    with desk(desk.served(learns=True)) as client:
        told = client.post("/v1/ask", json={**TOWN, "answers": ["Rovigo"]})
    assert told.status_code == 422 and "/v1/feedback" in told.json()["error"]


# versions


def test_what_is_promoted_answers_the_next_question(desk: Desk) -> None:
    with desk() as client:
        said: list[tuple[int, str]] = []
        for number in (0, desk.promoted(), desk.promoted()):
            until(lambda: client.get("/v1/learning").json()["version"] == desk.host.version)
            until(lambda number=number: desk.host.version >= number)
            told = ask(client)
            said.append((told["version"], told["plan"]))
        desk.shelf.rollback()
        until(lambda: desk.host.version == 1)
        assert ask(client)["version"] == 1
    assert said[-1] == (2, "version 2")
    assert desk.host.closed


def test_a_running_episode_ends_on_the_version_it_began_with(desk: Desk) -> None:
    desk.executor.may.clear()
    with desk() as client, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, client, {"question": TWICE})
        until(lambda: len(desk.executor.begun) == 1)
        desk.promoted()
        until(lambda: desk.host.version == 1)
        desk.executor.may.set()
        told = asked.result(20)
        kept = client.get(f"/v1/episodes/{told['episode']}").json()["episode"]
        assert ask(client)["version"] == 1
    assert told["version"] == 0 and told["plan"] == "version 0 again"
    assert kept["reflection"]["reason"] == "version 0"


@pytest.mark.parametrize("spoiled", [True, False])
def test_a_version_that_cannot_be_served_leaves_the_one_before(
    desk: Desk, spoiled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    desk.promoted()
    with desk() as client:
        if spoiled:
            desk.host.refuses = {2}
            desk.promoted()
        else:
            desk.promoted(base="1" * 64)
        until(lambda: client.get("/v1/learning").json()["refused"] != "")
        assert ask(client)["version"] == 1
        standing = client.get("/v1/learning").json()
        desk.shelf.rollback()
        until(lambda: client.get("/v1/learning").json()["refused"] == "")
        assert ask(client)["version"] == 1
    why = "version 2 is refused" if spoiled else "is an adapter for base"
    assert standing["version"] == 1 and why in standing["refused"]
    assert caplog.text.count("is not served") == 1, "said once, however often it is looked at"


def test_a_pointer_that_cannot_be_read_changes_nothing_and_is_told_of_once(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk.promoted()
    pointer = tmp_path / "policies" / "planner" / "current.json"
    with desk() as client:
        whole = pointer.read_bytes()
        pointer.write_bytes(b"{")
        until(lambda: "cannot be read" in client.get("/v1/learning").json()["refused"])
        assert ask(client)["version"] == 1
        pointer.write_bytes(whole)
        until(lambda: client.get("/v1/learning").json()["refused"] == "")
    assert caplog.text.count("is not served") == 1


def test_a_server_begins_with_what_came_with_mia_where_the_version_in_use_is_none(
    desk: Desk,
) -> None:
    desk.host.refuses = {desk.promoted()}
    with desk() as client:
        assert ask(client)["version"] == 0
        assert "refused" in client.get("/v1/learning").json()["refused"]


# at the door


def test_other_machines_need_the_token(desk: Desk) -> None:
    with desk(token="secret") as client:
        assert ask(client)["answer"] == "Rovigo"
        for authorization in ("", "Bearer wrong"):
            headers = {"Authorization": authorization}
            for method, path in (("POST", "/v1/ask"), ("POST", "/v1/feedback"),
                                 ("GET", "/v1/learning"), ("GET", "/v1/episodes/x")):  # fmt: skip
                told = client.request(method, path, headers=headers, json={})
                assert told.status_code == 401, path
            assert client.get("/health", headers=headers).status_code == 200


def test_a_page_of_the_web_is_not_answered(desk: Desk) -> None:
    with desk(desk.served(learns=True)) as client:
        foreign = {"Origin": "https://evil.example"}
        asked = client.post("/v1/ask", json=TOWN, headers=foreign)
        paused = client.post("/v1/learning/pause", headers=foreign)
    assert asked.status_code == paused.status_code == 403 and desk.inbox.wished == "run"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"question": ""}', b'{"question": " "}', b'{"question": 1}', b"\xff",
     b'{"question": "a", "id": ""}', b'{"question": "a", "temperature": 1}',
     b'{"question": "a", "answers": []}'],
)  # fmt: skip
def test_what_is_no_question_is_told_so(desk: Desk, body: bytes) -> None:
    json_ = {"Content-Type": "application/json"}
    with desk() as client:
        told = client.post("/v1/ask", content=body, headers=json_)
    assert told.status_code in (400, 422)
    assert told.json()["request_id"] == told.headers["x-request-id"] and told.json()["error"]


def test_what_is_too_long_or_not_there_is_told_in_the_same_words(desk: Desk) -> None:
    with desk() as client:
        long = client.post("/v1/ask", content=b"x" * (2**20 + 1))
        nowhere, wrong = client.get("/v2"), client.get("/v1/ask")
        unknown = client.get("/v1/episodes/x")
    assert [each.status_code for each in (long, nowhere, wrong, unknown)] == [413, 404, 405, 404]
    assert all(each.json()["error"] for each in (long, nowhere, wrong, unknown))


def test_the_routes_say_what_they_take_and_answer(desk: Desk) -> None:
    with desk() as client:
        told = client.get("/openapi.json").json()
        assert all(client.get(f"/{path}").status_code == 200 for path in ("health", "readyz"))
    schemas = told["components"]["schemas"]
    answers = told["paths"]["/v1/ask"]["post"]["responses"]["200"]["content"]
    assert answers["application/json"]["schema"] == {"$ref": "#/components/schemas/Answered"}
    assert set(answers) == {"application/json", "text/event-stream"}
    assert {"Ask", "Tell", "Answered", "Noted", "Kept", "Standing"} <= set(schemas)
    assert "version" in schemas["Answered"]["properties"]
    named = set(json.dumps(told).split('"#/components/schemas/')[1:])
    assert all(each.split('"')[0] in schemas for each in named)


@pytest.mark.parametrize("headers", [{}, STREAM])
def test_who_waits_when_the_server_stops_is_told_so(
    desk: Desk, headers: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    desk.executor.may.clear()
    with ThreadPoolExecutor(1) as pool:
        with Serving(app(desk.served()), farewell=1) as server:
            url = f"{server.url}/v1/ask"
            asked = pool.submit(httpx2.post, url, json=TOWN, headers=headers, timeout=20)
            until(lambda: len(desk.executor.begun) == 1)
        told = asked.result(20)
    if headers:
        said = [parsed(block) for block in told.text.split("\n\n") if block.startswith("event")]
        assert (told.status_code, said[-1][0]) == (200, "error")
        assert said[-1][1]["error"] == "the server stops"
    else:
        assert told.status_code == 503 and told.json()["error"] == "the server stops"
    assert desk.executor.given_up == ["Which town?"] and desk.journal.count() == 0
    assert "Traceback" not in capfd.readouterr().err


async def test_what_has_an_answer_is_remembered_before_the_end_and_all_else_given_up(
    desk: Desk,
) -> None:
    town, lake = (Question(text=text, id=text) for text in ("Which town?", "Which lake?"))
    memory = _Slow()
    parts = replace(desk.served().parts, team=replace(desk.team, memory=memory))
    answering = Answering(parts)
    async with answering.open():
        async with answering.episode(town, "", again=False) as running:
            assert (await running.answered()).answer == "Rovigo"
        desk.executor.may.clear()
        opened = answering.episode(lake, "", again=False)
        waiting = (await opened.__aenter__()).answered()
        assert memory.episodes == []
    with pytest.raises(Ended, match="the server stops"):
        await waiting
    await opened.__aexit__(None, None, None)
    assert [each.question.text for each in memory.episodes] == ["Which town?"]
    assert desk.journal.count() == 1


class _Slow(ToyMemory):
    """Takes a while to remember."""

    async def remember(self, episode: Episode) -> Remembered:
        await asyncio.sleep(0.1)
        return await super().remember(episode)
