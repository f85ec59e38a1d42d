"""Bytes as text, when nobody can be sure of the charset: pages name the wrong one, or none."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_MARKS = ((BOM_UTF8, "utf-8-sig"), (BOM_UTF16_LE, "utf-16"), (BOM_UTF16_BE, "utf-16"))
_META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_META_BYTES = 2048
_GUESSED_BYTES = 64 * 1024
"""Of a text, as a sample for a guess."""
_BROKEN = 10
"""One letter in so many beyond ASCII may be broken, and it is UTF-8 still."""
_TELLING = 24
"""Bytes beyond ASCII that a guess needs; with fewer, any charset seems to fit."""

# What is written on the web, by the names of Python; some stand for a larger set that browsers
# read under that name. Other codecs of Python are no charsets, or slow ones.
_READ_AS = {
    "ascii": "cp1252", "us-ascii": "cp1252", "latin1": "cp1252", "latin-1": "cp1252",
    "iso-8859-1": "cp1252", "iso8859-1": "cp1252", "iso_8859-1": "cp1252",
    "iso-8859-9": "cp1254", "tis-620": "cp874", "iso-8859-11": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "x-gbk": "gb18030",
    "big5": "big5hkscs", "big5-hkscs": "big5hkscs",
    "shift_jis": "cp932", "shift-jis": "cp932", "sjis": "cp932", "x-sjis": "cp932",
    "windows-31j": "cp932", "euc-jp": "euc_jp", "iso-2022-jp": "iso2022_jp",
    "euc-kr": "cp949", "ks_c_5601-1987": "cp949", "windows-949": "cp949",
    "koi8-r": "koi8_r", "koi8-u": "koi8_u", "ibm866": "cp866", "macintosh": "mac_roman",
    "utf-8": "utf-8", "utf8": "utf-8", "utf-16": "utf-16", "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    **{f"windows-{n}": f"cp{n}" for n in (874, *range(1250, 1259))},
    **{f"cp{n}": f"cp{n}" for n in (866, 874, 932, 949, *range(1250, 1259))},
    **{f"iso-8859-{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
}  # fmt: skip
_CHARSETS = sorted(set(_READ_AS.values()))
_SEVEN_BITS = "iso2022_jp"
"""Its texts are ASCII to the eye."""


def decoded(raw: bytes, charset: str | None) -> str:
    """The text that is most likely meant. `charset` is what a header says of it, if it says it.

    A mark at the beginning decides; then whether it is UTF-8, which no other text is by chance;
    then what the header says, then what the page says of itself, then a guess by its letters.
    """
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return raw.decode(codec, "replace")
    match = _META.search(raw[:_META_BYTES])
    said = [_codec(charset), _codec(match[1].decode("ascii", "replace") if match else None)]
    named = [codec for codec in said if codec not in (None, "utf-8")]
    if _SEVEN_BITS not in named:
        text = raw.decode("utf-8", "replace")
        if _BROKEN * text.count("\ufffd") <= len(text) - len(text.encode("ascii", "ignore")):
            return text
    for codec in filter(None, named):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return raw.decode(_guess(raw) or next(filter(None, named), "cp1252"), "replace")


def _codec(charset: str | None) -> str | None:
    return _READ_AS.get(charset.strip().lower()) if charset else None


def _guess(raw: bytes) -> str | None:
    """What charset-normalizer makes of it, where it is there, has enough to go by and is sure."""
    sample = raw[:_GUESSED_BYTES]
    telling = sum(1 for byte in sample if byte > 127)
    if telling < _TELLING or find_spec("charset_normalizer") is None:
        return None
    normalizer: Any = import_module("charset_normalizer")
    best = normalizer.from_bytes(sample, cp_isolation=_CHARSETS).best()
    return None if best is None else str(best.encoding)
