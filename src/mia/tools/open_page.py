"""The `open_page` tool: reads a document that the run has a right to read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mia.errors import MissingError, SearchError, ToolError
from mia.prompts import fill
from mia.render import clip
from mia.snippets import stems
from mia.tool import Search
from mia.types import Observation

MAX_CHARS = 2048
"""A longer address is none that is read."""
MAX_FIND = 200
_PIECE = 120
"""Words of a part of a page that is shown or not."""


class OpenPage:
    """`open_page{url, find?}`, bound to one run.

    `seen` says whether an address came up in that run. A page that talks a model into opening
    an address of its own making, with what the model knows in it, gets no request.
    """

    name = "open_page"

    def __init__(self, engine: Search, seen: Callable[[str], bool], words: int = 1000) -> None:
        self._engine = engine
        self._seen = seen
        self._words = words

    @property
    def description(self) -> str:
        return fill("mia.tools", "open_page.txt", words=str(self._words)).strip()

    @property
    def parameters(self) -> dict[str, Any]:
        url = {"type": "string", "minLength": 1, "maxLength": MAX_CHARS}
        find = {"type": "string", "maxLength": MAX_FIND}
        return {
            "type": "object",
            "properties": {"url": url, "find": find},
            "required": ["url"],
            "additionalProperties": False,
        }

    async def call(self, arguments: dict[str, Any]) -> Observation:
        """The head of the page, or what in it bears on what is to be found. A page that cannot be
        had or read is a ToolError: others may be."""
        url, find = _arguments(arguments)
        if not self._seen(url):
            raise ToolError(f"{url[:200]} was not returned by a search in this run; search first")
        try:
            page = await self._engine.page(url)
        except (SearchError, MissingError) as error:
            raise ToolError(f"the page cannot be read: {error}") from error
        if page is None:
            return Observation(text=f"There is nothing to read at {url}")
        return Observation(text=f"{page.title}\n{self._shown(page.text, find)}", passages=(page,))

    def _shown(self, text: str, find: str) -> str:
        head = clip(text, self._words)
        if head == text:
            return head
        if find:
            part = excerpt(text, find, self._words)
            return part or f"Nothing in it speaks of {find!r}. It begins:\n{head}"
        return f"{head}\n[of {len(text.split())} words; say what to `find` to read on about it]"


def _arguments(arguments: dict[str, Any]) -> tuple[str, str]:
    if "url" not in arguments or not set(arguments) <= {"url", "find"}:
        raise ToolError("open_page takes a url and, if you like, what to find: two strings")
    url: object = arguments["url"]
    find: object = arguments.get("find", "")
    if not isinstance(url, str) or not url.strip():
        raise ToolError("url should be a string that is not empty")
    if len(url) > MAX_CHARS:
        raise ToolError(f"a url has at most {MAX_CHARS} characters; this one has {len(url)}")
    if not isinstance(find, str) or len(find) > MAX_FIND:
        raise ToolError(f"find should be a string of at most {MAX_FIND} characters")
    return url.strip(), find.strip()


class _Piece(NamedTuple):
    """A part of a page, and the heading it stands under."""

    heading: str
    text: str


def excerpt(text: str, find: str, words: int) -> str:
    """The parts of a page that share most with what is to be found, rare words counting more, in
    the order of the page; empty when none shares anything."""
    pieces = list(_pieces(text))
    wanted = stems(find)
    shared = [stems(f"{piece.heading} {piece.text}") & wanted for piece in pieces]
    common = Counter(stem for found in shared for stem in found)
    worth = [sum(math.log(1 + len(pieces) / common[stem]) for stem in sorted(s)) for s in shared]
    kept: list[int] = []
    left = words
    for n in sorted(range(len(pieces)), key=lambda n: (-worth[n], n)):
        size = len(pieces[n].text.split())
        if shared[n] and size <= left:
            kept.append(n)
            left -= size
    return clip("\n".join(_listed(pieces, sorted(kept))), words)


def _listed(pieces: list[_Piece], kept: list[int]) -> Iterator[str]:
    """Parts under their headings, with a mark where something is left out."""
    last, heading = -1, ""
    for n in kept:
        if n != last + 1:
            yield "[...]"
        if pieces[n].heading != heading:
            heading = pieces[n].heading
            yield heading
        yield pieces[n].text
        last = n
    if kept and last + 1 < len(pieces):
        yield "[...]"


def _pieces(text: str) -> Iterator[_Piece]:
    """A page in parts of whole lines."""
    heading = ""
    lines: list[str] = []
    size = 0
    for line in [*_lines(text), "# "]:
        title = line.startswith(("# ", "## ", "### ", "#### "))
        if lines and (title or not line or size >= _PIECE):
            yield _Piece(heading, "\n".join(lines))
            lines, size = [], 0
        if title:
            heading = line
        elif line:
            lines.append(line)
            size += len(line.split())


def _lines(text: str) -> Iterator[str]:
    """The lines of a page; one that is far too long in pieces."""
    for line in text.split("\n"):
        words = line.split()
        if len(words) <= 2 * _PIECE:
            yield line.strip()
            continue
        for start in range(0, len(words), _PIECE):
            yield " ".join(words[start : start + _PIECE])
