"""The contracts of search engines, for texts and for pictures, and of tools."""

from __future__ import annotations

from collections.abc import Sequence
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


def observed(hits: Sequence[ImageHit]) -> Observation:
    """What an image search found, as its tool tells it: numbered titles, and the pictures."""
    if not hits:
        return Observation(text="No picture like this one was found.")
    lines = [f"{number}. {hit.title}" for number, hit in enumerate(hits, 1)]
    pictures = tuple(hit.picture for hit in hits if hit.picture is not None)
    passages = tuple(
        Passage(id=hit.url, title=hit.title, text="", url=hit.url, score=hit.score)
        for hit in hits
        if hit.url is not None
    )
    return Observation(text="\n".join(lines), passages=passages, pictures=pictures)
