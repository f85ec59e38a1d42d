"""What strangers wrote, as text that is fit to be read: HTML, PDF and plain text."""

from __future__ import annotations

import re
from functools import cache

from mia.errors import SearchError
from mia.render import visible
from mia.search.pages_charset import decoded
from mia.search.pages_reader import Bounds, Kind, Reader
from mia.types import Noun

_MAX_TITLE = 300
_HEADING = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_HEADING_WITHIN = 2000
"""Characters at the beginning of a text in which a heading is its title."""

_GAPS = re.compile(r"\n{3,}")


class Page(Noun, frozen=True):
    """A document as text."""

    title: str
    """Empty where it names none."""
    text: str
    """Markdown, where it was a web page."""
    published: str | None = None
    """The date as the document gives it."""


def from_html(raw: bytes, charset: str | None = None, reader: Reader | None = None) -> Page:
    """A web page. `charset` is what a header says of it, if one does. Raises SearchError for what
    cannot be read, MissingError without the libraries."""
    return _read("html", raw, charset, reader)


def from_pdf(raw: bytes, reader: Reader | None = None) -> Page:
    """A PDF. Raises SearchError for what cannot be read, MissingError without the library."""
    return _read("pdf", raw, None, reader)


def from_text(raw: bytes, charset: str | None = None) -> Page:
    """Plain text or Markdown. Raises SearchError where there is none."""
    text = clean(decoded(raw, charset)[: Bounds().characters])
    if not text:
        raise SearchError("there is no text in it")
    heading = _HEADING.search(text[:_HEADING_WITHIN])
    return Page(title=heading[1][:_MAX_TITLE] if heading else "", text=text)


def clean(text: str) -> str:
    """Text without characters that nobody sees, and without empty space at the ends of lines."""
    lines = (line.rstrip() for line in visible(text).split("\n"))
    return _GAPS.sub("\n\n", "\n".join(lines)).strip()


def _read(kind: Kind, raw: bytes, charset: str | None, reader: Reader | None) -> Page:
    answer = (reader or _shared()).read(kind, raw, charset)
    text = clean(answer.text)
    if not text:
        raise SearchError("there is no text in it")
    published = clean(answer.published) if answer.published else None
    return Page(title=clean(answer.title), text=text, published=published or None)


@cache
def _shared() -> Reader:
    """The processes of all who bring no others: starting one for each page would take longer than
    reading it."""
    return Reader()
