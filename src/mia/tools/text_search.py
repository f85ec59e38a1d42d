"""The `search` tool: a few queries at once, numbered snippets back."""

from __future__ import annotations

import asyncio
from typing import Any

from mia.errors import ToolError
from mia.prompts import fill
from mia.snippets import WORDS, snippet
from mia.tool import Search
from mia.types import Observation, Passage

MAX_QUERIES = 5
MAX_CHARS = 400


class TextSearch:
    """`search{query_list}` over one engine."""

    name = "search"

    def __init__(self, engine: Search, passages: int = 3, words: int = WORDS) -> None:
        self._engine = engine
        self._passages = passages
        self._words = words

    @property
    def description(self) -> str:
        slots = {"queries": MAX_QUERIES, "chars": MAX_CHARS, "passages": self._passages}
        text = {slot: str(number) for slot, number in slots.items()}
        return fill("mia.tools", "text_search.txt", **text).strip()

    @property
    def parameters(self) -> dict[str, Any]:
        query = {"type": "string", "minLength": 1, "maxLength": MAX_CHARS}
        queries = {"type": "array", "items": query, "minItems": 1, "maxItems": MAX_QUERIES}
        return {
            "type": "object",
            "properties": {"query_list": queries},
            "required": ["query_list"],
            "additionalProperties": False,
        }

    async def call(self, arguments: dict[str, Any]) -> Observation:
        """The passages of all queries, each listed where it was found and numbered once."""
        queries = _queries(arguments)
        found = await self._search(queries)
        unique = {passage.id: passage for passages in found for passage in passages}
        numbers = {identity: number for number, identity in enumerate(unique, 1)}
        blocks = [
            self._block(query, passages, numbers)
            for query, passages in zip(queries, found, strict=True)
        ]
        return Observation(text="\n\n".join(blocks), passages=tuple(unique.values()))

    async def _search(self, queries: tuple[str, ...]) -> list[tuple[Passage, ...]]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._engine.search(query, self._passages))
                    for query in queries
                ]
        except ExceptionGroup as failures:  # one query's failure is the call's
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    def _block(self, query: str, passages: tuple[Passage, ...], numbers: dict[str, int]) -> str:
        if not passages:
            return f"No results for: {query}"
        lines = [
            f"[{numbers[passage.id]}] address: {address(passage)}\n"
            f"{snippet(passage, query, self._words)}"
            for passage in passages
        ]
        return "\n".join([f"Results for: {query}", *lines])


def address(passage: Passage) -> str:
    """What `open_page` is to be given for a passage."""
    return passage.url or passage.id


def _queries(arguments: dict[str, Any]) -> tuple[str, ...]:
    if set(arguments) != {"query_list"}:
        raise ToolError("search takes exactly one argument: query_list, a list of strings")
    given: object = arguments["query_list"]
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_QUERIES:  # type: ignore[reportUnknownArgumentType]
        raise ToolError(f"query_list should be a list of 1 to {MAX_QUERIES} strings")
    return tuple(_query(item) for item in given)  # type: ignore[reportUnknownVariableType]


def _query(item: object) -> str:
    if not isinstance(item, str) or not item.strip():
        raise ToolError("each query should be a string that is not empty")
    if len(item) > MAX_CHARS:
        raise ToolError(f"a query has at most {MAX_CHARS} characters; one has {len(item)}")
    return " ".join(item.split())
