"""Image search in an index of one's own (`mia images build`): offline, and safe to share between
tasks and threads."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from mia.errors import ConfigError, InputError
from mia.image_search.encoder import Encoder
from mia.image_search.evidence import score
from mia.image_search.pixels import Pixels, opened
from mia.image_search.ranking import nearest, ranked
from mia.image_search.stored import Row, Stored
from mia.pictures import MAX_BYTES, Pictures
from mia.tool import ImageHit
from mia.types import Picture

_log = logging.getLogger(__name__)

SURE = 0.5
"""The score at which chance ends: what has less is not returned."""


class LocalImages:
    """The pictures of an index. `encoder` is the one it was built with, if with any."""

    def __init__(self, folder: Path, pictures: Pictures, encoder: Encoder | None = None) -> None:
        """Raises MissingError where there is no index, StoreError where it is damaged, ConfigError
        for an encoder that it was not built with."""
        self.stored = Stored(folder)
        if encoder is not None and encoder.name != self.stored.manifest.encoder:
            raise ConfigError(
                f"the image index at {folder} was not built with this encoder; build it again:"
                " mia images build"
            )
        self._pictures = pictures
        self._encoder = encoder
        self._kept: dict[int, Picture] = {}

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """What shows the same as the picture, the surest first; nothing where that may be chance.
        Scores are from 0.5 to 1."""
        return await asyncio.to_thread(self._similar, picture, limit)

    def _similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        found = self.find(opened(self._pictures.bytes(picture)))
        return tuple(
            ImageHit(
                title=self.stored.rows[row].title,
                score=sure,
                url=self.stored.rows[row].url,
                picture=self._shown(row),
            )
            for row, sure in found[:limit]
        )

    def find(self, pixels: Pixels) -> list[tuple[int, float]]:
        """Rows of the index with their scores, the surest first."""
        manifest = self.stored.manifest
        scores = {
            match.row: score(match.evidence, manifest.floor)
            for match in ranked(self.stored, pixels)
        }
        if self._encoder is not None:
            for near in nearest(self.stored, self._encoder.vector(pixels)):
                above = near.likeness - manifest.vector_floor
                sure = SURE + (1 - SURE) * above / max(1e-6, 1 - manifest.vector_floor)
                scores[near.row] = max(scores.get(near.row, 0.0), min(1.0, sure))
        sure = [(row, value) for row, value in scores.items() if value >= SURE]
        return sorted(sure, key=lambda pair: -pair[1])

    def _shown(self, row: int) -> Picture | None:
        """The picture itself; None where its file is gone or cannot be read any more."""
        kept = self._kept.get(row)
        if kept is None:
            kept = self._keep(self.stored.rows[row])
            if kept is not None:
                self._kept[row] = kept
        return kept

    def _keep(self, row: Row) -> Picture | None:
        root = Path(self.stored.manifest.source)
        path = root / row.file
        try:
            if not path.resolve().is_relative_to(root) or path.stat().st_size > MAX_BYTES:
                return None
            return self._pictures.keep(path.read_bytes(), name=row.file)
        except (InputError, OSError) as error:
            _log.warning("%s: %s", path, error)
            return None
