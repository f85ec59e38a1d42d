"""Processes that read what strangers wrote, so that no page can take this one down.

A document gets so much memory and so many seconds. What exceeds them ends with its process; the
next document gets another one. Processes are kept for a while, since one takes as long to start as
to read a page.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Literal

import msgspec

import mia
from mia.errors import MissingError, SearchError, adding
from mia.search import pages_worker
from mia.types import Noun

Kind = Literal["html", "pdf"]

AT_ONCE = 2
"""Documents that are read at the same time."""
_IDLE = 20
"""Seconds after which a process that is not needed ends."""
_DOCUMENTS = 100
"""How many a process reads before another one takes over."""
_LARGE = 2**20
"""A process that read so many bytes is not kept: it would keep their memory."""
_NEEDED: dict[Kind, tuple[str, ...]] = {"html": ("trafilatura", "lxml"), "pdf": ("pypdf",)}
_CALLED: dict[Kind, str] = {"html": "HTML", "pdf": "PDF"}


class Bounds(Noun, frozen=True):
    """What one document may take, and how much of it is read. The defaults are for strangers'."""

    seconds: int = 10
    memory: int = 128 * 2**20
    """Bytes beyond what the libraries take."""
    characters: int = 200_000
    """The longest encyclopedia articles have half of them."""
    pages: int = 50
    """Of a PDF."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of a document."""

    title: str = ""
    text: str = ""
    published: str | None = None
    error: str | None = None


class Reader:
    """Reads documents, a few at the same time. Safe to share between threads."""

    def __init__(self, bounds: Bounds | None = None, at_once: int = AT_ONCE) -> None:
        self._bounds = bounds or Bounds()
        self._slots = threading.Semaphore(at_once)
        self._idle: list[_Process] = []
        self._end = weakref.finalize(self, _end_all, self._idle)

    def close(self) -> None:
        """Ends the processes. Reading again starts others."""
        _end_all(self._idle)

    def read(self, kind: Kind, raw: bytes, charset: str | None = None) -> Answer:
        """What a document says. Raises SearchError for one that cannot be read within the bounds,
        MissingError where the libraries for it are not installed."""
        for module in _NEEDED[kind]:
            if importlib.util.find_spec(module) is None:
                raise MissingError(f"{_CALLED[kind]} needs {module}; run: {adding('web')}")
        with self._slots:
            answer = self._answer(kind, raw, charset)
        if answer.error is not None:
            raise SearchError(answer.error)
        return answer

    def _answer(self, kind: Kind, raw: bytes, charset: str | None) -> Answer:
        process = self._process()
        try:
            answer = process.read(kind, raw, charset)
            if answer is None and process.documents > 1:  # it may have died of an earlier one
                process.end()
                process = _Process(self._bounds)
                answer = process.read(kind, raw, charset)
        except BaseException:
            process.end()
            raise
        answer = answer or Answer(error="whatever reads it breaks down")
        keep = answer.error is None and len(raw) < _LARGE and process.documents < _DOCUMENTS
        if keep:
            self._idle.append(process)
        else:
            process.end()
        return answer

    def _process(self) -> _Process:
        """One that is waiting for work, or a fresh one."""
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return _Process(self._bounds)
            if process.waits:
                return process
            process.end()


class _Process:
    """One process."""

    def __init__(self, bounds: Bounds) -> None:
        numbers = (bounds.memory, bounds.seconds, bounds.characters, bounds.pages, _IDLE)
        paths = [path for path in (*sys.path, str(Path(mia.__file__).parents[1])) if path]
        self._seconds = bounds.seconds
        self._longest = 12 * bounds.characters + 2**20  # bytes of JSON, all characters escaped
        self._process = subprocess.Popen(
            [sys.executable, "-I", pages_worker.__file__, *map(str, numbers), *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={},
        )
        self.documents = 0
        self._since = time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether it is still there, and will be for the next moments."""
        return self._process.poll() is None and time.monotonic() - self._since < _IDLE / 2

    def read(self, kind: Kind, raw: bytes, charset: str | None) -> Answer | None:
        """What it says of a document; an error where it says nothing in time, None where it dies
        before."""
        self.documents += 1
        name = (charset or "").encode("ascii", "replace")[:40]
        word = pages_worker.PDF if kind == "pdf" else pages_worker.HTML
        header = pages_worker.HEADER.pack(word, len(raw), len(name))
        late = threading.Event()
        timer = threading.Timer(self._seconds, self._stop, [late])
        timer.start()
        try:
            line = self._exchange(header + name, raw)
        finally:
            timer.cancel()
            timer.join()
            self._since = time.monotonic()
        if late.is_set():
            return Answer(error=f"it takes more than {self._seconds} s to read")
        try:
            return msgspec.json.decode(line, type=Answer)
        except msgspec.DecodeError:
            return None

    def _exchange(self, header: bytes, raw: bytes) -> bytes:
        """The line that it answers; as much of it as there is when it ends before."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(header)
            self._process.stdin.write(raw)
            self._process.stdin.flush()
        except BrokenPipeError:
            return b""
        return self._process.stdout.readline(self._longest)

    def _stop(self, late: threading.Event) -> None:
        late.set()
        self._kill()

    def _kill(self) -> None:
        """With all that it may have started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kills it and forgets it."""
        self._kill()
        self._process.communicate()


def _end_all(processes: list[_Process]) -> None:
    while processes:
        processes.pop().end()
