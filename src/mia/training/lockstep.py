"""Policies whose episodes wait for each other: a batch is drawn when every episode under way waits
for one of them. So it is as large as it can be, and the same whatever was faster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from mia.model import Generation, Sampling
from mia.models.torch_sampler import Request

Draw = Callable[[Sequence[Request]], list[Generation]]
"""Answers a batch of requests, in their order."""


class _Waiting(NamedTuple):
    draw: Draw
    request: Request
    answer: asyncio.Future[Generation]


class Lockstep:
    """Makes policies of things that draw batches. All of them belong to the same episodes."""

    def __init__(self) -> None:
        self._under_way = 0
        self._waiting: list[_Waiting] = []
        self._drawing: asyncio.Task[None] | None = None
        # one and the same: what a thread frees it keeps, and gigabytes lay with six of them
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="drawing")

    def policy(self, draw: Draw) -> InStep:
        """A Policy over something that draws batches."""
        return InStep(self, draw)

    @contextmanager
    def episode(self) -> Generator[None]:
        """An episode under way: while it does not wait for a policy, the policies wait for it."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._when_all_wait()

    async def ask(self, draw: Draw, request: Request) -> Generation:
        """At once where no episode is under way. Raises what drawing raises."""
        answer: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(draw, request, answer))
        self._when_all_wait()
        return await answer

    def _when_all_wait(self) -> None:
        if self._drawing is None and self._waiting and len(self._waiting) >= self._under_way:
            self._drawing = asyncio.get_running_loop().create_task(self._batches())

    async def _batches(self) -> None:
        waiting = sorted(self._waiting, key=lambda w: (w.request.seed, w.request.prompt_ids))
        self._waiting.clear()
        for draw in dict.fromkeys(one.draw for one in waiting):
            asking = [one for one in waiting if one.draw == draw]
            try:
                requests = [one.request for one in asking]
                drawn = await asyncio.get_running_loop().run_in_executor(
                    self._thread, draw, requests
                )
            except Exception as error:  # noqa: BLE001  # each who waits raises it
                _settle(asking, error)
            else:
                _settle(asking, drawn)
        self._drawing = None
        self._when_all_wait()


class InStep:
    """A Policy that answers in step with the others of its Lockstep."""

    def __init__(self, lockstep: Lockstep, draw: Draw) -> None:
        self._lockstep = lockstep
        self._draw = draw

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        """Raises what drawing raises."""
        return await self._lockstep.ask(self._draw, Request(tuple(prompt_ids), sampling, seed))


def _settle(asking: Sequence[_Waiting], drawn: Sequence[Generation] | Exception) -> None:
    for place, one in enumerate(asking):
        if one.answer.done():  # whoever asked was cancelled
            continue
        if isinstance(drawn, Exception):
            one.answer.set_exception(drawn)
        else:
            one.answer.set_result(drawn[place])
