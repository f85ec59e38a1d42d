"""The contract of web search providers: what they answer, and how they may fail."""

from __future__ import annotations

from typing import Literal, Protocol

from mia.errors import SearchError
from mia.types import Noun, Passage

Why = Literal["key", "quota", "rate", "down", "query", "unreadable"]
"""key: refused, and will be until a person acts. quota: no credit is left. rate: too many at once.
down: no answer, or one that speaks of a fault over there. query: it will not search for this.
unreadable: an answer, but none that its documentation knows, such as a page with a captcha."""


class ProviderError(SearchError):
    """A provider that did not answer. Its text never holds a key, nor a URL with one in it."""

    def __init__(self, provider: str, why: Why, told: str, wait: float | None = None) -> None:
        super().__init__(f"{provider}: {told}")
        self.provider = provider
        self.why: Why = why
        self.told = told
        self.wait = wait
        """Seconds it asked to be left alone for."""


class Found(Noun, frozen=True):
    """What a provider answered."""

    passages: tuple[Passage, ...]
    """Best first; the id of a web passage is its URL, its text the provider's snippet."""
    cost: float = 0.0
    """US dollars, by the provider's own account where it tells and else by its price list."""


class WebImage(Noun, frozen=True):
    """A picture of the web, as a search for words found it."""

    title: str
    url: str
    """Of the picture itself."""
    thumbnail: str | None = None
    page: str | None = None
    """Where it stands."""


class FoundImages(Noun, frozen=True):
    """Pictures that a provider found for words."""

    images: tuple[WebImage, ...]
    cost: float = 0.0


class Provider(Protocol):
    """One search API of the web. Each call is one request: who tries again, waits, pays and falls
    back to another provider is `mia.search.online`."""

    @property
    def name(self) -> str: ...

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        ...


class ImageProvider(Protocol):
    """A provider that finds pictures by words."""

    @property
    def name(self) -> str: ...

    async def images(self, query: str, limit: int) -> FoundImages:
        """Raises ProviderError."""
        ...
