"""Processes that work until they are killed, and what they said before."""

from __future__ import annotations

import faulthandler
import os
import random
import select
import signal
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Self

from benchmarks.memory_drills.tally import Ack, Tally

from mia.errors import StoreError
from mia.types import decode, encode

LONGEST = 0.4
"""Seconds from the start to the kill; at least a quarter of it."""
MOST_SECONDS = 300.0
"""For processes that come to an end by themselves."""

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["mia.memories.workflow.sqlite", "mia.memories.workflow.remember"])


class Voice:
    """A process's way to say something to the one that may kill it. What was said is said: a line
    goes through the pipe whole or not at all."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def be_ready(self) -> None:
        """Tells that the process has begun: an empty line."""
        os.write(self._pipe.fileno(), b"\n")

    def say(self, ack: Ack) -> None:
        """Tells what was acknowledged."""
        line = encode(ack) + b"\n"
        assert len(line) <= select.PIPE_BUF, "the system may cut a line of this length"
        os.write(self._pipe.fileno(), line)


Job = Callable[[Voice], None]


@contextmanager
def heard(voice: Voice) -> Generator[None]:
    """Tells what the store had against a process or a thread."""
    try:
        yield
    except StoreError as error:
        voice.say(Ack(error=str(error)))


def together(jobs: Iterable[Callable[[], None]]) -> None:
    """Runs jobs at the same time and waits for them."""
    every = list(jobs)
    with ThreadPoolExecutor(len(every)) as pool:
        for done in [pool.submit(job) for job in every]:
            done.result()


def _at_work(job: Job, pipe: Connection) -> None:
    faulthandler.enable()
    voice = Voice(pipe)
    voice.be_ready()
    with heard(voice):
        job(voice)


class Crew:
    """Processes at work, and what they said. None of them goes on after the block."""

    def __init__(self, *jobs: Job) -> None:
        self._pipe, theirs = _FORKS.Pipe(duplex=False)
        self._heard = b""
        self._silent = False
        """Whether the last of them hung up."""
        with theirs:
            self._members = [_FORKS.Process(target=_at_work, args=(job, theirs)) for job in jobs]
            for member in self._members:
                member.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for member in self._members:
            member.join()
            member.close()
        self._pipe.close()

    def listen(self, seconds: float) -> None:
        """Hears what is said until then, or until nobody is left."""
        until = time.monotonic() + seconds
        while not self._silent and (left := until - time.monotonic()) > 0:
            self._hear(left)

    def await_lines(self, lines: int) -> None:
        """Waits until so much was said; each of them begins by saying that it is ready."""
        until = time.monotonic() + MOST_SECONDS
        while not self._silent and self._heard.count(b"\n") < lines:
            assert time.monotonic() < until, "the processes of a drill do nothing"
            self._hear(until - time.monotonic())

    def kill(self) -> list[Ack]:
        """Kills all of them at once; what they had said."""
        self._end()
        return self.finish()

    def finish(self) -> list[Ack]:
        """Waits for all of them; what they said, but for who is ready."""
        self.listen(MOST_SECONDS)
        assert self._silent, f"a process of a drill took more than {MOST_SECONDS:.0f} s"
        whole = self._heard[: self._heard.rfind(b"\n") + 1].splitlines()
        acks = [decode(line, Ack) for line in whole if line]
        for member in self._members:
            member.join()
            if member.exitcode not in (0, -signal.SIGKILL):
                acks.append(Ack(error=f"it ended with {member.exitcode}"))
        return acks

    def _end(self) -> None:
        for member in self._members:
            member.kill()

    def _hear(self, seconds: float) -> None:
        ready, _, _ = select.select([self._pipe], [], [], max(seconds, 0))
        if ready:
            said = os.read(self._pipe.fileno(), 1 << 20)
            self._heard += said
            self._silent = not said


def killed(
    jobs: Sequence[Job], luck: random.Random, tally: Tally, longest: float = LONGEST
) -> list[Ack]:
    """Starts processes and kills them, up to so many seconds after the first was ready, or after
    all were and one had something acknowledged; what they said."""
    with Crew(*jobs) as crew:
        crew.await_lines(luck.choice((1, len(jobs) + 1)))
        crew.listen(luck.uniform(longest / 4, longest))
        tally.counts["kills"] += 1
        return noted(crew.kill(), tally)


def noted(acks: Iterable[Ack], tally: Tally) -> list[Ack]:
    """The acknowledged writes. An error that a process met is a broken promise."""
    good: list[Ack] = []
    for ack in acks:
        tally.expect(not ack.error, f"a process met an error: {ack.error}")
        if not ack.error:
            good.append(ack)
    tally.counts["acknowledged"] += sum(ack.seq > 0 for ack in good)
    return good
