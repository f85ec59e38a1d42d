"""Runs a server until it is told to stop, and says where it listens."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from mia.errors import ConfigError
from mia.servers.guard import App

_LAST_ANSWERS = 10
"""Seconds that answers under way get to end when the server stops."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, say: Callable[[str], None]) -> None:
        super().__init__(config)
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            address = address_of(self.servers[0].sockets[0])
            self._say(f"listening on {address} (stop with Ctrl-C)")


def listening(host: str, port: int) -> socket.socket:
    """A socket at this place, on which nobody is answered yet. Port 0 takes a free one. Raises
    ConfigError for a place that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        told = f"cannot listen at {host}, port {port}: {error.strerror or error}"
        raise ConfigError(f"{told}; choose another --port or --host") from error


def address_of(at: socket.socket) -> str:
    """Where a server on this socket is asked."""
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def run(app: App, at: socket.socket, say: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an ASGI app, though its types are our own
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_ANSWERS,
    )
    await _Server(config, say).serve([at])
