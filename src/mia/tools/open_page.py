"""The `open_page` tool: reads a document that the run has a right to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mia.errors import ToolError
from mia.prompts import fill
from mia.render import clip
from mia.tool import Search
from mia.types import Observation

MAX_CHARS = 2000
"""A longer address is none that a search returned."""


class OpenPage:
    """`open_page{url}`, bound to one run.

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
        return {
            "type": "object",
            "properties": {"url": {"type": "string", "minLength": 1, "maxLength": MAX_CHARS}},
            "required": ["url"],
            "additionalProperties": False,
        }

    async def call(self, arguments: dict[str, Any]) -> Observation:
        """The head of the page."""
        url = _url(arguments)
        if not self._seen(url):
            raise ToolError(f"{url[:200]} was not returned by a search in this run; search first")
        page = await self._engine.page(url)
        if page is None:
            return Observation(text=f"There is nothing to read at {url}")
        return Observation(text=f"{page.title}\n{clip(page.text, self._words)}", passages=(page,))


def _url(arguments: dict[str, Any]) -> str:
    if set(arguments) != {"url"}:
        raise ToolError("open_page takes exactly one argument: url, a string")
    url: object = arguments["url"]
    if not isinstance(url, str) or not url.strip():
        raise ToolError("url should be a string that is not empty")
    if len(url) > MAX_CHARS:
        raise ToolError(f"a url has at most {MAX_CHARS} characters; this one has {len(url)}")
    return url.strip()
