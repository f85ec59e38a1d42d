"""Image search in an index of one's own (`mia images build`): offline, safe to share between tasks
and threads, and always in the index that lies there at the moment."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from mia.errors import ConfigError, InputError
from mia.image_search.encoder import Encoder
from mia.image_search.evidence import score
from mia.image_search.pixels import Pixels, opened
from mia.image_search.ranking import nearest, ranked
from mia.image_search.stored import Row, Stored, current
from mia.pictures import MAX_BYTES, Pictures
from mia.tool import ImageHit
from mia.types import Picture

_log = logging.getLogger(__name__)

SURE = 0.5
"""The score at which chance ends: what has less is not returned."""


@dataclass(frozen=True, slots=True)
class _Index:
    """An index as it was opened, and the pictures of it that were shown."""

    stored: Stored
    shown: dict[int, Picture] = field(default_factory=dict[int, Picture])
    """By their rows."""


class LocalImages:
    """The pictures of an index. `encoder` is the one it was built with, if with any. An index that
    is built again is taken up by the next search."""

    def __init__(self, folder: Path, pictures: Pictures, encoder: Encoder | None = None) -> None:
        """Raises MissingError where there is no index, StoreError where it is damaged, ConfigError
        for an encoder that it was not built with."""
        self._folder = folder
        self._pictures = pictures
        self._encoder = encoder
        self._lock = Lock()
        self._index = self._opened()

    @property
    def stored(self) -> Stored:
        """The index of this moment. Raises what opening does."""
        return self._now().stored

    def _now(self) -> _Index:
        if self._index.stored.replaced:
            with self._lock:
                if self._index.stored.replaced:
                    self._index = self._opened()
        return self._index

    def _opened(self) -> _Index:
        stored = current(self._folder)
        if self._encoder is not None and self._encoder.name != stored.manifest.encoder:
            raise ConfigError(
                f"the image index at {self._folder} was not built with this encoder; build it"
                " again: mia images build"
            )
        return _Index(stored)

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """What shows the same as the picture, the surest first; nothing where that may be chance.
        Scores are from 0.5 to 1."""
        return await asyncio.to_thread(self._similar, picture, limit)

    def _similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        index = self._now()
        found = self._found(index.stored, opened(self._pictures.bytes(picture)))
        return tuple(
            ImageHit(
                title=index.stored.rows[row].title,
                score=sure,
                url=index.stored.rows[row].url,
                picture=self._shown(index, row),
            )
            for row, sure in found[:limit]
        )

    def find(self, pixels: Pixels) -> list[tuple[int, float]]:
        """Rows of the index with their scores, the surest first."""
        return self._found(self.stored, pixels)

    def _found(self, stored: Stored, pixels: Pixels) -> list[tuple[int, float]]:
        manifest = stored.manifest
        scores = {
            match.row: score(match.evidence, manifest.floor) for match in ranked(stored, pixels)
        }
        if self._encoder is not None:
            for near in nearest(stored, self._encoder.vector(pixels)):
                above = near.likeness - manifest.vector_floor
                sure = SURE + (1 - SURE) * above / max(1e-6, 1 - manifest.vector_floor)
                scores[near.row] = max(scores.get(near.row, 0.0), min(1.0, sure))
        sure = [(row, value) for row, value in scores.items() if value >= SURE]
        return sorted(sure, key=lambda pair: -pair[1])

    def _shown(self, index: _Index, row: int) -> Picture | None:
        """The picture itself; None where its file is gone or cannot be read any more."""
        kept = index.shown.get(row)
        if kept is None:
            kept = self._keep(Path(index.stored.manifest.source), index.stored.rows[row])
            if kept is not None:
                index.shown[row] = kept
        return kept

    def _keep(self, root: Path, row: Row) -> Picture | None:
        path = root / row.file
        try:
            if not path.resolve().is_relative_to(root) or path.stat().st_size > MAX_BYTES:
                return None
            return self._pictures.keep(path.read_bytes(), name=row.file)
        except (InputError, OSError) as error:
            _log.warning("%s: %s", path, error)
            return None
