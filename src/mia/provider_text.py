"""What providers send, as people read it: plain text, addresses of the web, languages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from mia.types import Noun, Passage

_MOST_TEXT = 4000
"""Characters of one result that are kept; a snippet has a few hundred."""
_MOST_TITLE = 300
_MOST_ADDRESS = 2000
_TAG = re.compile(r"<[^<>]*>")
# Characters that nobody sees and a model reads: controls, zero widths, directions, tags, halves of
# surrogate pairs. What separates words stays.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")


class Locale(Noun, frozen=True):
    """Where a query is asked from."""

    language: str
    """As Google writes it, in small letters: en, zh-cn."""
    country: str

    @property
    def short(self) -> str:
        """The language alone, as Wikipedia names its editions."""
        return self.language.partition("-")[0]


_ENGLISH = Locale(language="en", country="us")
_CHINESE = Locale(language="zh-cn", country="cn")
_JAPANESE = Locale(language="ja", country="jp")
_KOREAN = Locale(language="ko", country="kr")


def locale(query: str) -> Locale:
    """By the script of the query: American English, unless there are Chinese, Japanese or Korean
    characters in it."""
    if _KANA.search(query):  # first, since Japanese has Chinese characters too
        return _JAPANESE
    if _HANGUL.search(query):
        return _KOREAN
    return _CHINESE if _HAN.search(query) else _ENGLISH


def tidy(text: str | None, most: int = _MOST_TEXT) -> str:
    """A plain text on one line, without what nobody sees."""
    return " ".join(_UNSEEN.sub("", text or "").split())[:most].rstrip()


def plain(markup: str | None, most: int = _MOST_TEXT) -> str:
    """A piece of HTML as plain text on one line."""
    return tidy(html.unescape(_TAG.sub("", markup or "")), most)


def shortened(query: str, characters: int, words: int) -> str:
    """As much of a query as a provider takes, in whole words where there is more than one."""
    kept = " ".join(query.split()[:words])
    if len(kept) <= characters:
        return kept
    cut = kept[: characters + 1].rpartition(" ")[0]
    return cut or kept[:characters]


def address(url: str | None) -> str | None:
    """An address of the web; None for anything else, such as `javascript:`."""
    if not url or len(url) > _MOST_ADDRESS or _UNSEEN.search(url) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        named = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # brackets that are no IPv6 address
        return None
    return url if named else None


def passage(
    url: str | None,
    title: str,
    text: str,
    published: str | None = None,
    score: float | None = None,
) -> Passage | None:
    """A result as a passage; None for one that has no address or nothing to read."""
    known = address(url)
    if known is None or not (title or text):
        return None
    return Passage(
        id=known,
        title=title[:_MOST_TITLE] or urlsplit(known).hostname or known,
        text=text,
        url=known,
        score=score or 0.0,
        published=tidy(published, 40) or None,
    )


def listed(passages: Iterable[Passage | None], limit: int) -> tuple[Passage, ...]:
    """The first of those that can be used, each address once."""
    known: dict[str, Passage] = {}
    for found in passages:
        if found is not None:
            known.setdefault(found.id, found)
    return tuple(known.values())[:limit]
