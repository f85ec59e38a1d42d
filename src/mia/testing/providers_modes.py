"""The ways in which a stand-in answers: well, or badly in one of the known ways."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from mia.testing.faults import JSON, Fault
from mia.testing.providers_wire import Wire, refusal
from mia.testing.web_files import gzip_zeros

_MIB = 2**20
_ENDLESS = 2**40
_CAPTCHA = (
    b"<!doctype html><html><title>Are you a human?</title><body><form action=/verify>"
    b"<img src=/captcha.png><input name=answer></form></body></html>"
)
_HTML = "text/html; charset=utf-8"

# What is asked for is changed before the answer is made.
CORPUS_MODES = ("good", "empty", "many", "hostile")
# The provider's own errors.
ERROR_MODES = ("no_key", "wrong_key", "quota", "rate", "refused_query", "error_200")
_PREFIX = re.compile(r"^\s*\[\[([a-z0-9_= ]*)\]\]\s*")


class Played(msgspec.Struct, frozen=True):
    """A response, and how it goes over the wire beyond what a Fault can say."""

    fault: Fault
    repeat: int = 1
    """The body is sent so often."""
    length: int | None = None
    """The Content-Length; None for the true one, below 0 for none."""
    abort: bool = False
    """The connection is reset before the first byte."""


Change = Callable[[Played, str], Played]
"""A good answer, and the base address of the stand-ins, as something worse."""


def _with(**changes: Any) -> Change:
    return lambda played, _: replace(played, fault=replace(played.fault, **changes))


def _status(code: int, words: str, *headers: tuple[str, str]) -> Change:
    return lambda played, _: Played(refusal(code, {"message": words}, headers))


def _truncated(played: Played, _: str) -> Played:
    body = played.fault.body or b""
    return Played(replace(played.fault, body=body[: len(body) // 2]))


def _short(played: Played, _: str) -> Played:
    body = played.fault.body or b""
    return Played(replace(played.fault, body=body[: len(body) // 2]), length=len(body))


def _null_fields(played: Played, _: str) -> Played:
    answer = msgspec.json.decode(played.fault.body or b"{}")
    return Played(replace(played.fault, body=msgspec.json.encode(_nulled(answer))))


def _nulled(value: object, inside: bool = False) -> object:
    """An answer in whose results all texts and numbers are null."""
    if isinstance(value, dict):
        return {key: _nulled(one, inside) for key, one in value.items()}  # type: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_nulled(one, True) for one in value]  # type: ignore[reportUnknownVariableType]
    return None if inside else value


def _huge(played: Played, _: str) -> Played:
    fault = replace(played.fault, body=b'{"results": "' + b"x" * (3 * _MIB) + b'"}')
    return Played(fault)


def _gzip_bomb(played: Played, _: str) -> Played:
    headers = (("Content-Encoding", "gzip"),)
    return Played(replace(played.fault, body=gzip_zeros(64 * _MIB), headers=headers))


def _encoded(name: str) -> Change:
    return _with(headers=(("Content-Encoding", name),))


def _latin(played: Played, _: str) -> Played:
    answer = b'{"results": [], "organic": [], "query": {}, "note": "caf\xe9"}'
    return Played(replace(played.fault, body=answer))


def _redirect(to: str) -> Change:
    def change(played: Played, home: str) -> Played:
        headers = (("Location", home + to),)
        return Played(Fault(status=302, headers=headers, body=b"", media_type=_HTML))

    return change


_DEEP = b'{"results": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

CHANGES: dict[str, Change] = {
    "rate_wait": _status(429, "Too many requests", ("Retry-After", "2")),
    "down": _status(500, "Internal server error"),
    "bad_gateway": _with(status=502, body=b"<html>502 Bad Gateway</html>", media_type=_HTML),
    "down_wait": _status(503, "Service unavailable", ("Retry-After", "1")),
    "teapot": _status(418, "I'm a teapot"),
    "captcha": _with(body=_CAPTCHA, media_type=_HTML),
    "html_500": _with(status=500, body=b"<html>oops</html>", media_type=_HTML),
    "truncated": _truncated,
    "short": _short,
    "not_json": _with(body=b"OK", media_type="text/plain"),
    "other_json": _with(body=b'[1, "two", null]'),
    "null_fields": _null_fields,
    "no_body": _with(body=b""),
    "slow": _with(wait=60.0),
    "drip": _with(pace=0.05),
    "forever": lambda played, _: Played(
        replace(played.fault, body=b" " * 1024), repeat=_ENDLESS, length=-1
    ),
    "reset": lambda played, _: replace(played, abort=True),
    "cut": _with(cut=20),
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
    "bad_gzip": _encoded("gzip"),
    "odd_encoding": _encoded("br"),
    "redirect": _redirect("/internal/secret"),
    "redirect_loop": _redirect("/redirect/loop"),
    "wrong_charset": _latin,
    "deep_json": _with(body=_DEEP),
}
"""By mode, what becomes of a good answer."""

MODES = (*CORPUS_MODES, *ERROR_MODES, *CHANGES, "echo_key")
"""All modes. echo_key is a refusal that repeats the key it got."""


def echoed(key: str) -> Played:
    """A refusal that repeats a key, in a word and at its end."""
    return Played(refusal(401, {"message": f"The key {key} is not valid: Bearer {key}"}))


def error(wire: Wire, mode: str) -> Played:
    """One of the provider's own errors."""
    return Played(wire.errors[mode])


def split(query: str, route: str) -> tuple[str | None, str]:
    """The mode that a query begins with, and the rest: `[[quota]] words` for all providers, or
    `[[serper=quota brave=slow]] words` for some."""
    found = _PREFIX.match(query)
    if found is None:
        return None, query
    mode = None
    for part in found[1].split():
        name, named, value = part.partition("=")
        if not named:
            mode = mode or name
        elif name == route:
            mode = value
    return mode, query[found.end() :]


def plain(status: int, body: bytes, media_type: str = JSON) -> Played:
    """A response without tricks."""
    return Played(Fault(status=status, body=body, media_type=media_type))
