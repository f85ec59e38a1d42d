"""The contract of search engines and of tools."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from mia.types import Observation, Passage


class Search(Protocol):
    """Finds passages. One engine, one corpus or one web."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]: ...

    async def page(self, address: str) -> Passage | None:
        """The whole document behind an id, a title or a URL; None when there is none."""
        ...


class Tool(Protocol):
    """A typed function an executor may call, and how a model is told of it."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """JSON schema of the arguments."""
        ...

    async def call(self, arguments: dict[str, Any]) -> Observation:
        """Carries it out. Raises ToolError for arguments that do not fit the schema, and
        SearchError when the engine behind it is down."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A tool that may be carried out only so often in one question."""

    @property
    def limit(self) -> int: ...
