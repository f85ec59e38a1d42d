"""Versions change under load, and nobody notices: no question is lost, and none is answered by
two."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.servers.asking import BASE, RUN, TWICE, Desk, Plans
from tests.servers.serving import Serving

from mia.retry import Policy
from mia.servers.answering import Parts
from mia.servers.api import Served, app
from mia.servers.in_use import InUse
from mia.testing import VllmStandIn
from mia.training.hosts.vllm import VllmHost

REQUESTS, SWITCHES, CLIENTS = 500, 20, 20


@pytest.mark.nightly
async def test_500_requests_over_20_switches_and_none_is_lost_or_answered_by_two(
    tmp_path: Path,
) -> None:
    with closing(Desk(tmp_path)) as desk:
        desk.journal.open_run(RUN, "")
        async with VllmStandIn("base", wait=0.002) as model:
            policy = Policy(concurrency=64)
            host = VllmHost(model.url, "base", "planner", policy=policy)
            in_use = InUse(host, desk.shelf, BASE, every=0.02)
            parts = Parts(
                team=desk.team, planners=Plans, in_use=in_use, journal=desk.journal, run=RUN
            )
            server = Serving(app(Served(name="test", parts=parts)))
            await asyncio.to_thread(server.__enter__)
            try:
                told = await _play(server.url, desk)
            finally:
                await asyncio.to_thread(server.__exit__, None, None, None)
            assert list(model.loaded) == [], "the end unloads"
        entries = [
            desk.journal.planned(RUN, entry.episode.id) for entry in desk.journal.entries(RUN)
        ]
    assert len({each["episode"] for each in told}) == len(told) == len(entries) == REQUESTS
    assert all(each["answer"] == "Rovigo" for each in told)
    for episode in entries:
        assert episode is not None and episode.plan and episode.replan and episode.reflection
        name = f"planner-v{episode.version}" if episode.version else "base"
        said = {episode.plan.text, episode.reflection.reason, episode.replan.text}
        assert said == {name, f"{name} again"}
    assert len({each["version"] for each in told}) > SWITCHES // 2


async def _play(url: str, desk: Desk) -> list[dict[str, Any]]:
    """Asks all questions, while versions are promoted and rolled back."""
    told: list[dict[str, Any]] = []

    async def asks(client: httpx2.AsyncClient, number: int) -> None:
        for turn in range(REQUESTS // CLIENTS):
            body = {"question": TWICE, "id": f"{number}-{turn}"}
            answer = await client.post("/v1/ask", json=body)
            assert answer.status_code == 200, answer.text
            told.append(answer.json())

    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        asking = [asyncio.create_task(asks(client, number)) for number in range(CLIENTS)]
        for switch in range(SWITCHES):
            change = desk.shelf.rollback if switch % 5 == 4 else desk.promoted
            await asyncio.to_thread(change)
            have = len(told)
            while len(told) < min(REQUESTS, have + REQUESTS // SWITCHES):
                await asyncio.sleep(0.01)
                for task in asking:
                    if task.done():
                        task.result()
        await asyncio.gather(*asking)
    return told
