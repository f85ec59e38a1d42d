"""Hosts: an episode ends on the version it began with, and nobody notices a switch."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.engines import adapters
from mia.errors import ModelError
from mia.model import Message, Model, Sampling
from mia.models.catalog import known, place
from mia.retry import Policy
from mia.testing import ScriptedModel, VllmStandIn, faults
from mia.training.hosts.host import Leases, Serving
from mia.training.hosts.llama_cpp import LlamaCppHost
from mia.training.hosts.vllm import VllmHost
from mia.training.versions import GGUF, Draft, Shelf, Version

ASK = (Message(role="user", content="Who made the lake?"),)
SMOLLM2 = known("smollm2-135m")


def publish(one: Shelf, sha256: str = "0" * 64, gguf: bytes = b"") -> Version:
    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text("{}")
        if gguf:
            (folder / GGUF).write_bytes(gguf)

    return one.publish(Draft(base="base", base_sha256=sha256, made_by="online"), fill)


@pytest.fixture
def planner(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "policies", "planner")


# Leases, whoever serves


class Recorded:
    """Starts and ends of what is served."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []
        self.well = True

    def start(self, number: int) -> Callable[[], Awaitable[Serving]]:
        async def begin() -> Serving:
            await asyncio.sleep(0)
            self.started.append(number)
            return Serving(number, ScriptedModel([]), end, well=lambda: self.well)

        async def end() -> None:
            await asyncio.sleep(0)
            self.ended.append(number)

        return begin


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_nothing_is_leased_before_the_first_version() -> None:
    leases = Leases()
    with pytest.raises(ModelError, match="activate one first"):
        async with leases.lease():
            raise AssertionError("there is nothing to lease")
    with pytest.raises(ModelError):
        _ = leases.number


async def test_a_version_is_let_go_of_after_its_last_lease() -> None:
    seen, leases = Recorded(), Leases()
    await leases.switch(1, seen.start(1))
    async with leases.lease() as (first, number):
        async with leases.lease():
            await leases.switch(2, seen.start(2))
            assert number == 1 and leases.number == 2
            async with leases.lease() as (second, newer):
                assert newer == 2 and second is not first
        await settled()
        assert seen.ended == []
    await settled()
    assert seen.ended == [1]
    await leases.switch(3, seen.start(3))
    await settled()
    assert seen.ended == [1, 2], "nobody leased it"


async def test_who_goes_back_to_a_version_in_lease_gets_the_same_one() -> None:
    seen, leases = Recorded(), Leases()
    await leases.switch(1, seen.start(1))
    async with leases.lease() as (first, _):
        await leases.switch(2, seen.start(2))
        await leases.switch(1, seen.start(1))
        async with leases.lease() as (again, number):
            assert (again, number) == (first, 1)
    await settled()
    assert (seen.started, seen.ended) == ([1, 2], [2])


async def test_what_is_being_let_go_of_is_gone_before_it_is_served_again() -> None:
    told: list[str] = []
    may_end = asyncio.Event()

    async def begin() -> Serving:
        told.append("begin")
        return Serving(1, ScriptedModel([]), end)

    async def end() -> None:
        await may_end.wait()
        told.append("end")

    leases = Leases()
    await leases.switch(1, begin)
    await leases.switch(2, Recorded().start(2))
    again = asyncio.create_task(leases.switch(1, begin))
    await settled()
    assert told == ["begin"]
    may_end.set()
    await again
    assert told == ["begin", "end", "begin"]


async def test_what_does_not_serve_any_more_is_started_anew() -> None:
    seen, leases = Recorded(), Leases()
    await leases.switch(1, seen.start(1))
    await leases.switch(1, seen.start(1))
    assert seen.started == [1]
    seen.well = False
    await leases.switch(1, seen.start(1))
    await settled()
    assert (seen.started, seen.ended) == ([1, 1], [1])


async def test_an_end_that_fails_is_in_the_log_and_in_nobodys_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> None:
        raise ModelError("the server is gone")

    leases = Leases(Serving(0, ScriptedModel([]), fails))
    with caplog.at_level(logging.WARNING):
        await leases.switch(1, Recorded().start(1))
        await leases.aclose()
    assert "version 0 was not let go of: the server is gone" in caplog.text


@given(st.lists(st.integers(0, 3) | st.sampled_from(["lease", "leave"]), max_size=30))
@settings(max_examples=80, deadline=None)
def test_whatever_is_leased_is_served(steps: list[int | str]) -> None:
    """Any sequence of switches and leases: what is leased or in use has not ended, and all else
    has."""

    async def play() -> None:
        seen, leases, held = Recorded(), Leases(), []
        await leases.switch(0, seen.start(0))
        for step in steps:
            if isinstance(step, int):
                await leases.switch(step, seen.start(step))
            elif step == "lease":
                lease = leases.lease()
                held.append((lease, (await lease.__aenter__())[1]))
            elif held:
                await held.pop(0)[0].__aexit__(None, None, None)
            await settled()
            wanted = {number for _, number in held} | {leases.number}
            running = {n for n in range(4) if seen.started.count(n) > seen.ended.count(n)}
            assert running == wanted
        await leases.aclose()
        assert sorted(seen.started) == sorted(seen.ended)

    asyncio.run(play())


