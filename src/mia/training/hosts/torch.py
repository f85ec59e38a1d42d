"""Serves policy versions in this process, on torch: one base, an adapter beside it for each version
that is leased."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mia.errors import MissingError, ModelError, adding
from mia.model import GREEDY, Generation, Message, Model, Reply, Sampling, Shape, ToolSpec
from mia.models.torch_local import Base
from mia.models.torch_sampler import Request, Sampler
from mia.training.hosts.host import Leases, Serving
from mia.training.policy_model import Chat, PolicyModel, Transcript
from mia.training.versions import Version

_BARE = "bare"
"""An adapter that changes nothing: version 0."""


class TorchHost:
    """A Host over a base that is loaded already, whose calls take turns."""

    def __init__(self, base: Base, chat: Chat) -> None:
        """Raises MissingError without peft."""
        try:
            peft = import_module("peft")
        except ImportError as error:
            raise MissingError(f"serving adapters needs peft; run: {adding('train')}") from error
        self._chat = chat
        self._turn = asyncio.Lock()
        self._number = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # between peft and transformers
            empty = peft.LoraConfig(r=1, target_modules="all-linear", inference_mode=True)
            self._adapted: Any = peft.get_peft_model(base.model, empty, adapter_name=_BARE).eval()
        self._sampler = Sampler(self._adapted, chat.end, lambda: self._number)
        self._leases = Leases(Serving(0, self._model(0, _BARE), _nothing))

    @property
    def version(self) -> int:
        """The number of the version that new leases get."""
        return self._leases.number

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """A model and its version's number, for a whole episode."""
        return self._leases.lease()

    async def activate(self, version: Version | None, folder: Path | None) -> None:
        """Loads a version's adapter beside those that are leased, and gives it to new leases.
        Raises ModelError where the folder has none."""
        number = 0 if version is None else version.number
        await self._leases.switch(number, partial(self._start, number, folder))

    async def aclose(self) -> None:
        """Lets go of every adapter."""
        await self._leases.aclose()

    async def _start(self, number: int, folder: Path | None) -> Serving:
        if folder is None:
            return Serving(0, self._model(0, _BARE), _nothing)
        name = f"v{number}"
        async with self._turn:
            try:
                await asyncio.to_thread(self._adapted.load_adapter, folder, name)
            except (OSError, ValueError, RuntimeError, KeyError) as error:
                raise ModelError(f"version {number} cannot be served: {error}") from error
        return Serving(number, self._model(number, name), partial(self._end, name))

    async def _end(self, name: str) -> None:
        async with self._turn:
            self._adapted.set_adapter(_BARE, inference_mode=True)
            await asyncio.to_thread(self._adapted.delete_adapter, name)

    def _model(self, number: int, name: str) -> Model:
        return _Speaking(self._chat, partial(self._sample, number, name))

    async def _sample(self, number: int, name: str, request: Request) -> Generation:
        async with self._turn:
            self._number = number
            self._adapted.set_adapter(name, inference_mode=True)
            (generation,) = await asyncio.to_thread(self._sampler, [request])
        return generation


class _Speaking:
    """A Model on one adapter. Each of its calls stands for itself."""

    def __init__(self, chat: Chat, sample: Any) -> None:
        self._chat = chat
        self._sample = sample

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError for tools, and for a prompt that leaves no room for a reply."""
        speaker = PolicyModel(
            self, self._chat, Transcript(), temperature=sampling.temperature,
            seed=random.getrandbits(48),
        )  # fmt: skip
        return await speaker.reply(messages, sampling=sampling, shape=shape, tools=tools)

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        """As the contract of policies has it."""
        return await self._sample(Request(tuple(prompt_ids), sampling, seed))


async def _nothing() -> None:
    """For what is there in any case."""
