"""The process that learns behind a server: started with it, started again when it dies, and ended
with it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from mia.types import Noun

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a process that died is started again: twice as many each time."""
_WELL = 600.0
"""Seconds of life after which a death counts as the first one again."""
_FAREWELL = 20.0
"""Seconds to end in: the step at hand is ended first."""
_LINE = 2**20
"""Bytes of one line that the process says, at most."""


class Process(Noun, frozen=True, omit_defaults=False):
    """How the process that learns is."""

    running: bool = False
    pid: int | None = None
    restarts: int = 0
    exit: int | None = None
    """What it ended with the last time; negative for a signal, None where it never ended."""
    said: str = ""
    """The last line it said before that."""


class Learning:
    """Keeps a command running."""

    def __init__(
        self,
        command: Sequence[str],
        say: Callable[[str], None],
        *,
        pause: float = _FIRST_PAUSE,
        farewell: float = _FAREWELL,
    ) -> None:
        """`say` is told each line of the command's stderr. The command should end when its stdin
        does, and at SIGTERM. `pause` are the seconds before it is started again for the first
        time, `farewell` those that it gets to end in."""
        self._command = tuple(command)
        self._say = say
        self._pause, self._farewell = pause, farewell
        self._process: asyncio.subprocess.Process | None = None
        self._asked = False
        self._restarts = 0
        self._exit: int | None = None
        self._last = self._said = ""

    @property
    def process(self) -> Process:
        """How the command is."""
        process = self._process
        running = process is not None and process.returncode is None
        return Process(
            running=running,
            pid=process.pid if process is not None and running else None,
            restarts=self._restarts,
            exit=self._exit,
            said=self._said,
        )

    def give_way(self, asked: bool) -> None:
        """Asks the command to stand still, or to go on: a 1 or a 0 on its stdin."""
        self._asked = asked
        self._tell()

    def _tell(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(b"1" if self._asked else b"0")

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """The command runs in the block, and has ended after it."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self) -> None:
        pause = self._pause
        while True:
            began = time.monotonic()
            await self._once()
            if time.monotonic() - began >= _WELL:
                pause = self._pause
            self._say(f"ended with {self._exit}; it is started again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            self._restarts += 1

    async def _once(self) -> None:
        """One life of the command; whoever cancels ends it."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE,
                start_new_session=True,  # Ctrl-C is for the server, which ends it in good order
            )
        except OSError as error:
            self._said = str(error)
            return
        self._process = process
        self._tell()
        try:
            await self._heard(process)
            self._exit = await process.wait()
            self._said = self._last
        finally:
            if process.returncode is None:
                await self._end(process)
                self._exit = process.returncode

    async def _heard(self, process: asyncio.subprocess.Process) -> None:
        """Passes on what it says, until it says no more."""
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # longer than any line of ours; what is left of it comes next
                continue
            if not line:
                return
            self._last = line.decode("utf-8", "replace").rstrip()
            self._say(self._last)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """First by the end of its stdin and SIGTERM, then by force. What it says meanwhile is
        passed on: a pipe that nobody reads would fill up, and hold it."""
        assert process.stdin is not None
        process.stdin.close()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._farewell):
                await self._heard(process)
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