# vLLM


@pytest.fixture
async def server() -> AsyncIterator[VllmStandIn]:
    async with VllmStandIn("base", wait=0.002) as running:
        yield running


async def said(model: Model) -> str:
    return (await model.reply(ASK)).text


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110  # what happens in other processes sets no event
            await asyncio.sleep(0.01)


def patient(server: VllmStandIn, **more: Any) -> VllmHost:
    return VllmHost(server.url, "base", "planner", policy=Policy(concurrency=64), **more)


async def test_an_episode_ends_on_the_adapter_it_began_with(
    server: VllmStandIn, planner: Shelf
) -> None:
    async with patient(server, api_key="secret") as host:
        assert host.version == 0
        async with host.lease() as (bare, number):
            assert (await said(bare), number) == ("base", 0)
        for n in (1, 2):
            await host.activate(publish(planner), planner.folder(n))
            async with host.lease() as (model, number):
                assert (await said(model), number, host.version) == (f"planner-v{n}", n, n)
        async with host.lease() as (old, _):
            await host.activate(publish(planner), planner.folder(3))
            assert await said(old) == "planner-v2"
            assert server.loaded.keys() >= {"planner-v2", "planner-v3"}
        await until(lambda: list(server.loaded) == ["planner-v3"])
        assert server.loaded["planner-v3"] == str(planner.folder(3))
        await host.activate(None, None)
        await until(lambda: not server.loaded)
        await host.activate(planner.version(1), planner.folder(1))
    assert server.loaded == {}, "leaving unloads"
    keys = {request.headers.get("authorization") for request in server.requests}
    assert keys == {"Bearer secret"}


async def test_500_requests_over_20_switches_and_none_fails(
    server: VllmStandIn, planner: Shelf
) -> None:
    versions = [None, *(publish(planner) for _ in range(12))]
    order = [*range(1, 13), 11, 12, 0, 5, 6, 5, 0, 12]
    assert len(order) == 20
    replies: list[tuple[str, int]] = []

    async def episodes(host: VllmHost, length: int) -> None:
        left = 25
        while left:
            async with host.lease() as (model, number):
                for _ in range(min(left, length)):
                    replies.append((await said(model), number))
                    left -= 1

    async with patient(server) as host:
        running = [asyncio.create_task(episodes(host, 1 + n % 4)) for n in range(20)]
        for number in order:
            folder = planner.folder(number) if number else None
            await host.activate(versions[number], folder)
            assert host.version == number
            have = len(replies)
            await until(lambda have=have: len(replies) >= min(500, have + 20))
        await asyncio.gather(*running)
        await until(lambda: list(server.loaded) == ["planner-v12"])
    names = {0: "base", **{n: f"planner-v{n}" for n in range(1, 13)}}
    assert len(replies) == 500 and all(text == names[number] for text, number in replies)
    assert len({number for _, number in replies}) > 6, "the switches came between the requests"


async def test_a_version_that_is_not_loaded_leaves_the_one_before(
    server: VllmStandIn, planner: Shelf, tmp_path: Path
) -> None:
    async with patient(server) as host:
        await host.activate(publish(planner), planner.folder(1))
        two = publish(planner)
        with pytest.raises(ModelError, match=r"load_lora_adapter answered 404 .*No adapter found"):
            await host.activate(two, tmp_path / "elsewhere")
        with pytest.raises(ModelError, match="has no folder"):
            await host.activate(two, None)
        for answer, told in ((faults.ok("a chat"), "not vLLM's"), (faults.status(500), "500")):
            server.unused.append(answer)
            with pytest.raises(ModelError, match=told):
                await host.activate(two, planner.folder(2))
        async with host.lease() as (model, number):
            assert (await said(model), number, host.version) == ("planner-v1", 1, 1)


async def test_a_name_that_another_adapter_has_is_not_taken_for_ours(
    server: VllmStandIn, planner: Shelf
) -> None:
    one = publish(planner)
    server.loaded["planner-v1"] = "/elsewhere"
    async with patient(server) as host:
        with pytest.raises(ModelError, match="serves another adapter as planner-v1"):
            await host.activate(one, planner.folder(1))
        server.loaded["planner-v1"] = str(planner.folder(1))
        await host.activate(one, planner.folder(1))
        assert host.version == 1, "what a killed host left is used again"


async def test_a_server_that_is_not_there_is_named(planner: Shelf) -> None:
    async with VllmStandIn("base") as gone:
        url = gone.url
    async with VllmHost(url, "base", "planner") as host:
        with pytest.raises(ModelError, match=r"no answer from .*is the server running\?"):
            await host.activate(publish(planner), planner.folder(1))


