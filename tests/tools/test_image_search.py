"""Laws of the image search tool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import SearchError, ToolError
from mia.tool import ImageHit, Limited, Tool
from mia.tools.image_search import HITS, PictureSearch
from mia.types import Picture

FIRST, SECOND, FOUND = (Picture(id=char * 64, width=9, height=9) for char in "abc")


class Engine:
    """Finds as many hits as it has, and notes what it was asked."""

    def __init__(self, *hits: ImageHit) -> None:
        self.hits = hits
        self.asked: list[Picture] = []

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        self.asked.append(picture)
        return self.hits[:limit]


HIT = ImageHit(title="Messier 26", score=0.9, picture=FOUND)
BARE = ImageHit(title="Scutum", score=0.6, url="https://e.example/scutum")


async def test_titles_are_numbered_and_pictures_come_with_them() -> None:
    observed = await PictureSearch(Engine(HIT, BARE), (FIRST,)).call({"img_idx": "0"})
    assert observed.text.splitlines() == ["1. Messier 26", "2. Scutum"]
    assert observed.pictures == (FOUND,)
    assert [passage.url for passage in observed.passages] == ["https://e.example/scutum"]
    assert observed.error is None


async def test_no_more_titles_than_are_told() -> None:
    tool = PictureSearch(Engine(*[HIT] * 9), (FIRST,))
    observed = await tool.call({"img_idx": "0"})
    assert len(observed.text.splitlines()) == HITS
    assert str(HITS) in tool.description


async def test_nothing_found_is_said_plainly() -> None:
    observed = await PictureSearch(Engine(), (FIRST,)).call({"img_idx": "0"})
    assert observed.text and observed.error is None and observed.pictures == ()


@pytest.mark.parametrize("index", ["1", 1, " 1 "])
async def test_pictures_are_counted_from_zero_with_quotes_or_without(index: Any) -> None:
    engine = Engine(HIT)
    await PictureSearch(engine, (FIRST, SECOND)).call({"img_idx": index})
    assert engine.asked == [SECOND]


@pytest.mark.parametrize(
    "arguments",
    [{}, {"img_idx": "2"}, {"img_idx": -1}, {"img_idx": "-1"}, {"img_idx": None}, {"img_idx": ""},
     {"img_idx": True}, {"img_idx": 0.0}, {"img_idx": ["0"]}, {"img_idx": "0", "x": 1},
     {"index": "0"}, {"img_idx": "0x0"}, {"img_idx": "\u0660"}],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused_in_one_line(arguments: dict[str, Any]) -> None:
    engine = Engine(HIT)
    with pytest.raises(ToolError) as refused:
        await PictureSearch(engine, (FIRST, SECOND)).call(arguments)
    assert "\n" not in str(refused.value)
    assert engine.asked == []


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["img_idx", "x"]), json_like))
async def test_any_arguments_are_carried_out_or_refused(arguments: dict[str, Any]) -> None:
    engine = Engine(HIT)
    try:
        await PictureSearch(engine, (FIRST, SECOND)).call(arguments)
    except ToolError:
        assert engine.asked == []
    else:
        assert engine.asked in ([FIRST], [SECOND])


async def test_an_engine_that_is_down_is_an_error_and_not_an_empty_result() -> None:
    class Down(Engine):
        async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
            raise SearchError("down")

    with pytest.raises(SearchError):
        await PictureSearch(Down(), (FIRST,)).call({"img_idx": "0"})


def test_it_is_the_published_tool_and_may_be_used_once() -> None:
    tool: Tool = PictureSearch(Engine(), (FIRST, SECOND))
    assert tool.name == "web_image_to_image_search"
    assert isinstance(tool, Limited) and tool.limit == 1
    (name,) = tool.parameters["required"]
    assert name == "img_idx"
    assert tool.parameters["properties"][name] == {"type": "string", "enum": ["0", "1"]}
    assert '"1"' in tool.description


def test_there_is_no_such_tool_for_a_question_without_pictures() -> None:
    with pytest.raises(ValueError, match="without pictures"):
        PictureSearch(Engine(), ())
