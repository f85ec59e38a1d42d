"""The only way out to the web: one page or picture at an address that nobody has vouched for.

It keeps no cookies, sends no credentials, reads no proxy from the environment and follows a few
redirects by hand, each one judged like a first address. Every answer has a cap in bytes and a call
one in seconds. Search providers are asked by `mia.providers`, whose addresses the settings give.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import urljoin

import httpcore2
import httpx2

from mia.retry import asked_wait
from mia.search.addresses import Allowed, Target
from mia.search.fetch_body import ENCODINGS, body, check_kind, declared, opened
from mia.search.fetch_connect import Dial, Pinned, Resolve, system, tcp
from mia.search.fetch_errors import FetchError
from mia.types import Noun

PAGE = 5 * 2**20
"""The most bytes of a page."""
PICTURE = 10 * 2**20
"""The most bytes of a picture."""
PAGES = ("text/html", "text/*", "application/pdf", "application/json", "application/xml")
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")

_AGENT = "mia/{version} (a research agent; reads single pages that a question led to; {contact})"
_REDIRECTS = 3
_MOVED = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_LONGEST_PAUSE = 10.0
"""Seconds that are waited at a site's wish; where it wishes more, its page is not read."""
_LONGEST_WISH = 600.0
"""A Retry-After beyond this is not believed."""
_AT_ONCE = 2
"""Requests to one host at the same time."""
_HOSTS = 1000
"""How many hosts are remembered."""


class Fetched(Noun, frozen=True):
    """What lay at an address."""

    url: str
    """Where it lay in the end, after redirects."""
    status: int
    media_type: str
    """By a look at it, not only by what the server says."""
    charset: str | None
    """As the server says."""
    body: bytes
    fetched_at: str
    """ISO 8601, UTC."""


class _Host:
    """What is known of one host."""

    def __init__(self) -> None:
        self.slots = asyncio.Semaphore(_AT_ONCE)
        self.users = 0
        self.rests_until = 0.0


