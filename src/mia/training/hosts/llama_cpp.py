"""Serves policy versions by llama.cpp. It cannot load an adapter while it runs, so each version has
a server process of its own; the one before ends when its last episode does."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Self

import msgspec

from mia.config import rest_idle_threads
from mia.errors import ModelError
from mia.model import Grammar, Message, Model, Sampling
from mia.models.llama_process import CONTEXT, Started
from mia.models.openai_compatible import OpenAICompatible
from mia.retry import Policy, Retry
from mia.training.hosts.host import Leases, Serving
from mia.training.versions import GGUF, Version
from mia.types import decode

_PROBE = (Message(role="user", content="Say yes."),)
_YES = Grammar(gbnf='root ::= "yes"')
_SHORT = Sampling(max_tokens=8)
_PATIENCE = 120.0
"""Seconds to start in; on an idle machine it takes two."""
_FAREWELL = 5.0
"""Seconds for a server to end in before it is killed."""


class LlamaCppHost:
    """A Host on server processes of this machine. Use it as an asynchronous context manager:
    leaving ends them. They also end when this process does, however it ends."""

    def __init__(
        self,
        base: Path,
        base_sha256: str,
        shipped: Path | None,
        *,
        slots: int = 2,
        threads: int | None = None,
        context: int = CONTEXT,
        deadline: float = 120.0,
    ) -> None:
        """`base` is a GGUF of this hash and `shipped` the adapter that came with MIA; None for the
        bare base. `slots` are the replies made at the same time, `context` the tokens of each,
        `deadline` the seconds for one."""
        self._base, self._base_sha256, self._shipped = base, base_sha256, shipped
        self._options = ["--slots", str(slots), "--threads", str(threads or 0),
                         "--context", str(context)]  # fmt: skip
        self._policy = Policy(deadline=deadline, concurrency=slots)
        self._leases = Leases()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def version(self) -> int:
        """The number of the version that new leases get. Raises ModelError before the first."""
        return self._leases.number

    def lease(self) -> AbstractAsyncContextManager[tuple[Model, int]]:
        """A model and its version's number, for a whole episode."""
        return self._leases.lease()

    async def activate(self, version: Version | None, folder: Path | None) -> None:
        """Raises ModelError for a version of another base or without a GGUF, and when llama.cpp
        does not serve it; the one before serves on then."""
        number = 0 if version is None else version.number
        adapter = self._shipped if version is None else self._adapter(version, folder)
        await self._leases.switch(number, lambda: self._start(number, adapter))

    async def aclose(self) -> None:
        """Ends all servers."""
        await self._leases.aclose()

    def _adapter(self, version: Version, folder: Path | None) -> Path:
        named = f"version {version.number} of {version.role}"
        if version.base_sha256 != self._base_sha256:
            raise ModelError(f"{named} is an adapter for {version.base}, not for {self._base.name}")
        if folder is None or not (folder / GGUF).is_file():
            raise ModelError(f"{named} has no {GGUF}")
        return folder / GGUF

    async def _start(self, number: int, adapter: Path | None) -> Serving:
        rest_idle_threads()
        speaking = ["--adapter", str(adapter)] if adapter else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mia.models.llama_process", str(self._base), *speaking,
            *self._options,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for whoever waits for its replies
        )  # fmt: skip
        try:
            async with asyncio.timeout(_PATIENCE):
                model = await self._answering(process)
        except BaseException as error:
            await _ended(process)
            if isinstance(error, TimeoutError):
                raise ModelError(f"llama.cpp did not start within {_PATIENCE:.0f} s") from error
            raise

        async def end() -> None:
            await model.aclose()
            await _ended(process)

        return Serving(number, model, end, well=lambda: process.returncode is None)

    async def _answering(self, process: asyncio.subprocess.Process) -> OpenAICompatible:
        """The model of a server that has answered once."""
        assert process.stdout is not None
        line = await process.stdout.readline()
        try:
            started = decode(line, Started)
        except msgspec.DecodeError as error:
            raise ModelError(
                f"the llama.cpp server said {line[:200]!r}, not its address"
            ) from error
        if started.error:
            raise ModelError(f"llama.cpp cannot serve {self._base}: {started.error}")
        model = OpenAICompatible(
            f"{started.address}/v1", self._base.stem, retry=Retry(self._policy), grammars=True
        )
        try:
            await model.reply(_PROBE, sampling=_SHORT, shape=_YES)
        except BaseException:
            await model.aclose()
            raise
        return model


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Ends a server: first by the end of its stdin, then by force."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_FAREWELL):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
