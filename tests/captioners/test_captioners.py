"""Who says what a question's pictures show."""

from __future__ import annotations

from mia.captioner import Captioner
from mia.captioners.by_model import WORDS, ByModel
from mia.captioners.by_search import BySearch
from mia.captioners.none import Blind
from mia.errors import ModelError, SearchError
from mia.model import Reply
from mia.testing import ScriptedModel
from mia.tool import ImageHit
from mia.types import Picture, Question, Usage

CAT = Picture(id="1" * 64, width=10, height=10)
DOG = Picture(id="2" * 64, width=10, height=10)


class Known:
    """An image search that knows some pictures."""

    def __init__(self, **titles: str) -> None:
        self._titles = titles

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        title = self._titles.get(f"p{picture.id[0]}")
        return (ImageHit(title=title, score=1.0),) if title else ()


class Down:
    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        raise SearchError("no answer")


def asked(*pictures: Picture, caption: str | None = None) -> Question:
    return Question(text="Who is this?", id="q", pictures=pictures, caption=caption)


def by_search(**titles: str) -> BySearch:
    return BySearch(Known(**titles), "look")


async def test_a_model_that_sees_is_shown_the_pictures_and_describes_them() -> None:
    model = ScriptedModel([Reply(text="A  cat\nasleep.", usage=Usage(calls=1, prompt_tokens=9))])
    (turn,) = await ByModel(model).look(asked(CAT, DOG))
    assert turn.found == "A cat asleep." and turn.usage.prompt_tokens == 9
    assert model.asked[0][-1].pictures == (CAT, DOG)


async def test_a_description_is_cut_to_its_words() -> None:
    (turn,) = await ByModel(ScriptedModel(["cat " * 500])).look(asked(CAT))
    assert turn.found is not None and len(turn.found.split()) <= WORDS + 1


async def test_a_model_that_fails_leaves_no_caption_and_says_why() -> None:
    model = ScriptedModel([ModelError("it is down")])
    (turn,) = await ByModel(model).look(asked(CAT))
    assert turn.found is None
    assert turn.observation is not None and "it is down" in (turn.observation.error or "")


async def test_a_picture_is_called_as_the_one_it_is_most_like() -> None:
    (turn,) = await by_search(p1="Chelsea the cat").look(asked(CAT))
    assert turn.found == "Chelsea the cat"
    assert turn.call is not None and turn.call.arguments == {"img_idx": "0"}


async def test_several_pictures_are_told_apart_by_their_numbers() -> None:
    turns = await by_search(p1="Chelsea", p2="Rex").look(asked(CAT, DOG))
    assert [turn.found for turn in turns] == ["Chelsea", "picture 1: Chelsea; picture 2: Rex"]
    only_second = await by_search(p2="Rex").look(asked(CAT, DOG))
    assert only_second[-1].found == "picture 2: Rex"


async def test_a_picture_like_no_other_has_no_caption() -> None:
    (turn,) = await by_search().look(asked(CAT))
    assert turn.found is None and turn.observation is not None and not turn.observation.error


async def test_a_search_that_is_down_leaves_no_caption_and_says_why() -> None:
    (turn,) = await BySearch(Down(), "look").look(asked(CAT))
    assert turn.found is None
    assert turn.observation is not None and "no answer" in (turn.observation.error or "")


async def test_nobody_looks_where_there_is_nothing_to_say() -> None:
    lookers: list[Captioner] = [ByModel(ScriptedModel([])), by_search(p1="Chelsea"), Blind()]
    for looker in lookers:
        assert await looker.look(asked()) == ()
        assert await looker.look(asked(CAT, caption="a known cat")) == ()
