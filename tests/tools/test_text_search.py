"""Laws of the search tool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import SearchError, ToolError
from mia.testing import ToySearch
from mia.tool import Tool
from mia.tools.text_search import MAX_CHARS, MAX_QUERIES, TextSearch
from mia.types import Passage

PASSAGES = (
    Passage(id="p1", title="Golan", text="Golan directed it. " + "filler " * 300),
    Passage(id="p2", title="Rome", text="Rome is a city.", url="http://r.org"),
    Passage(id="p3", title="Paris", text="Paris is a city."),
)


def tool(**changes: Any) -> tuple[Tool, ToySearch]:
    engine = ToySearch(PASSAGES)
    return TextSearch(engine, **changes), engine


async def test_each_query_lists_numbered_passages_with_address_and_title() -> None:
    search, _ = tool()
    observed = await search.call({"query_list": ["Golan", "Rome"]})
    assert "[1] address: p1\nGolan: Golan directed it." in observed.text
    assert "[2] address: http://r.org\nRome: Rome is a city." in observed.text
    assert [p.id for p in observed.passages] == ["p1", "p2"]


async def test_a_passage_found_twice_is_kept_once_under_one_number() -> None:
    search, _ = tool()
    observed = await search.call({"query_list": ["Rome city", "city Rome"]})
    assert [p.id for p in observed.passages] == ["p2", "p3"]
    assert observed.text.count("[1] address: http://r.org") == 2


async def test_passages_are_cut_and_counted() -> None:
    search, _ = tool(passages=1, words=20)
    observed = await search.call({"query_list": ["filler", "city"]})
    assert len(observed.passages) == 2
    assert len(observed.text.split()) < 60


async def test_no_results_are_said_plainly() -> None:
    search, _ = tool()
    observed = await search.call({"query_list": ["nowhere"]})
    assert observed.text == "No results for: nowhere"
    assert observed.passages == () and observed.error is None


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"query": "x"}, {"query_list": "x"}, {"query_list": []}, {"query_list": [1]},
        {"query_list": [""]}, {"query_list": [" \n"]}, {"query_list": [["x"]]},
        {"query_list": ["x"] * (MAX_QUERIES + 1)}, {"query_list": ["x" * (MAX_CHARS + 1)]},
        {"query_list": None}, {"query_list": ["x"], "extra": 1},
    ],
)  # fmt: skip
async def test_arguments_that_do_not_fit_are_refused_in_one_line(arguments: dict[str, Any]) -> None:
    search, engine = tool()
    with pytest.raises(ToolError) as refused:
        await search.call(arguments)
    assert "\n" not in str(refused.value)
    assert engine.queries == []


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["query_list", "x"]), json_like))
async def test_any_arguments_are_carried_out_or_refused(arguments: dict[str, Any]) -> None:
    search, engine = tool()
    try:
        await search.call(arguments)
    except ToolError:
        assert engine.queries == []
    else:
        assert 1 <= len(engine.queries) <= MAX_QUERIES


class Down(ToySearch):
    """An engine that is down."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        raise SearchError("down")


async def test_an_engine_that_is_down_is_an_error_and_not_an_empty_result() -> None:
    with pytest.raises(SearchError):
        await TextSearch(Down(())).call({"query_list": ["a", "b"]})


def test_the_limits_that_are_enforced_are_the_limits_that_are_told() -> None:
    search, _ = tool(passages=7)
    queries = search.parameters["properties"]["query_list"]
    assert (queries["maxItems"], queries["items"]["maxLength"]) == (MAX_QUERIES, MAX_CHARS)
    for number in (MAX_QUERIES, MAX_CHARS, 7):
        assert str(number) in search.description