class Fetcher:
    """Fetches under all the rules. Bound to the event loop of its first call; `aclose` it there."""

    def __init__(
        self,
        allow: Iterable[str] = (),
        *,
        contact: str = "its user has set no contact",
        seconds: float = 20.0,
        resolve: Resolve = system,
        dial: Dial = tcp,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`allow` names hosts that may be internal, as `host` or `host:port`; only settings may
        fill it. `seconds` is for one call with its redirects and pauses."""
        self._allowed = Allowed(allow)
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._hosts: dict[str, _Host] = {}
        self._headers = {
            "User-Agent": _AGENT.format(version=version("mia"), contact=contact),
            "Accept-Language": "en, *;q=0.5",
            "Accept-Encoding": ", ".join(ENCODINGS),
            "Connection": "close",
        }
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or httpx2.create_ssl_context(trust_env=False),
            max_connections=32,
            max_keepalive_connections=0,
            network_backend=Pinned(self._allowed, resolve, dial),
        )

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    def check(self, url: str) -> None:
        """Raises FetchError (refused) for an address that is not asked, whoever answers there."""
        self._allowed.target(url)

    async def get(self, url: str, *, most: int = PAGE, kinds: tuple[str, ...] = PAGES) -> Fetched:
        """What lies at a URL: at most so many unpacked bytes, of one of these media types. Raises
        FetchError."""
        limit = asyncio.timeout(self._seconds)
        try:
            async with limit:
                return await self._followed(url, most, kinds)
        except TimeoutError:
            if not limit.expired():
                raise
            raise FetchError("too_slow", url, f"not here after {self._seconds:g} s") from None

    async def _followed(self, url: str, most: int, kinds: tuple[str, ...]) -> Fetched:
        target = self._allowed.target(url)
        for _ in range(_REDIRECTS + 1):
            answer = await self._asked(target, most, kinds)
            if isinstance(answer, Fetched):
                return answer
            target = self._moved(target, answer)
        raise FetchError("refused", url, f"it redirects more than {_REDIRECTS} times")

    def _moved(self, here: Target, to: str) -> Target:
        """Where a redirect leads. Raises FetchError when it may not lead there."""
        try:
            there = self._allowed.target(urljoin(here.url, to))
        except ValueError:
            raise FetchError("refused", here.url, "it redirects to no address") from None
        if here.scheme == "https" and there.scheme == "http":
            raise FetchError("refused", here.url, "it redirects from https to http")
        if there.trusted and not here.trusted:
            raise FetchError("refused", here.url, "it redirects into an internal network")
        return there

    async def _asked(self, target: Target, most: int, kinds: tuple[str, ...]) -> Fetched | str:
        """What lies there, or where it has moved. A busy site is asked once more if it says when,
        and that is soon."""
        async with self._slot(target.host) as host:
            for last in (False, True):
                await self._rest(target, host)
                async with self._response(target, kinds) as answer:
                    wait = asked_wait(answer.headers.get("retry-after"), time.time())
                    if answer.status_code in _BUSY and wait is not None:
                        host.rests_until = self._clock() + min(wait, _LONGEST_WISH)
                        if not last:
                            continue
                    return await self._read(target, answer, most, kinds)
        raise AssertionError("unreachable: the last answer is read")

    @asynccontextmanager
    async def _slot(self, name: str) -> AsyncGenerator[_Host]:
        """One of the few requests that a host gets at a time."""
        if name not in self._hosts and len(self._hosts) >= _HOSTS:
            now = self._clock()
            busy = {n: h for n, h in self._hosts.items() if h.users or h.rests_until > now}
            self._hosts = busy
        host = self._hosts.setdefault(name, _Host())
        host.users += 1
        try:
            async with host.slots:
                yield host
        finally:
            host.users -= 1

    async def _rest(self, target: Target, host: _Host) -> None:
        left = host.rests_until - self._clock()
        if left > _LONGEST_PAUSE:
            told = f"the site is busy and asks to be left alone for {left:.0f} s"
            raise FetchError("status", target.url, told)
        if left > 0:
            await self._sleep(left)

    @asynccontextmanager
    async def _response(
        self, target: Target, kinds: tuple[str, ...]
    ) -> AsyncGenerator[httpx2.Response]:
        """The answer to one request, its body unread."""
        accept = [kinds[0], *(f"{kind};q=0.8" for kind in kinds[1:]), "*/*;q=0.1"]
        headers = {"Host": target.place, "Accept": ", ".join(accept), **self._headers}
        url = httpcore2.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        request = httpcore2.Request("GET", url, headers=list(headers.items()))
        with _in_our_words(target.url):
            response = await self._pool.handle_async_request(request)
            try:
                yield opened(target.url, response)
            finally:
                await response.aclose()

    async def _read(
        self, target: Target, answer: httpx2.Response, most: int, kinds: tuple[str, ...]
    ) -> Fetched | str:
        status, moved = answer.status_code, answer.headers.get("location")
        if status in _MOVED and moved is not None:
            return moved
        if not 200 <= status < 300:
            raise FetchError("status", target.url, f"the site answered {status}", status)
        raw = await body(target.url, answer, most, kinds)
        return Fetched(
            url=target.url,
            status=status,
            media_type=check_kind(target.url, answer, raw, kinds),
            charset=declared(answer)[1],
            body=raw,
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


@contextmanager
def _in_our_words(url: str) -> Generator[None]:
    """Turns what may go wrong on the wire into FetchErrors. Those of TCP come from `Pinned`."""
    try:
        yield
    except httpcore2.ConnectError:
        told = "no secure connection; its certificate may be another's, or too old"
        raise FetchError("dead", url, told) from None
    except httpcore2.ProtocolError:
        raise FetchError("unreadable", url, "its answer breaks off, or is no HTTP") from None
    except (httpcore2.NetworkError, httpcore2.TimeoutException):
        raise FetchError("dead", url, "the connection broke") from None
    except httpx2.DecodingError:
        raise FetchError("unreadable", url, "its answer cannot be unpacked") from None
