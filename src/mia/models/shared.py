"""Greedy calls that several methods of an evaluation make alike, made once.

Methods that are compared mostly ask the same: the same passage read for the same question. A greedy
call has one reply, so whoever asks the same gets the same. That takes the noise of an engine's
rounding out of the comparison, and most of the time. What it costs is counted for everybody who
asked, as if each had asked alone. Kept in a file, replies are there for who comes later: the next
arm of a comparison that was interrupted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from mia.model import GREEDY, Message, Model, Reply, Sampling, Shape, ToolSpec
from mia.sqlite_file import SqliteFile
from mia.types import decode, encode

Passing = Callable[[], Awaitable[None]]
_MOST = 20_000
"""Replies that are kept in memory: some 20 MB."""
_SCHEMA = "CREATE TABLE said (key BLOB PRIMARY KEY, reply BLOB NOT NULL) STRICT, WITHOUT ROWID"


class Replies:
    """What was asked, and what was said."""

    def __init__(
        self, path: Path | None = None, *, most: int = _MOST, before: Passing | None = None
    ) -> None:
        """Replies are kept in the file, or, the last `most` of them, as long as this lives.
        `before` is awaited before a call is made. Raises StoreError."""
        self._most, self._before = most, before
        self.saved = 0.0
        """US dollars that were counted and not spent."""
        self._said: dict[bytes, Reply] = {}
        """The last to be made, the oldest first."""
        self._asking = WeakValueDictionary[bytes, asyncio.Lock]()
        self._file = None if path is None else SqliteFile(
            path, "what was said in", _SCHEMA, version=1, synchronous="NORMAL"
        )  # fmt: skip

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

    async def of(self, key: bytes, model: Model, asked: Asked) -> Reply:
        """The reply to a call, which is made by the first who needs it. Raises ModelError, whoever
        comes next tries again; and StoreError."""
        async with self._asking.setdefault(key, asyncio.Lock()):
            said = self._said.get(key) or self._kept(key)
            if said is not None:
                self.saved += said.usage.money
                return said
            if self._before is not None:
                await self._before()
            reply = await model.reply(
                asked.messages, sampling=asked.sampling, shape=asked.shape, tools=asked.tools
            )
            self._said[key] = reply
            if len(self._said) > self._most:
                del self._said[next(iter(self._said))]
            self._keep(key, reply)
            return reply

    def _kept(self, key: bytes) -> Reply | None:
        if self._file is None:
            return None
        with self._file.reading() as db:
            row = db.execute("SELECT reply FROM said WHERE key = ?", (key,)).fetchone()
        return decode(row[0], Reply) if row else None

    def _keep(self, key: bytes, reply: Reply) -> None:
        if self._file is not None:
            with self._file.writing() as db:
                db.execute("INSERT OR IGNORE INTO said VALUES (?, ?)", (key, encode(reply)))


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
