"""Files of the small web, made by hand so that no library is needed: pictures and documents."""

from __future__ import annotations

import re
import struct
import zlib
from functools import cache

_SIDE = 256
_MIB = 2**20


@cache
def _block(count: int) -> bytes:
    """So many zero bytes, as a deflated piece that leans on nothing before it."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(bytes(count)) + deflate.flush(zlib.Z_FULL_FLUSH)


def _deflated(count: int) -> bytes:
    """So many zero bytes, deflated; put together from pieces, since that takes no time."""
    return _block(_MIB) * (count // _MIB) + _block(count % _MIB) + b"\x03\x00"


@cache
def zlib_zeros(count: int) -> bytes:
    """So many zero bytes, as PNG and PDF pack them."""
    adler = (count % 65521) << 16 | 1
    return b"\x78\xda" + _deflated(count) + struct.pack(">I", adler)


@cache
def gzip_zeros(count: int) -> bytes:
    """So many zero bytes, as HTTP packs them."""
    crc, piece = 0, bytes(_MIB)
    for _ in range(count // _MIB):
        crc = zlib.crc32(piece, crc)
    crc = zlib.crc32(bytes(count % _MIB), crc)
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    return head + _deflated(count) + struct.pack("<II", crc, count)


@cache
def picture(number: int) -> bytes:
    """A PNG of 256 by 256 pixels, another one for each number."""
    red, green, blue = (number * factor % 256 for factor in (37, 101, 197))
    rows = bytearray()
    for y in range(_SIDE):
        rows.append(0)  # no filter
        shade = (y * (number % 7 + 1)) % 256
        pixel = bytes(((red + shade) % 256, (green + y) % 256, blue))
        other = bytes((blue, red, (green + shade) % 256))
        edge = (number * 31 + y) % _SIDE
        rows += pixel * edge + other * (_SIDE - edge)
    return png(_SIDE, _SIDE, 8, 2, zlib.compress(bytes(rows), 6))


def png(width: int, height: int, depth: int, colours: int, pixels: bytes) -> bytes:
    """A PNG file around compressed rows of pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def pdf(title: str, text: str) -> bytes:
    """A PDF of one page with a text; characters outside Latin-1 become question marks."""
    lines = [text[n : n + 90] for n in range(0, len(text), 90)]
    shown = "\n".join(f"({_escaped(line)}) Tj T*" for line in [title, *lines])
    return pdf_of(f"BT /F1 11 Tf 14 TL 50 780 Td\n{shown}\nET".encode("latin-1", "replace"), title)


def pdf_of(content: bytes, title: str = "", dictionary: str = "") -> bytes:
    """A PDF of one page around a stream of drawing commands."""
    named = _escaped(title).encode("latin-1", "replace")
    stream = f"<< /Length {len(content)} {dictionary} >>\nstream\n".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        stream + content + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (" + named + b") >>",
    ]
    body, places = bytearray(b"%PDF-1.4\n"), list[int]()
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % place for place in places)
    body += b"trailer << /Size %d /Root 1 0 R /Info 6 0 R >>\n" % (len(objects) + 1)
    return bytes(body + b"startxref\n%d\n%%%%EOF\n" % start)


def _escaped(text: str) -> str:
    return re.sub(r"([\\()])", r"\\\1", text)
