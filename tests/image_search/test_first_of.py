"""Several image searches in order."""

from __future__ import annotations

import pytest

from mia.errors import SearchError
from mia.image_search.first_of import FirstOf
from mia.tool import ImageHit
from mia.types import Picture

PICTURE = Picture(id="0" * 64, width=1, height=1)
HIT = ImageHit(title="Rovigo")


class Engine:
    """Answers as it is told, and counts."""

    def __init__(self, says: tuple[ImageHit, ...] | SearchError) -> None:
        self.says, self.asked = says, 0

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        self.asked += 1
        if isinstance(self.says, SearchError):
            raise self.says
        return self.says[:limit]


DOWN = SearchError("lens: no answer")


async def test_the_first_that_finds_something_answers_and_the_rest_is_not_asked() -> None:
    engines = [Engine(DOWN), Engine(()), Engine((HIT,)), Engine((HIT, HIT))]
    assert await FirstOf(engines).similar(PICTURE, 3) == (HIT,)
    assert [engine.asked for engine in engines] == [1, 1, 1, 0]


async def test_nothing_is_an_answer_when_one_engine_said_so() -> None:
    assert await FirstOf([Engine(DOWN), Engine(())]).similar(PICTURE, 3) == ()
    assert await FirstOf([]).similar(PICTURE, 3) == ()


async def test_where_none_answers_every_reason_is_told() -> None:
    with pytest.raises(SearchError, match=r"lens: no answer; vision: no key"):
        await FirstOf([Engine(DOWN), Engine(SearchError("vision: no key"))]).similar(PICTURE, 3)
