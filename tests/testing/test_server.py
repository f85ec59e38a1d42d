"""The fault server, seen by a plain HTTP client."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from mia.testing import FaultServer, ScriptError, faults


def client(server: FaultServer) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=server.url, trust_env=False)


async def test_the_routes_of_openai_are_answered_well_by_default() -> None:
    async with FaultServer(then=faults.good()) as server, client(server) as http:
        chat = await http.post("/chat/completions", json={"messages": []})
        vectors = await http.post("/embeddings", json={"input": ["a", "b"]})
        models = await http.get("/models")
    assert chat.json()["choices"][0]["message"]["content"] == "a good answer"
    assert [len(row["embedding"]) for row in vectors.json()["data"]] == [64, 64]
    assert models.json()["data"][0]["id"] == "toy"
    assert [(r.method, r.path) for r in server.requests] == [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
    ]


async def test_a_script_is_played_in_order_over_one_connection() -> None:
    script = [faults.status(429, headers=[("Retry-After", "3")]), faults.html_200(), faults.ok("x")]
    async with FaultServer(script) as server, client(server) as http:
        replies = [await http.post("/chat/completions", json={}) for _ in script]
    assert [reply.status_code for reply in replies] == [429, 200, 200]
    assert replies[0].headers["retry-after"] == "3"
    assert replies[1].headers["content-type"].startswith("text/html")
    assert server.unused == []


async def test_a_reset_breaks_the_body_and_not_the_next_request() -> None:
    async with FaultServer([faults.reset(), faults.ok("x")]) as server, client(server) as http:
        with pytest.raises(httpx2.ReadError):
            await http.post("/chat/completions", json={})
        assert (await http.post("/chat/completions", json={})).status_code == 200


async def test_a_silent_server_neither_answers_nor_outlives_its_test() -> None:
    async with FaultServer([faults.silence(), faults.delay(60)]) as server:
        http = client(server)
        waiting = [asyncio.create_task(http.post("/chat/completions", json={})) for _ in range(2)]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
    for task in waiting:
        with pytest.raises(httpx2.HTTPError):
            await task
    await http.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_requests_beyond_the_script_are_an_error_of_the_test() -> None:
    with pytest.raises(ScriptError, match=r"1 request.* beyond the script: /v1/chat/completions"):
        async with FaultServer() as server, client(server) as http:
            assert (await http.post("/chat/completions", json={})).status_code == 400


async def test_slow_bytes_come_one_by_one() -> None:
    loop = asyncio.get_running_loop()
    slow = faults.slow_bytes(0.01, faults.raw(b"0123456789"))
    async with FaultServer([slow]) as server, client(server) as http:
        began = loop.time()
        assert (await http.post("/chat/completions", json={})).content == b"0123456789"
        assert loop.time() - began > 0.09
