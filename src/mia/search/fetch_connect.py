"""The last step before a connection: the name is looked up once, every answer is checked, and the
connection goes to a checked number. There is no second look-up that could answer otherwise."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any, cast

import httpcore2

from mia.search.addresses import Allowed, public
from mia.search.fetch_errors import FetchError

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host. Raises OSError when it has none."""

Dial = Callable[[str, int], Awaitable[httpcore2.AsyncNetworkStream]]
"""A connection to a number and a port. Raises httpcore2's errors when there is none."""

_TRIED = 4
"""Addresses of one host that a connection is tried to."""
_CONNECT_SECONDS = 5.0


async def system(host: str, port: int) -> tuple[str, ...]:
    """What the system's resolver knows."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))


async def tcp(address: str, port: int) -> httpcore2.AsyncNetworkStream:
    """A connection from this machine."""
    # httpcore hides the real class from type checkers, since anyio may be missing.
    network = cast(httpcore2.AsyncNetworkBackend, httpcore2.AnyIOBackend())
    return await network.connect_tcp(address, port, timeout=_CONNECT_SECONDS)


class _Held(httpcore2.AsyncNetworkStream):
    """A connection that is not lost track of when a caller gives up while it becomes a secure one:
    httpcore closes it then for errors, but not for a cancelled task."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise


class Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only, and to those that the settings name."""

    def __init__(self, allowed: Allowed, resolve: Resolve, dial: Dial) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._dial = dial

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the name that httpcore calls it by
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address that takes one. Raises FetchError."""
        addresses = await self._addresses(host, port)
        for address in addresses[:_TRIED]:
            try:
                return _Held(await self._dial(address, port))
            except (httpcore2.NetworkError, httpcore2.TimeoutException):
                continue
        raise FetchError("dead", host, "it takes no connection")

    async def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        addresses = (host,) if _is_number(host) else await self._looked_up(host, port)
        if not self._allowed.trusts(host, port) and not all(map(public, addresses)):
            raise FetchError("refused", host, "it leads into an internal network")
        return addresses

    async def _looked_up(self, host: str, port: int) -> tuple[str, ...]:
        try:
            addresses = tuple(await self._resolve(host, port))
        except OSError:
            addresses = ()
        if not addresses:
            raise FetchError("dead", host, "there is no such host")
        return addresses


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
