"""Greedy calls that several methods of an evaluation make alike, made once.

Methods that are compared mostly ask the same: the same passage read for the same question. A greedy
call has one reply, so whoever asks the same gets the same. That takes the noise of an engine's
rounding out of the comparison, and most of the time. What it costs is counted for everybody who
asked, as if each had asked alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from mia.model import GREEDY, Message, Model, Reply, Sampling, Shape, ToolSpec


class Replies:
    """What was asked, and what was said."""

    def __init__(self) -> None:
        self.saved = 0.0
        """US dollars that were counted and not spent."""
        self._said: dict[bytes, Reply] = {}
        self._asking: dict[bytes, asyncio.Lock] = {}

    async def of(self, key: bytes, model: Model, asked: Asked) -> Reply:
        """The reply to a call, which is made by the first who needs it. Raises ModelError; whoever
        comes next tries again."""
        async with self._asking.setdefault(key, asyncio.Lock()):
            said = self._said.get(key)
            if said is not None:
                self.saved += said.usage.money
                return said
            reply = await model.reply(
                asked.messages, sampling=asked.sampling, shape=asked.shape, tools=asked.tools
            )
            self._said[key] = reply
            return reply


class Asked(msgspec.Struct, frozen=True):
    """One call."""

    name: str
    """Of the model."""
    messages: tuple[Message, ...]
    sampling: Sampling
    shape: Shape | None
    tools: tuple[ToolSpec, ...]


class SharedModel:
    """A Model whose greedy calls are shared with all that bear the same name."""

    def __init__(self, model: Model, replies: Replies, name: str) -> None:
        self._model = model
        self._replies = replies
        self._name = name

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError when the model does."""
        if sampling.temperature > 0:
            return await self._model.reply(messages, sampling=sampling, shape=shape, tools=tools)
        asked = Asked(self._name, tuple(messages), sampling, shape, tuple(tools))
        key = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest()
        return await self._replies.of(key, self._model, asked)
