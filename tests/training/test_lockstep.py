"""Policies in step: one batch when all wait, the same whoever is faster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from mia.errors import ModelError
from mia.model import Generation, Sampling
from mia.models.torch_sampler import Request
from mia.training.lockstep import InStep, Lockstep


class Draws:
    """Answers with the seed, and notes its batches."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self._error = error

    def __call__(self, requests: Sequence[Request]) -> list[Generation]:
        self.batches.append([request.seed for request in requests])
        if self._error is not None:
            raise self._error
        return [Generation(ids=(r.seed,), logprobs=(0.0,), version=0) for r in requests]


async def talks(policy: InStep, seed: int, turns: int) -> list[int]:
    said: list[int] = []
    for turn in range(turns):
        await asyncio.sleep(random.random() / 300)  # whose tools are how fast is nobody's business
        generation = await policy.sample((1,), Sampling(), seed * 10 + turn)
        said += generation.ids
    return said


async def episodes(lockstep: Lockstep, policy: InStep, turns: Sequence[int]) -> list[list[int]]:
    there = asyncio.Barrier(len(turns))

    async def one(seed: int, count: int) -> list[int]:
        with lockstep.episode():
            await there.wait()
            return await talks(policy, seed, count)

    return await asyncio.gather(*(one(seed, count) for seed, count in enumerate(turns)))


async def test_batches_hold_everybody_and_do_not_depend_on_speed() -> None:
    seen: list[list[list[int]]] = []
    for _ in range(5):
        lockstep, draws = Lockstep(), Draws()
        said = await episodes(lockstep, lockstep.policy(draws), [3, 1, 2])
        assert said == [[0, 1, 2], [10], [20, 21]], "everybody gets what it asked for"
        seen.append(draws.batches)
    assert seen == [[[0, 10, 20], [1, 21], [2]]] * 5


async def test_two_policies_of_the_same_episodes_do_not_wait_for_each_other() -> None:
    lockstep, planner, executor = Lockstep(), Draws(), Draws()
    there = asyncio.Barrier(2)

    async def one(seed: int, first: Draws, second: Draws) -> None:
        with lockstep.episode():
            await there.wait()
            await talks(lockstep.policy(first), seed, 1)
            await talks(lockstep.policy(second), seed, 1)

    async with asyncio.timeout(10):
        await asyncio.gather(one(0, planner, executor), one(1, executor, planner))
    assert planner.batches == [[0], [10]] and executor.batches == [[10], [0]]


async def test_without_episodes_it_answers_at_once() -> None:
    draws = Draws()
    said = await talks(Lockstep().policy(draws), 4, 2)
    assert said == [40, 41] and draws.batches == [[40], [41]]


async def test_a_batch_that_fails_fails_all_in_it_and_nobody_after() -> None:
    lockstep = Lockstep()
    broken = lockstep.policy(Draws(ModelError("out of memory")))
    with pytest.raises(ModelError, match="out of memory"):
        await talks(broken, 1, 1)
    async with asyncio.timeout(10):
        assert await talks(lockstep.policy(Draws()), 1, 1) == [10]


async def test_an_episode_that_was_given_up_holds_nobody_back() -> None:
    lockstep, draws = Lockstep(), Draws()
    policy = lockstep.policy(draws)

    async def hangs() -> None:
        with lockstep.episode():
            await asyncio.Event().wait()

    async def asks() -> list[int]:
        with lockstep.episode():
            return await talks(policy, 1, 1)

    hanging, asking = asyncio.create_task(hangs()), asyncio.create_task(asks())
    await asyncio.sleep(0.05)
    assert not asking.done(), "somebody is still under way"
    hanging.cancel()
    async with asyncio.timeout(10):
        assert await asking == [10]
