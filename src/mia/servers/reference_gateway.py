"""The published search gateway as a Search, for agents that are told where one is."""

from __future__ import annotations

import re

import msgspec

from mia.provider_http import PATIENCE, Api
from mia.servers.reference_episode import passages
from mia.types import Passage

_SECONDS = 30.0
"""As published agents wait."""
_MOST = 10
_RESULT = re.compile(r"^\d+\. \[", re.MULTILINE)


class _Result(msgspec.Struct, frozen=True):
    success: bool = False
    results: str = ""
    url: str = ""
    markdown_content: str = ""
    error: str | None = None


class _Envelope(msgspec.Struct, frozen=True):
    result: _Result


class Gateway:
    """Asks a gateway. Bound to the event loop of its first call."""

    def __init__(self, url: str) -> None:
        """`url` may end in the route of searching. Raises ConfigError for what is no address."""
        base = url.rstrip("/").removesuffix("/search")
        self._api = Api("SERVICE_URL", base, {}, seconds=_SECONDS, patience=PATIENCE)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The results that the gateway writes down for a query. Raises SearchError."""
        asked = {"q": query, "max_results": min(limit, _MOST), "engine": "serper"}
        told = (await self._api.get("/search", asked, _Envelope)).result
        if not told.success:
            raise self._api.fault("down", told.error or "it says that it had no success")
        return passages(told.results)[:limit] if _RESULT.search(told.results) else ()

    async def page(self, address: str) -> Passage | None:
        """A page as the gateway reads it; None where it cannot. Raises SearchError."""
        if not address.startswith(("http://", "https://")):
            return None
        asked = {"url": address, "goal": "all that it says"}
        told = (await self._api.get("/web_scrape", asked, _Envelope)).result
        if not told.success or not told.markdown_content.strip():
            return None
        at = told.url or address
        return Passage(id=at, title=at, text=told.markdown_content, url=at)
