"""What comes back: unpacked under caps, and told apart by its first bytes.

A server may send more than fits, pack 300 MiB into 300 kB, or call a PDF a web page.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpcore2
import httpx2

from mia.search.fetch_errors import FetchError

ENCODINGS = ("gzip", "deflate")
"""What is asked for; every server knows one of them or none."""
_RATIO = 100
"""Text shrinks to a tenth or twentieth; what shrinks more was made to burst."""
_GRACE = 64 * 1024
"""Unpacked bytes before the ratio says anything."""
_HEADERS = 200
_HEADER_BYTES = 64 * 1024
_HEAD = 1024
"""Bytes that tell what something is."""

_SIGNATURES = (
    (re.compile(rb"\s*%PDF-"), "application/pdf"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{4}\x00{4}", re.DOTALL), "image/bmp"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype\s+html|html)\b",
                re.DOTALL | re.IGNORECASE), "text/html"),
)  # fmt: skip
_MARKUP = re.compile(
    rb"(\xef\xbb\xbf)?\s*<(head|body|title|meta|script|style|h[1-6]|div|p|table|article|main|!--)\b",
    re.IGNORECASE,
)
_PDF = b"%PDF-"
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""The marks of UTF-16, whose text is full of zero bytes."""
_TEXTUAL = re.compile(r"text/.*|application/([\w.-]+\+)?(json|xml|javascript|x-ndjson|yaml)"
                      r"|image/svg\+xml")  # fmt: skip
UNKNOWN = "application/octet-stream"


class Stream(httpx2.AsyncByteStream):
    """The body of a response, as it comes over the wire."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._response.aiter_stream():
            yield piece

    async def aclose(self) -> None:
        """Gives the connection up."""
        await self._response.aclose()


def opened(url: str, response: httpcore2.Response) -> httpx2.Response:
    """A response whose body is unpacked as it is read. Raises FetchError when its headers are more
    than any page needs, or it is packed in a way that was not asked for."""
    headers = response.headers
    if len(headers) > _HEADERS or sum(len(n) + len(v) for n, v in headers) > _HEADER_BYTES:
        raise FetchError("unreadable", url, "its headers are too long")
    answer = httpx2.Response(response.status, headers=headers, stream=Stream(response))
    packed = answer.headers.get("content-encoding", "identity").strip().lower()
    if packed not in (*ENCODINGS, "identity", ""):
        raise FetchError("unreadable", url, "it is packed in a way that was not asked for")
    return answer


async def body(url: str, answer: httpx2.Response, most: int, kinds: tuple[str, ...]) -> bytes:
    """The unpacked body. Raises FetchError as soon as it is too big or of another kind."""
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > most:
        raise _too_big(url, most)
    pieces: list[bytes] = []
    size = 0
    known = False
    async with aclosing(answer.aiter_bytes()) as unpacked:
        async for piece in unpacked:
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise _too_big(url, most)
            if size > max(_GRACE, _RATIO * answer.num_bytes_downloaded):
                raise FetchError("too_big", url, f"it unpacks to more than {_RATIO} times its size")
            if not known and size >= _HEAD:
                check_kind(url, answer, b"".join(pieces), kinds)
                known = True
    return b"".join(pieces)


def _too_big(url: str, most: int) -> FetchError:
    return FetchError("too_big", url, f"it is longer than {most / 2**20:.3g} MiB")


def check_kind(url: str, answer: httpx2.Response, raw: bytes, kinds: tuple[str, ...]) -> str:
    """The media type of a body, by a look at its head. Raises FetchError when it is none of
    `kinds`, in which `text/*` stands for every type that begins so."""
    found = media_type(raw, declared(answer)[0])
    for kind in kinds:
        if kind == found or (kind.endswith("/*") and found.startswith(kind[:-1])):
            return found
    raise FetchError("kind", url, f"this is {found}, which is not read here")


def declared(answer: httpx2.Response) -> tuple[str, str | None]:
    """The media type and the charset that the headers claim; empty and None where they do not."""
    kind, *parameters = answer.headers.get("content-type", "").split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return kind.strip().lower(), value.strip().strip("\"'")[:40] or None
    return kind.strip().lower(), None


def media_type(raw: bytes, claimed: str) -> str:
    """What a body is: by its signature, and where it has none, what it is said to be, as far as
    that can be true of text."""
    head = raw[:_HEAD]
    for signature, kind in _SIGNATURES:
        if signature.match(head):
            return kind
    if claimed == "application/pdf" and _PDF in head:
        return claimed
    if _BINARY.search(head) and not head.startswith(_WIDE):
        return UNKNOWN
    if claimed in ("text/html", "application/xhtml+xml"):
        return "text/html"
    if _TEXTUAL.fullmatch(claimed):
        return claimed
    return "text/html" if _MARKUP.match(head) else "text/plain"
