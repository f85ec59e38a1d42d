"""Children: modules of this package in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, Self, TypeVar

import msgspec

_ROOT = Path(__file__).parents[2]
_SILENT = {
    "MEM0_TELEMETRY": "False",
    "MEM0_DIR": str(Path(tempfile.gettempdir(), "mem0-of-benchmarks")),
    "ANONYMIZED_TELEMETRY": "False",
}
# LANCE_CPU_THREADS=1 is left out: with it lancedb 0.40.0 never finishes an index
_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "RAYON_NUM_THREADS",
        "TOKIO_WORKER_THREADS",
    ),
    "1",
)

T = TypeVar("T")


class ChildError(Exception):
    """A child did not do its work; the message says why."""


class Child:
    """A child at work. It ends with the block, if not before."""

    def __init__(
        self, module: str, *words: object, core: int | None = None, under: Sequence[str] = ()
    ) -> None:
        """`core` holds it to one core and its libraries to one thread; `under` is a program that
        watches it."""
        pin = () if core is None else ("taskset", "-c", str(core))
        python = (sys.executable, "-W", "ignore", "-m", f"{__package__}.{module}")
        # files in memory: the child never waits for a reader, and what it said outlives it
        self._said, self._erred = os.memfd_create("said"), os.memfd_create("erred")
        self._process = subprocess.Popen(
            [*pin, *under, *python, *map(str, words)], cwd=_ROOT,
            stdin=subprocess.PIPE, stdout=self._said, stderr=self._erred,
            env=os.environ | _SILENT | ({} if core is None else _ONE_THREAD),
            process_group=0,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        os.close(self._said)
        os.close(self._erred)

    def lines(self) -> list[bytes]:
        """What it said until now; libraries say things too."""
        return _lines(self._said)

    def await_line(self, line: bytes, seconds: float) -> None:
        """Waits until it says a line. Raises ChildError when it ends or the time does."""
        end = time.perf_counter() + seconds
        while line not in self.lines():
            if self._process.poll() is not None:
                raise ChildError(self._last_words())
            if time.perf_counter() > end:
                raise ChildError(f"no answer within {seconds:.0f} s")
            time.sleep(0.05)

    def go(self) -> None:
        """Gives it the line that it waits for."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def answer(self, kind: type[T], seconds: float) -> T:
        """Waits for its end; what it said last. Raises ChildError."""
        try:
            self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ChildError(f"no answer within {seconds:.0f} s") from None
        if self._process.returncode != 0:
            raise ChildError(self._last_words())
        return msgspec.json.decode(self.lines()[-1], type=kind)

    def kill(self) -> None:
        """Ends it at once, and what watches it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _last_words(self) -> str:
        lines = _lines(self._erred)
        return lines[-1].decode(errors="replace") if lines else f"ended with {self._process.poll()}"


def run(
    kind: type[T],
    module: str,
    *words: object,
    seconds: float,
    core: int | None = None,
    under: Sequence[str] = (),
) -> T:
    """A child's answer. Raises ChildError."""
    with Child(module, *words, core=core, under=under) as child:
        return child.answer(kind, seconds)


def answer(told: object) -> NoReturn:
    """Says a child's answer and ends it: while Python ends, qdrant's client would complain."""
    sys.stdout.flush()
    os.write(1, msgspec.json.encode(told) + b"\n")
    os._exit(0)


def _lines(file: int) -> list[bytes]:
    """The lines that are whole, read beside the file's place, which the child writes at."""
    whole = os.pread(file, os.fstat(file).st_size, 0)
    return [line.strip() for line in whole.split(b"\n")[:-1]]
