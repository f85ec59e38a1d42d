"""Runs a server until it is told to stop, and says where it listens."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn

from mia.servers.guard import App

_LAST_ANSWERS = 10
"""Seconds that answers under way get to end when the server stops."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._say = say

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]  # uvicorn's own default
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._say(f"listening on http://{shown}:{port} (stop with Ctrl-C)")


async def run(app: App, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM. Port 0 takes a free one."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app, though its types are our own
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    await _Server(config, say).serve()
