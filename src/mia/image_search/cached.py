"""Image search that was done before: the cache folders of the published system.

`<root>/<data id>/meta.json` holds the titles, `img_000.jpg` and so on the pictures beside it. The
data id is the name of the question's picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from mia.errors import InputError, SearchError
from mia.image_search.found import LONGEST_TITLE
from mia.pictures import MAX_BYTES, Pictures
from mia.provider_text import plain
from mia.tool import ImageHit
from mia.types import Picture

_META = "meta.json"
_META_BYTES = 4 << 20
_KINDS = (".jpg", ".jpeg", ".png", ".webp", ".gif")
"""An `.html` in their place is a download that failed."""
_HITS = 3


class _Result(msgspec.Struct, frozen=True):
    title: str | None = None
    image_url: str | None = None


class _Meta(msgspec.Struct, frozen=True):
    """The new form has `search_results`, the old one `title_list`."""

    search_results: list[_Result] | None = None
    title_list: list[str | None] | None = None
    image_urls: list[str | None] | None = None

    @property
    def results(self) -> list[_Result]:
        """Either form in the new one's words."""
        if self.search_results is not None:
            return self.search_results
        titles, urls = self.title_list or [], self.image_urls or []
        padded = [*urls, *(None for _ in titles)]
        return [_Result(title, url) for title, url in zip(titles, padded, strict=False)]


class CachedImages:
    """Looks a picture up by its name in several cache folders, the first one first."""

    def __init__(self, roots: Sequence[Path], pictures: Pictures) -> None:
        self._roots = tuple(root.resolve() for root in roots)
        self._pictures = pictures

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """What was found then, at most three; nothing for a name that no folder knows. A title
        whose picture is missing stays. Raises SearchError for a `meta.json` that cannot be
        read."""
        return await asyncio.to_thread(self._similar, picture.name, min(limit, _HITS))

    def _similar(self, name: str, limit: int) -> tuple[ImageHit, ...]:
        for root in self._roots:
            folder = _entry(root, name)
            if folder is not None:
                return self._hits(folder, limit)
        return ()

    def _hits(self, folder: Path, limit: int) -> tuple[ImageHit, ...]:
        results = _meta(folder / _META).results
        first = _first(folder, len(results))
        hits: list[ImageHit] = []
        for number, result in enumerate(results, first):
            if len(hits) < limit and (title := plain(result.title, LONGEST_TITLE)):
                shown = self._picture(folder, number, result.image_url)
                hits.append(ImageHit(title=title, score=1 / (len(hits) + 1), picture=shown))
        return tuple(hits)

    def _picture(self, folder: Path, number: int, url: str | None) -> Picture | None:
        """The picture of a result; None where it is missing or cannot be read."""
        for path in _named(folder, number, _KINDS):
            try:
                if path.stat().st_size <= MAX_BYTES:
                    return self._pictures.keep(path.read_bytes(), name=path.name, url=url or None)
            except (InputError, OSError):  # the title is still worth something
                continue
        return None


def _entry(root: Path, name: str) -> Path | None:
    """The folder of a data id in a root, if it has one. A name that is no plain one, or that a
    link leads out of the root with, has none."""
    if not name or name in {".", ".."} or any(char in name for char in "/\\\0"):
        return None
    try:
        folder = (root / name).resolve()
        inside = folder.parent == root and (folder / _META).is_file()
    except (OSError, ValueError):  # too long, or nothing that this system can name
        return None
    return folder if inside and (folder / _META).resolve().parent == folder else None


def _meta(path: Path) -> _Meta:
    try:
        if path.stat().st_size > _META_BYTES:
            raise SearchError(f"{path} has more than {_META_BYTES:,} bytes")
        return msgspec.json.decode(path.read_bytes(), type=_Meta)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise SearchError(f"cannot read {path}: {error}") from error


def _first(folder: Path, results: int) -> int:
    """The number of the first picture: some caches count from one."""
    zero = any(_named(folder, 0, (*_KINDS, ".html")))
    beyond = any(_named(folder, results, (*_KINDS, ".html")))
    return 1 if beyond and not zero else 0


def _named(folder: Path, number: int, kinds: Iterable[str]) -> list[Path]:
    """Files of one number that lie in the folder itself, links out of it excluded."""
    paths = (folder / f"img_{number:03d}{kind}" for kind in kinds)
    return [path for path in paths if path.is_file() and path.resolve().parent == folder]
