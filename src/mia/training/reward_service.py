"""A reward of somebody's own that is an HTTP service: it gets a Rollout as JSON, and replies with
Parts as JSON, or null for an episode that cannot be learned from.

What is not said is not made up: a service that is down, slow or not to be understood is asked
again, and then ends the run.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx2
import msgspec

from mia.errors import ConfigError, TrainingError
from mia.retry import Policy, Retry, Transient, asked_wait, transient_status
from mia.training.rewards import Parts, Reward, Rollout
from mia.types import encode

PATIENCE = Policy(deadline=150.0, attempts=3)
"""A service may have to ask a model of its own; an episode took longer than this."""
SECONDS = 60.0
"""For one request, everything included."""
_CONNECT_SECONDS = 5.0
_MOST_BYTES = 2**20
"""Of a decoded reply; Parts have a few hundred."""
_WORDS = 200
"""How much of a service's own words is passed on."""
_ADVICE = "is the service running, and is this its address?"


def reward_at(address: str, *, patience: Policy = PATIENCE, seconds: float = SECONDS) -> Reward:
    """The reward that a service gives. It blocks until the service has answered, so it is called in
    a thread of its own. Raises ConfigError for what is no address; the reward itself raises
    TrainingError that names the address, when the service refuses, or stays without an answer."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is none
    except ValueError as error:
        raise ConfigError(f"no reward at {address!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"no reward at {address!r}: write package.module:function, or an address http://..."
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"no reward at {parts.hostname!r}: leave name and password out of the address, which"
            " stands in the files of a run"
        )
    shown = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    secure = httpx2.create_ssl_context(trust_env=False) if parts.scheme == "https" else False
    return _Service(address, f"the reward at {shown}", secure, patience, seconds)


@dataclass(frozen=True)
class _Service:
    address: str
    where: str
    """What messages call it: what an address asks for (?key=...) may be a secret."""
    secure: ssl.SSLContext | bool
    patience: Policy
    seconds: float

    def __call__(self, rollout: Rollout) -> Parts | None:
        return asyncio.run(self._worth(encode(rollout)))

    async def _worth(self, raw: bytes) -> Parts | None:
        transport = httpx2.AsyncHTTPTransport(verify=self.secure, trust_env=False)
        async with httpx2.AsyncClient(
            transport=transport,
            timeout=httpx2.Timeout(None, connect=min(_CONNECT_SECONDS, self.seconds)),
            follow_redirects=False,
            trust_env=False,
        ) as client:
            retry = Retry(self.patience, error=TrainingError)
            return await retry.call(self.where, lambda: self._once(client, raw))

    async def _once(self, client: httpx2.AsyncClient, raw: bytes) -> Parts | None:
        request = client.build_request(
            "POST",
            self.address,
            content=raw,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        try:
            async with asyncio.timeout(self.seconds):
                response = await client.send(request, stream=True)
                try:
                    body = await _body(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            raise Transient(
                f"no complete answer within {self.seconds:g} s", advice=_ADVICE
            ) from None
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            kind = type(error).__name__
            raise Transient(f"no connection, or one that broke ({kind})", advice=_ADVICE) from None
        return self._read(response, body)

    def _read(self, response: httpx2.Response, body: bytes) -> Parts | None:
        status = response.status_code
        if transient_status(status):
            wait = asked_wait(response.headers.get("retry-after"), time.time())
            raise Transient(f"answered {status}{_words(body)}", wait=wait, down=status >= 500)
        if status != 200:
            raise TrainingError(f"{self.where} answered {status}{_words(body)}")
        try:
            return msgspec.json.decode(body, type=Parts | None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Transient(
                f"answered with neither Parts nor null: {error}{_words(body)}", down=False
            ) from None


async def _body(response: httpx2.Response) -> bytes:
    """Decoded piece by piece, so that it ends at the bound."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MOST_BYTES:
            raise Transient(f"an answer of more than {_MOST_BYTES:,} bytes", down=False)
    return bytes(body)


def _words(body: bytes) -> str:
    """What a service said, in brackets, as one line."""
    text = " ".join(body[: 4 * _WORDS].decode("utf-8", "replace").split())[:_WORDS]
    return f" ({text})" if text.isprintable() and text else ""
