"""Documents, one or a folder of them, cut into passages: Markdown, plain text, HTML and PDF."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mia.errors import InputError, MissingError, SearchError
from mia.types import Noun, Passage

if TYPE_CHECKING:
    from mia.search.pages_reader import Reader

_MARKDOWN = (".md", ".markdown")
_PAGES = (".html", ".htm", ".xhtml")
KINDS = (*_MARKDOWN, ".txt", *_PAGES, ".pdf")
"""What is read; by the end of the file's name."""
_MOST_BYTES = 64 << 20
"""A larger text is no document but a log or a dump, and would be held in memory as a whole."""
_WORDS = 180
"""Words of a passage, about: paragraphs stay whole."""
_FEW = 60
"""A passage with fewer words goes on over the next heading."""
_MOST = 2 * _WORDS
"""A paragraph with more words is cut at the end of a sentence."""
_HEADING = re.compile(r"(#{1,6})\s+(\S.*)")
_FENCE = re.compile(r"\s*(```|~~~)")
_FRONT = re.compile(r"\A---\n(.*?\n)?(?:---|\.\.\.)\n", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(\S.*)$", re.MULTILINE)
_SENTENCE = re.compile(r".+?(?:[.!?]\s+|[。！？]|\n|\Z)", re.DOTALL)
_LETTERS = 10
"""Letters and signs for which a word is counted in a text with fewer spaces than words."""


@cache
def _reader() -> Reader:
    """Reads documents that somebody chose: longer ones than strangers', within bounds still."""
    from mia.search.pages_reader import Bounds, Reader

    bounds = Bounds(seconds=120, memory=512 * 2**20, characters=20_000_000, pages=5_000)
    return Reader(bounds)


class Document(Noun, frozen=True):
    """What a file says."""

    text: str
    """Markdown."""
    title: str | None = None
    """Its own; None where it has none."""


def passages(source: Path, unreadable: Callable[[str], None] | None = None) -> Iterator[Passage]:
    """The passages of a document, or of every document in a folder, called by its path there and a
    number. Files and folders whose names begin with a dot are passed over.

    A file of a folder that cannot be read is named to `unreadable`, with the reason; without it
    InputError is raised, as where nothing can be read.
    """
    count, first = 0, ""
    folder = source if source.is_dir() else source.parent
    for path in files(source):
        try:
            document = read(path)
        except InputError as error:
            if unreadable is None or path == source:
                raise
            unreadable(str(error))
            first = first or str(error)
            continue
        name = path.relative_to(folder).as_posix()
        title = document.title or path.stem.replace("_", " ").replace("-", " ")
        # a document that is nothing but its title says that
        texts = list(cut(document.text, title)) or [document.text.strip()]
        for number, text in enumerate(filter(None, texts), 1):
            count += 1
            yield Passage(id=f"{name}#{number}", title=title, text=text)
    if not count and first:
        raise InputError(f"nothing in {source} can be read; first: {first}")
    if not count:
        kinds = "" if source.is_file() else f" in {', '.join(KINDS)} files"
        raise InputError(f"{source} has no text{kinds}")


def files(source: Path) -> list[Path]:
    """The documents of a folder, in the order of their names; a document by itself."""
    if source.is_file():
        return [source]
    found: list[Path] = []
    for place, folders, names in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place) / name for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in KINDS and path.is_file()]
    return sorted(found)


def read(path: Path) -> Document:
    """Raises InputError that names the file and says why it cannot be read."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise InputError(f"{path} has {size >> 20} MB; at most {_MOST_BYTES >> 20} are read")
        return _read(path, path.suffix.lower())
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error
    except (SearchError, MissingError, OSError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _read(path: Path, suffix: str) -> Document:
    raw = path.read_bytes()
    if suffix in _PAGES or suffix == ".pdf":
        from mia.search import pages  # with parsers that a plain corpus has no need of

        reader = _reader()
        pdf = suffix == ".pdf"
        page = pages.from_pdf(raw, reader) if pdf else pages.from_html(raw, None, reader)
        return Document(text=page.text, title=(page.title or "").strip() or None)
    text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    return _markdown(text) if suffix in _MARKDOWN else Document(text=text)


def _markdown(text: str) -> Document:
    """The title is that of the front matter, or else the first heading."""
    front = _FRONT.match(text)
    body = text[front.end() :] if front else text
    given = _FRONT_TITLE.search(front[1] or "") if front else None
    if given is not None:
        return Document(text=body, title=given[1].strip("\"' "))
    headings = (heading for block in _blocks(body) if (heading := _heading(block)))
    return Document(text=body, title=next((text for _, text in headings), None))


def _heading(block: str) -> tuple[int, str] | None:
    """The level and the words of a heading."""
    match = _HEADING.fullmatch(block)
    words = match[2].rstrip().rstrip("#").rstrip() if match else ""
    return (len(match[1]), words) if match and words else None


def _blocks(text: str) -> Iterator[str]:
    """Headings and paragraphs. What stands between fences is one block, whatever is in it."""
    block: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark is not None and fence in ("", mark[1]):
            fence = "" if fence else mark[1]
        apart = not fence and (not line.strip() or _heading(line) is not None)
        if apart and block:
            yield "\n".join(block).strip()
            block = []
        if apart and line.strip():
            yield line.strip()
        elif not apart:
            block.append(line)
    if any(line.strip() for line in block):
        yield "\n".join(block).strip()


def cut(text: str, title: str) -> Iterator[str]:
    """A document as passages of whole paragraphs. A passage begins with the headings that it stands
    under, but for the document's title."""
    trail: dict[int, str] = {}
    waiting: list[str] = []  # headings that no paragraph has followed yet
    part, words = list[str](), 0
    for block in _blocks(text):
        heading = _heading(block)
        if heading is not None:
            if words >= _FEW:
                yield "\n\n".join(part)
                part, words = [], 0
            trail = {level: above for level, above in trail.items() if level < heading[0]}
            trail[heading[0]] = heading[1]
            waiting += [_line(*heading)] if heading[1] != title else []
            continue
        for piece in _pieces(block):
            if words and words + _size(piece) > _WORDS:
                yield "\n\n".join(part)
                part, words = [], 0
            if not words:
                above = [_line(*item) for item in sorted(trail.items()) if item[1] != title]
                part = [line for line in above if line not in waiting]
            part += [*waiting, piece]
            words += _size(piece)
            waiting = []
    if part or waiting:  # headings without an end, or nothing but headings, are text too
        yield "\n\n".join([*part, *waiting])


def _line(level: int, words: str) -> str:
    return f"{'#' * level} {words}"


def _size(text: str) -> int:
    """Its words, or what it would have where words are not told apart by spaces."""
    return max(len(text.split()), len(text) // _LETTERS)


def _pieces(paragraph: str) -> Iterator[str]:
    """A paragraph as it is; one that is far too long by its sentences or lines."""
    if _size(paragraph) <= _MOST:
        yield paragraph
        return
    piece, words = "", 0
    for sentence in _SENTENCE.findall(paragraph):
        parts = [sentence]
        if _size(sentence) > _MOST:
            parts = textwrap.wrap(sentence, _WORDS * _LETTERS)
        for part in parts:
            if piece and words + _size(part) > _WORDS:
                yield piece.strip()
                piece, words = "", 0
            piece += part
            words += _size(part)
    if piece.strip():
        yield piece.strip()