async def test_the_stand_in_refuses_what_vllm_refuses(server: VllmStandIn, tmp_path: Path) -> None:
    import httpx2

    (tmp_path / "adapter_config.json").write_text("{}")
    load = {"lora_name": "a", "lora_path": str(tmp_path)}
    chat = {"model": "a", "messages": []}
    asked: list[tuple[str, dict[str, Any], int]] = [
        ("load_lora_adapter", {"lora_name": "a"}, 400), ("chat/completions", chat, 404),
        ("load_lora_adapter", load, 200), ("load_lora_adapter", load, 400),
        ("chat/completions", chat, 200), ("unload_lora_adapter", {"lora_name": "a"}, 200),
        ("unload_lora_adapter", {"lora_name": "a"}, 404), ("unload_lora_adapter", {}, 400),
        ("chat/completions", chat, 404), ("nowhere", {}, 404),
    ]  # fmt: skip
    async with httpx2.AsyncClient() as client:
        for route, body, status in asked:
            answer = await client.post(f"{server.url}/{route}", json=body)
            assert answer.status_code == status, (route, answer.text)


# llama.cpp


def servers() -> set[int]:
    """The processes that this one started and that run."""
    told = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in told if b"llama_process" in command(int(pid))}


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def llama(real_home: Path) -> LlamaCppHost:
    model = place(real_home, SMOLLM2)
    return LlamaCppHost(model, SMOLLM2.sha256, adapters()["reader"], slots=1, threads=1)


async def test_llama_cpp_serves_one_version_beside_the_other(
    real_home: Path, planner: Shelf
) -> None:
    few = Sampling(max_tokens=12)
    version = publish(planner, SMOLLM2.sha256, adapters()["planner"].read_bytes())
    junk = publish(planner, SMOLLM2.sha256, b"junk")
    async with llama(real_home) as host:
        await host.activate(None, None)
        async with host.lease() as (old, number):
            began = (await old.reply(ASK, sampling=few)).text
            await host.activate(version, planner.folder(1))
            async with host.lease() as (new, newer):
                assert (number, newer, host.version) == (0, 1, 1)
                assert (await new.reply(ASK, sampling=few)).text != began
                assert (await old.reply(ASK, sampling=few)).text == began
            assert len(servers()) == 2
        await until(lambda: len(servers()) == 1)
        with pytest.raises(ModelError, match="cannot serve"):
            await host.activate(junk, planner.folder(2))
        assert (host.version, len(servers())) == (1, 1)
        async with host.lease() as (model, _):
            assert (await model.reply(ASK, sampling=few)).text
        (crashed,) = servers()
        os.kill(crashed, signal.SIGKILL)
        await until(lambda: not Path(f"/proc/{crashed}").exists())
        await asyncio.sleep(0.2)  # the event loop hears of it a moment later
        await host.activate(version, planner.folder(1))
        async with host.lease() as (model, _):
            assert (await model.reply(ASK, sampling=few)).text
    assert servers() == set()


async def test_llama_cpp_is_not_given_what_it_cannot_serve(planner: Shelf, tmp_path: Path) -> None:
    shutil.copyfile(adapters()["reader"], tmp_path / "base.gguf")
    async with LlamaCppHost(tmp_path / "base.gguf", "1" * 64, None) as host:
        with pytest.raises(ModelError, match=r"is an adapter for base, not for base\.gguf"):
            await host.activate(publish(planner, "0" * 64, b"gguf"), planner.folder(1))
        with pytest.raises(ModelError, match=r"version 2 of planner has no adapter\.gguf"):
            await host.activate(publish(planner, "1" * 64), planner.folder(2))
        with pytest.raises(ModelError, match=r"llama\.cpp cannot serve"):
            await host.activate(None, None)
        with pytest.raises(ModelError, match="activate one first"):
            _ = host.version
    assert servers() == set()


_HOSTING = """
import asyncio, sys
from pathlib import Path
from mia.training.hosts.llama_cpp import LlamaCppHost
async def main():
    async with LlamaCppHost(Path(sys.argv[1]), "", None, slots=1, threads=1) as host:
        await host.activate(None, None)
        print(Path(f"/proc/self/task/{__import__('os').getpid()}/children").read_text(), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_server_ends_with_a_host_that_is_killed(real_home: Path) -> None:
    ask = [sys.executable, "-c", _HOSTING, str(place(real_home, SMOLLM2))]
    hosting = await asyncio.create_subprocess_exec(*ask, stdout=asyncio.subprocess.PIPE)
    assert hosting.stdout is not None
    pids = [int(pid) for pid in (await hosting.stdout.readline()).split()]
    assert any(b"llama_process" in command(pid) for pid in pids)
    hosting.kill()
    await hosting.wait()
    await until(lambda: not any(b"llama_process" in command(pid) for pid in pids))
