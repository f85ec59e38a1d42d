"""A small model behind a URL that answers questions about items, and a home whose settings name it.

It tells its roles apart by what a request offers, never by its words: a schema is a reflection,
tools are a run, and what has neither is a plan.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from mia.testing import Fault, FaultServer, Received, faults
from mia.types import Question, ToolCall

Player = Callable[[Received], Fault]
SHAPES = (
    "What colour is item {n}?", "Who made item {n}?", "Where was item {n} found by the children?",
    "When did the owner of item {n} sell it?", "Which museum in Italy shows item {n}?",
    "How heavy is item {n} compared with its box?", "Why did the painter throw away item {n}?",
    "Did a king ever own item {n}?",
)  # fmt: skip
_ITEM = re.compile(r"item (\d+)")


def item(request: Received) -> int:
    """What a request is about; the question stands first in it. 0 for embeddings."""
    match = _ITEM.search(msgspec.json.encode((request.body or {}).get("messages", [])).decode())
    return int(match[1]) if match else 0


def plans(request: Received) -> bool:
    body = request.body or {}
    return "messages" in body and "response_format" not in body and "tools" not in body


def plays(request: Received) -> Fault:
    """Plans, searches once, answers `kind N`; it finds nothing about items from 100."""
    body, number = request.body or {}, item(request)
    if "messages" not in body:
        return Fault()
    if "response_format" in body:
        return faults.ok('{"goal_met": true, "reason": "the item was found"}')
    if "tools" not in body:
        return faults.ok(f"1. Search for item {number}.\n2. Read what is said of it.")
    if any(message["role"] == "tool" for message in body["messages"]):
        return faults.ok(f"<answer>{f'kind {number}' if number < 100 else ''}</answer>")
    call = ToolCall(name="search", arguments={"query_list": [f"item {number}"]}, id="call00001")
    return faults.ok("I look it up.", [call])


class Served:
    """A FaultServer in a thread of its own, for tests and commands that block."""

    def __init__(self, player: Player) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server = FaultServer(then=player)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.__aenter__(), self._loop).result(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = self._server.__aexit__(kind, error, trace)
        asyncio.run_coroutine_threadsafe(ended, self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def requests(self) -> list[Received]:
        return list(self._server.requests)

    def asked_to_plan(self) -> list[int]:
        """The items of all requests for a plan, in the order they came."""
        return [item(request) for request in self.requests if plans(request)]

    def wait_for(self, what: Callable[[], bool], seconds: float = 30) -> None:
        """Until something is so, or else the test fails."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.01)


@dataclass(frozen=True)
class Home:
    """A folder with settings, a corpus and questions."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "home"

    @property
    def config(self) -> Path:
        return self.folder / "mia.toml"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.jsonl"

    @property
    def questions(self) -> Path:
        return self.folder / "questions.jsonl"

    def configure(self, url: str, more: str = "", embedder: str | None = None) -> None:
        """Writes settings whose every model is at the URL."""
        self.config.write_text(
            f'home = "{self.data}"\njudge = "exact"\n{more}\n'
            f'[models.default]\nbase_url = "{url}"\nmodel = "toy"\ndeadline = 10.0\n'
            f'[models.embedder]\nbase_url = "{embedder or url}"\nmodel = "toy"\ndeadline = 10.0\n',
            encoding="utf-8",
        )

    def furnish(self, count: int = len(SHAPES)) -> None:
        """Writes a corpus of items, and a question about each."""
        lines = [
            {"id": f"i{n}", "title": f"Item {n}", "text": f"The kind of item {n} is kind {n}."}
            for n in range(1, 12)
        ]
        self.corpus.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        asked = [
            Question(text=SHAPES[n - 1].format(n=n), id=f"q{n}", answers=(f"kind {n}",))
            for n in range(1, count + 1)
        ]
        rows = [{"question": q.text, "id": q.id, "answers": q.answers} for q in asked]
        self.questions.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
