"""What the web says of a picture, as hits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from mia.errors import InputError, SearchError, StoreError
from mia.pictures import Pictures
from mia.provider_text import plain
from mia.tool import ImageHit
from mia.types import Noun, Picture

_log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes behind a URL, by whoever is allowed to go out to the web. Raises SearchError."""
LONGEST_TITLE = 300
_TRIES = 2


class Found(Noun, frozen=True):
    """One thing that an engine of the web found."""

    title: str
    page: str | None = None
    images: tuple[str, ...] = ()
    """URLs of the picture, the one to try first in front."""


class Shown:
    """Makes hits of what was found, with pictures where somebody may fetch them."""

    def __init__(self, pictures: Pictures, fetch: Fetch | None = None) -> None:
        self._pictures = pictures
        self._fetch = fetch

    async def hits(self, found: Sequence[Found], limit: int) -> tuple[ImageHit, ...]:
        """The first so many titles, each once."""
        chosen = _merged(found)[:limit]
        pictures = await asyncio.gather(*map(self._picture, chosen))
        return tuple(
            ImageHit(title=each.title, score=1 / number, url=each.page, picture=picture)
            for number, (each, picture) in enumerate(zip(chosen, pictures, strict=True), 1)
        )

    async def _picture(self, found: Found) -> Picture | None:
        """The first of its pictures that can be had; a hit is worth something without one."""
        if self._fetch is None:
            return None
        for url in found.images[:_TRIES]:
            try:
                raw = await self._fetch(url)
                return await asyncio.to_thread(self._pictures.keep, raw, url=url)
            except (SearchError, InputError, StoreError) as error:
                _log.info("no picture from %s: %s", url, error)
        return None


def _merged(found: Sequence[Found]) -> list[Found]:
    """What bears the same title as one thing, at the first one's place. No title, no thing."""
    merged: dict[str, Found] = {}
    for each in found:
        title = plain(each.title, LONGEST_TITLE)
        if not title:
            continue
        first = merged.setdefault(title.casefold(), Found(title=title))
        merged[title.casefold()] = Found(
            title=first.title, page=first.page or each.page, images=(*first.images, *each.images)
        )
    return list(merged.values())
