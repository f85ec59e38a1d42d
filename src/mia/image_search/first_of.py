"""Several image searches in order: the first that finds something answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mia.errors import SearchError
from mia.tool import ImageHit, ImageSearch
from mia.types import Picture

_log = logging.getLogger(__name__)


class FirstOf:
    """Asks one engine after the other, the cheapest first."""

    def __init__(self, engines: Sequence[ImageSearch]) -> None:
        self._engines = tuple(engines)

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Nothing when at least one engine said so and none found more. Raises SearchError with
        every engine's reason when none answered."""
        reasons: list[str] = []
        for engine in self._engines:
            try:
                hits = await engine.similar(picture, limit)
            except SearchError as error:
                _log.info("image search: %s", error)
                reasons.append(str(error))
                continue
            if hits:
                return hits
        if reasons and len(reasons) == len(self._engines):
            raise SearchError(f"no image search answered: {'; '.join(reasons)}")
        return ()
