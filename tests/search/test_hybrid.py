"""Several engines as one: ranks are added up, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import SearchError
from mia.search.hybrid import Hybrid, K, fused
from mia.types import Passage


def listed(ids: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(Passage(id=id, title=id, text=id) for id in ids)


class Fixed:
    """An engine with one answer."""

    def __init__(self, *ids: str) -> None:
        self._found = listed(ids)
        self.asked: list[int] = []

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        self.asked.append(limit)
        return self._found[:limit]

    async def page(self, address: str) -> Passage | None:
        return next((p for p in self._found if p.id == address), None)


class Down:
    """An engine that does not answer."""

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        raise SearchError("down")

    async def page(self, address: str) -> Passage | None:
        return None


async def test_what_both_engines_find_beats_what_one_ranks_first() -> None:
    found = await Hybrid(Fixed("a", "b", "c"), Fixed("d", "c", "b")).search("x", 3)
    assert [p.id for p in found] == ["b", "c", "a"]
    assert found[0].score == pytest.approx(1 / (K + 2) + 1 / (K + 3))


async def test_engines_are_asked_for_more_than_is_wanted() -> None:
    first, second = Fixed("a", "b"), Fixed("b")
    found = await Hybrid(first, second, depth=30).search("x", 1)
    assert [p.id for p in found] == ["b"] and first.asked == second.asked == [30]


async def test_an_engine_that_fails_fails_the_search() -> None:
    with pytest.raises(SearchError, match="down"):
        await Hybrid(Fixed("a"), Down()).search("x", 3)


async def test_a_page_comes_from_the_first_engine_that_has_it() -> None:
    engine = Hybrid(Down(), Fixed("a"))
    found = await engine.page("a")
    assert found is not None and found.id == "a"
    assert await engine.page("b") is None


_rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=4)


@given(_rankings)
def test_every_passage_comes_out_once_best_first(rankings: list[list[str]]) -> None:
    found = fused([listed(ids) for ids in rankings])
    assert sorted(p.id for p in found) == sorted(set().union(*rankings))
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_one_ranking_stays_as_it_is(ids: list[str]) -> None:
    assert [p.id for p in fused([listed(ids)])] == ids
    assert [p.id for p in fused([listed(ids), listed(ids)])] == ids
