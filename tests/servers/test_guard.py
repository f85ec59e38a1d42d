"""What stands before every server: tokens, names, sizes and turns, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from tests.servers.serving import Serving

from mia.errors import ConfigError
from mia.servers.guard import Guard, Limits, check_binding


class Echo:
    """Answers with the length of the body, after a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.asked += 1
        taken, more = 0, True
        while more:
            message = await receive()
            taken += len(message.get("body", b""))
            more = message.get("more_body", False)
        await asyncio.sleep(self.seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(taken).encode()})


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as made:
        yield made


def test_without_the_token_nothing_but_health_is_answered(client: httpx2.Client) -> None:
    app = Echo()
    with Serving(Guard(app, token="secret")) as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
            assert client.get(f"{server.url}/search", headers=headers).status_code == 401
        assert app.asked == 0
        assert client.get(f"{server.url}/health").status_code == 200
        answer = client.get(f"{server.url}/search", headers={"Authorization": "Bearer secret"})
        assert answer.status_code == 200


def test_a_name_that_is_not_ours_is_refused_unless_there_is_a_token(client: httpx2.Client) -> None:
    named = {"Host": "evil.example"}
    with Serving(Guard(Echo())) as server:
        assert client.get(server.url, headers=named).status_code == 421
        for name in ("localhost", "127.0.0.1:1", "[::1]:80"):
            assert client.get(server.url, headers={"Host": name}).status_code == 200
    with Serving(Guard(Echo(), names=frozenset({"mia.example"}))) as server:
        assert client.get(server.url, headers={"Host": "mia.example:8001"}).status_code == 200
        assert client.get(server.url, headers=named).status_code == 421


def test_a_body_over_its_limit_is_refused_with_and_without_a_length(client: httpx2.Client) -> None:
    app = Echo()
    with Serving(Guard(app, limits=Limits(body=1000))) as server:
        assert client.post(server.url, content=b"x" * 1000).text == "1000"
        assert client.post(server.url, content=b"x" * 1001).status_code == 413
        assert app.asked == 1
        pieces = (b"x" * 100 for _ in range(20))
        assert client.post(server.url, content=pieces).status_code == 413


def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered() -> None:
    limits = Limits(at_once=2, waiting=2, longest_wait=5.0)
    with Serving(Guard(Echo(0.3), limits=limits)) as server, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx2.get(server.url, trust_env=False), range(8)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] * 4 + [503] * 4
    assert all(a.headers["retry-after"] for a in answers if a.status_code == 503)


def test_a_turn_that_does_not_come_in_time_is_refused() -> None:
    limits = Limits(at_once=1, waiting=4, longest_wait=0.1)
    with Serving(Guard(Echo(0.5), limits=limits)) as server, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: httpx2.get(server.url, trust_env=False), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 503]


def test_every_answer_names_its_request(client: httpx2.Client) -> None:
    with Serving(Guard(Echo(), token="secret")) as server:
        refused, well = client.get(server.url), client.get(f"{server.url}/health")
        assert refused.json()["request_id"] == refused.headers["x-request-id"]
        assert well.headers["x-request-id"] != refused.headers["x-request-id"]


def test_a_length_that_is_no_number_is_no_request() -> None:
    with (
        Serving(Guard(Echo())) as server,
        socket.create_connection(("127.0.0.1", server.port)) as s,
    ):
        s.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: many\r\n\r\n")
        assert s.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "mia.example"])
def test_a_server_that_others_can_reach_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        check_binding(host, None)
    check_binding(host, "secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_server_for_this_machine_needs_none(host: str) -> None:
    check_binding(host, None)
