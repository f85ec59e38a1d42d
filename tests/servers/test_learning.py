"""The process that learns: started with its server, started again when it dies, ended with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mia.servers.learning import Learning

BEGUN = "import signal, sys, time; print('begun', file=sys.stderr, flush=True)\n"
LIVES = "sys.stdin.read()"
DIES = "sys.exit(3)"
DEAF = """
signal.signal(signal.SIGTERM, lambda *_: print("no", file=sys.stderr, flush=True))
print("deaf", file=sys.stderr, flush=True)
while True: time.sleep(0.05)
"""
LAST_WORDS = """
def end(*_):
    print("x" * 200_000, file=sys.stderr, flush=True)
    print("ended well", file=sys.stderr, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", file=sys.stderr, flush=True)
while True: time.sleep(0.05)
"""


def learning(does: str, said: list[str], **seconds: float) -> Learning:
    return Learning([sys.executable, "-c", BEGUN + does], said.append, **seconds)


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110  # what other processes do sets no event
            await asyncio.sleep(0.01)


async def test_it_lives_as_long_as_its_server() -> None:
    said: list[str] = []
    one = learning(LIVES, said)
    assert not one.process.running
    async with one.kept():
        await until(lambda: said == ["begun"])
        running = one.process
        assert running.running and running.pid is not None and running.restarts == 0
        assert lives(running.pid)
    assert not one.process.running and one.process.pid is None
    assert not lives(running.pid)


async def test_one_that_is_killed_is_started_again() -> None:
    said: list[str] = []
    one = learning(LIVES, said, pause=0.05)
    async with one.kept():
        await until(lambda: said == ["begun"])
        first = one.process.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.process.restarts == 1 and said[-1] == "begun")
        again = one.process
    assert again.running and again.pid != first
    assert (again.exit, again.said) == (-signal.SIGKILL, "begun")
    assert said == ["begun", "ended with -9; it is started again in 0.05 s", "begun"]


async def test_one_that_dies_at_once_is_started_less_and_less_often() -> None:
    said: list[str] = []
    one = learning(DIES, said, pause=0.01)
    async with one.kept():
        await until(lambda: one.process.restarts == 3)
    pauses = [line.split()[-2] for line in said if "again" in line]
    assert pauses[:3] == ["0.01", "0.02", "0.04"] and one.process.exit is not None


async def test_a_command_that_is_not_there_is_told_of() -> None:
    said: list[str] = []
    one = Learning(["/nowhere/mia"], said.append, pause=0.01)
    async with one.kept():
        await until(lambda: one.process.restarts == 2)
    assert "/nowhere/mia" in one.process.said and not one.process.running


async def test_one_that_does_not_end_is_killed() -> None:
    said: list[str] = []
    one = learning(DEAF, said, farewell=0.3)
    async with one.kept():
        await until(lambda: "deaf" in said)
    assert one.process.exit == -signal.SIGKILL and "no" in said


async def test_what_it_says_at_the_end_is_heard() -> None:
    said: list[str] = []
    one = learning(LAST_WORDS, said)
    async with one.kept():
        await until(lambda: "ready" in said)
    assert one.process.exit == 0 and said[-1] == "ended well"


ECHO = """
while said := sys.stdin.read(1): print(said, file=sys.stderr, flush=True)
"""


async def test_it_is_told_when_to_stand_still_from_its_beginning_on() -> None:
    said: list[str] = []
    one = learning(ECHO, said, pause=0.01)
    one.give_way(True)
    async with one.kept():
        await until(lambda: said == ["begun", "1"])
        one.give_way(False)
        await until(lambda: said == ["begun", "1", "0"])
        one.give_way(True)
        pid = one.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: said[-2:] == ["begun", "1"])
