"""A reward over HTTP: what a service says counts, and what it does not say is never made up."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.training.talking import END, LetterChat, Says
from tests.training.tiny_world import EXERCISES

from mia.errors import ConfigError, TrainingError
from mia.retry import Policy
from mia.testing import Fault, FaultServer, faults
from mia.training import tiny
from mia.training.casting import reward_of
from mia.training.reward_service import reward_at
from mia.training.rewards import Parts, Rollout, Said
from mia.training.rollouts import Actor, group, sampled
from mia.types import Episode, Question, Trajectory, Turn, Verdict, VerdictValue, encode

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"
HASTY = Policy(deadline=5.0, attempts=3, first_pause=0.01)
ROLLOUT = Rollout(
    episode=Episode(
        id="e",
        question=Question(text="Who is the mayor?", id="q"),
        trajectory=Trajectory(turns=(Turn(answer="Ada of Rovigo"),), outcome="answered"),
        verdict=Verdict(value=VerdictValue.CORRECT, judge="exact"),
    ),
    replies=(Said(stage="plan", text="find \ud7ff it"),),
)
HALF = Parts(total=0.5, named={"mine": 1.0})
GOOD = faults.raw(encode(HALF))


async def worth(server: FaultServer, seconds: float = 2.0) -> Parts | None:
    reward = reward_at(f"{server.url}/worth", patience=HASTY, seconds=seconds)
    return await asyncio.to_thread(reward, ROLLOUT)


async def test_a_service_gets_the_rollout_and_its_parts_count() -> None:
    async with FaultServer([GOOD]) as server:
        assert await worth(server) == HALF
    (asked,) = server.requests
    assert (asked.method, asked.path) == ("POST", "/v1/worth")
    assert msgspec.convert(asked.body, Rollout) == ROLLOUT


async def test_null_is_no_sample_and_no_zero() -> None:
    async with FaultServer([faults.raw(b"null")]) as server:
        assert await worth(server) is None


BAD = {
    "down": faults.status(503, "busy"),
    "too often": faults.status(429),
    "slow": faults.silence(),
    "dripping": faults.slow_bytes(0.2, GOOD),
    "broken off": faults.reset(5, GOOD),
    "a web page": faults.html_200(),
    "half of it": faults.raw(encode(HALF)[:-3]),
    "no UTF-8": faults.raw(b'{"total": 1, "named": {"\xff": 1}}'),
    "nothing": faults.raw(b""),
    "no total": faults.raw(b'{"named": {}}'),
    "a total that is a text": faults.raw(b'{"total": "1"}'),
    "a total without end": faults.raw(b'{"total": 1e999}'),
    "nested too deeply": faults.raw(b"[" * 100_000),
    "far too long": faults.raw(b'{"total": 1, "x": "' + b"x" * 2**20 + b'"}'),
}


@pytest.mark.parametrize("fault", BAD.values(), ids=BAD.keys())
async def test_what_cannot_be_read_is_asked_for_again(fault: Fault) -> None:
    async with FaultServer([fault, GOOD]) as server:
        assert await worth(server, seconds=0.5) == HALF
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", BAD.values(), ids=BAD.keys())
async def test_a_service_that_stays_so_ends_the_run_by_its_address(fault: Fault) -> None:
    async with FaultServer(then=fault) as server:
        with pytest.raises(TrainingError, match=re.escape(f"the reward at {server.url}/worth")):
            await worth(server, seconds=0.3)
    assert len(server.requests) == HASTY.attempts


async def test_who_refuses_is_not_asked_again_and_its_words_are_passed_on() -> None:
    async with FaultServer([faults.status(404, "no such\n model")]) as server:
        with pytest.raises(TrainingError, match=r"/worth answered 404 \(.*no such.* model"):
            await worth(server)
    assert len(server.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    moved = Fault(status=307, headers=(("Location", "http://127.0.0.1:1/"),), body=b"")
    async with FaultServer([moved]) as server:
        with pytest.raises(TrainingError, match="answered 307"):
            await worth(server)


async def test_what_an_address_asks_for_is_in_no_message() -> None:
    async with FaultServer([faults.status(400)]) as server:
        reward = reward_at(f"{server.url}/worth?key=hidden", patience=HASTY)
        with pytest.raises(TrainingError) as raised:
            await asyncio.to_thread(reward, ROLLOUT)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("htp://here", r"no reward at 'htp://here': write package.module:function, or an address"),
        ("http://", "or an address http://"),
        ("file:///etc/passwd", "or an address http://"),
        ("http://here:port/", "Port could not be cast"),
        ("http://me:hidden@here/", "leave name and password out"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(address: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as raised:
        reward_of("planner", "gold", address)
    assert "hidden" not in str(raised.value)


async def test_while_one_episode_waits_for_its_reward_the_others_go_on() -> None:
    """Three rewards that take a while take no longer than one."""
    late = faults.delay(0.6, GOOD)
    async with FaultServer([late, late, late]) as server:
        reward = reward_of("planner", "gold", f"{server.url}/worth")
        actor = Actor(
            "planner",
            tiny.cast("planner", tiny.ByRule),
            sampled(Says("a", "a", "a", "no", "no", "no"), LetterChat()),
            reward,
        )
        began = time.monotonic()
        done = await group(actor, EXERCISES[:3], attempts=1, seed="s", temperature=1.0)
    assert [one.parts for (one,) in done] == [HALF] * 3
    assert time.monotonic() - began < 1.5
    assert all(sample.reward == 0.5 for (one,) in done for sample in one.samples)
    assert END in done[0][0].samples[0].response_ids


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[str]:
    """The address of the service that the document shows."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    file = tmp_path / "service.py"
    file.write_text(code)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, file, str(port)], stderr=subprocess.DEVNULL) as served:
        yield f"http://127.0.0.1:{port}/"
        served.terminate()


def test_the_service_that_the_documents_show_works(shown: str) -> None:
    patience = Policy(deadline=30.0, attempts=100, first_pause=0.2, longest_pause=0.4, failures=99)
    reward = reward_at(shown, patience=patience)
    assert reward(ROLLOUT) == Parts(total=1.0, named={"right": 1.0, "short": 1.0})
    wordy = Episode(id="e", question=ROLLOUT.episode.question)
    assert reward(Rollout(episode=wordy)) is None
