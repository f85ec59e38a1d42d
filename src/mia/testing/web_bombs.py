"""Small responses that grow large in whoever reads them carelessly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from mia.testing.faults import Fault
from mia.testing.providers_modes import Played, plain
from mia.testing.web_files import gzip_zeros, pdf_of, png, zlib_zeros

_HTML = "text/html; charset=utf-8"
_SIDE = 13_000
_NODES = 1_000_000
_DEPTH = 100_000
_PDF_MIB = 200
_ENDLESS = 2**40


def _picture() -> Played:
    """A PNG of 13,000 by 13,000 pixels: 20 kB, and 500 MB once it is RGB."""
    pixels = zlib_zeros((_SIDE // 8 + 1) * _SIDE)
    return plain(200, png(_SIDE, _SIDE, 1, 0, pixels), "image/png")


def _document() -> Played:
    """A PDF whose one page is 200 MiB of drawing commands, in 200 kB."""
    stream = zlib_zeros(_PDF_MIB * 2**20)
    return plain(200, pdf_of(stream, "Bomb", "/Filter /FlateDecode"), "application/pdf")


@cache
def _many() -> bytes:
    return b"<!doctype html><title>Many</title>" + b"<p>a" * _NODES


@cache
def _deep() -> bytes:
    return b"<!doctype html><title>Deep</title>" + b"<div>" * _DEPTH + b"bottom"


def _endless() -> Played:
    return Played(
        Fault(body=b"<p>and so on</p>" * 64, media_type=_HTML), repeat=_ENDLESS, length=-1
    )


def _drip() -> Played:
    return Played(Fault(body=b"<p>slow</p>" * 1000, media_type=_HTML, pace=0.05))


def _headers() -> Played:
    """More headers than anybody sends: 50 kB."""
    headers = tuple((f"X-Filler-{n}", "x" * 480) for n in range(100))
    return Played(Fault(body=b"<title>Headers</title>", headers=headers, media_type=_HTML))


def _gzip() -> Played:
    """A page of 300 MiB behind 300 kB."""
    headers = (("Content-Encoding", "gzip"),)
    return Played(Fault(body=gzip_zeros(300 * 2**20), headers=headers, media_type=_HTML))


BOMBS: Mapping[str, Callable[[], Played]] = {
    "gzip": _gzip,
    "png": _picture,
    "pdf": _document,
    "html": lambda: plain(200, _many(), _HTML),
    "deep": lambda: plain(200, _deep(), _HTML),
    "endless": _endless,
    "drip": _drip,
    "headers": _headers,
}
"""By name, under /bomb/."""
