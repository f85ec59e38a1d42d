"""The contracts of search engines, for texts and for pictures, and of tools."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from mia.types import Noun, Observation, Passage, Picture


class Search(Protocol):
    """Finds passages. One engine, one corpus or one web."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]: ...

    async def page(self, address: str) -> Passage | None:
        """The whole document behind an id, a title or a URL; None when there is none."""
        ...


class ImageHit(Noun, frozen=True):
    """A picture that is like the one asked about, and what it is called."""

    title: str
    score: float = 0.0
    """Higher is more alike; comparable within one engine only."""
    url: str | None = None
    """The page it stands on."""
    picture: Picture | None = None
    """None where only its title is known."""


class ImageSearch(Protocol):
    """Finds pictures that are like a given one."""

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """The most alike first; empty when nothing is. Raises SearchError when the engine does
        not answer."""
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
