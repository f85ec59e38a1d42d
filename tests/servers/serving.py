"""An ASGI app on a real socket of this machine."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Any, Self

import uvicorn


class Serving:
    """`with Serving(app) as server:` serves until the block ends, in a thread of its own."""

    def __init__(self, app: Any, farewell: int | None = None) -> None:
        """`farewell` are the seconds that requests under way get at the end; None for no bound."""
        config = uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="error", lifespan="on",
            timeout_graceful_shutdown=farewell,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))

    @property
    def port(self) -> int:
        return self._server.servers[0].sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            self._thread.join(0.01)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
