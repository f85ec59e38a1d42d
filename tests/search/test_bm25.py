"""The offline index: what is asked for comes first, and nothing that one may ask breaks it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import MissingError, SearchError, StoreError
from mia.search.bm25 import BM25, Ranking, build
from mia.types import Passage

EMMA = Passage(id="1", title="Emma (novel)", text="A comedy of manners by Jane Austen.")
WOODHOUSE = Passage(id="2", title="Emma Woodhouse", text="Emma, Emma, Emma: the heroine of Emma.")
RIVER = Passage(
    id="3", title="Adige", text="It flows past Verona and Rovigo.", url="https://wiki.example/adige"
)
TALE = Passage(id="4", title="Rovigo", text="A town. The Adige is near it, the Po is nearer.")
MUSICIAN = Passage(id="5", title="Søren Juul", text="He was born in Århus.", published="2013-01-28")
BAND = Passage(id="6", title="The Band", text="They were a group.")
MUSICAL = Passage(id="7", title="Mamma Mia!", text="A musical.")
EVERYTHING = [EMMA, WOODHOUSE, RIVER, TALE, MUSICIAN, BAND, MUSICAL]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "index"
    build(EVERYTHING, folder)
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> BM25:
    return BM25(folder)


def ids(found: tuple[Passage, ...]) -> list[str]:
    return [passage.id for passage in found]


async def test_an_exact_title_comes_first_whatever_else_speaks_of_it(shared: BM25) -> None:
    for query in ("Emma (novel)", "Emma", " emma "):
        assert ids(await shared.search(query, 5))[0] == "1", query
    assert ids(await shared.search("Emma Woodhouse", 5))[0] == "2"
    assert ids(await shared.search("rovigo", 1)) == ["4"]


async def test_words_find_what_they_stand_in_best_first(shared: BM25) -> None:
    found = await shared.search("rivers flowing past Verona", 5)
    assert ids(found)[0] == "3"
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert (found[0].title, found[0].text, found[0].url) == (RIVER.title, RIVER.text, RIVER.url)
    assert found[0].score > 0


async def test_a_title_is_read_like_the_text(shared: BM25) -> None:
    assert ids(await shared.search("novels", 5)) == ["1"]


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("Who wrote Emma?", "1"),
        ("Who is Emma Woodhouse in love with?", "2"),
        ("Which musical is older, Mamma Mia! or Cats?", "7"),
        ("Who sang in The Band?", "6"),
        ("where was soren juul born", "5"),
    ],
)
async def test_what_a_question_names_comes_before_what_repeats_its_words(
    shared: BM25, query: str, first: str
) -> None:
    assert ids(await shared.search(query, 5))[0] == first


async def test_without_the_weight_of_a_mention_repeated_words_win(folder: Path) -> None:
    found = BM25(folder, Ranking(mentioned=0.0, exact=0.0)).search_now("Who wrote Emma?", 5)
    assert ids(found)[0] == "2"


async def test_the_same_words_in_small_letters_are_no_title(shared: BM25) -> None:
    (named, *_) = await shared.search("Who led The Band in Genoa?", 1)
    (small, *_) = await shared.search("Who led the band in Genoa?", 1)
    (plain, *_) = await shared.search("who led the band in genoa", 1)
    assert named.id == small.id == plain.id == "6"
    assert named.score - small.score > 10
    assert named.score == plain.score, "who writes without capitals names titles all the same"


async def test_a_title_within_a_longer_one_is_not_meant(shared: BM25) -> None:
    found = {p.id: p.score for p in await shared.search("Who loves Emma Woodhouse?", 5)}
    assert found["2"] > 8 > found["1"]


async def test_a_title_with_its_signs_is_one(shared: BM25) -> None:
    (named, *_) = await shared.search("Is Mamma Mia! older than Cats?", 1)
    (other, *_) = await shared.search("Is Mamma Mia older than Cats?", 1)
    assert named.id == other.id == "7" and named.score - other.score > 10


async def test_accents_and_letter_case_do_not_matter(shared: BM25) -> None:
    for query in ("Søren Juul", "soren juul", "SOREN JUUL", "arhus", "Århus"):
        assert ids(await shared.search(query, 5)) == ["5"], query


async def test_words_without_meaning_count_only_where_there_are_no_others(shared: BM25) -> None:
    assert ids(await shared.search("who is it", 5)) != []
    assert "6" not in ids(await shared.search("They who were at Verona", 5))


async def test_nothing_is_found_for_words_that_are_nowhere_or_for_none(shared: BM25) -> None:
    for query in ("xylophone", "", "  ", "?!...", "()"):
        assert await shared.search(query, 5) == (), query


async def test_a_passage_comes_back_as_it_was_put_in(shared: BM25) -> None:
    for passage in EVERYTHING:
        found = await shared.page(passage.id)
        assert found is not None
        assert (found.text, found.url, found.published) == (
            passage.text, passage.url, passage.published
        )  # fmt: skip


@pytest.mark.parametrize("address", ["3", "Adige", " adige ", "https://wiki.example/adige"])
async def test_a_page_is_opened_by_id_title_or_url(shared: BM25, address: str) -> None:
    found = await shared.page(address)
    assert found is not None and found.id == "3"


async def test_a_page_that_is_not_there_is_none(shared: BM25) -> None:
    assert await shared.page("Adige river") is None
    assert await shared.page("") is None


SIGNS = 'AND OR NOT IN TO title:x text:"a b" +-^~*?/\\[]{}()<>=!"\'` \x00\ud800'


@given(
    st.text(st.characters())
    | st.text(SIGNS)
    | st.lists(st.sampled_from(SIGNS.split())).map(" ".join)
)
@settings(deadline=None)
def test_no_query_breaks_it(shared: BM25, query: str) -> None:
    assert len(shared.search_now(query, 3)) <= 3
    asyncio.run(shared.page(query))


async def test_a_whole_book_may_be_asked(shared: BM25) -> None:
    assert ids(await shared.search("verona " + "word " * 50_000, 5)) == ["3"]
    await shared.search("x" * 1_000_000, 5)
    await shared.search(" ".join(f"Word{n}" for n in range(50_000)), 5)


def test_a_folder_without_an_index_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="mia index build CORPUS"):
        BM25(tmp_path)


@pytest.mark.parametrize("broken", ["mia-index.json", "gen-000001/meta.json"])
def test_a_damaged_index_is_named(tmp_path: Path, broken: str) -> None:
    build([EMMA], tmp_path / "index")
    (tmp_path / "index" / broken).write_text("{")
    with pytest.raises(StoreError, match=f"{tmp_path / 'index'}.*mia index build CORPUS --out"):
        BM25(tmp_path / "index")


def test_an_index_of_another_format_has_to_be_built_again(tmp_path: Path) -> None:
    build([EMMA], tmp_path / "index")
    manifest = tmp_path / "index" / "mia-index.json"
    manifest.write_text(manifest.read_text().replace('"format":2', '"format":1'))
    with pytest.raises(StoreError, match=r"format 1.*build it again"):
        BM25(tmp_path / "index")
    assert build([EMMA, RIVER], tmp_path / "index") == 2
    assert ids(BM25(tmp_path / "index").search_now("Verona", 5)) == ["3"]


def test_an_index_whose_files_rot_says_so_when_it_is_searched(tmp_path: Path) -> None:
    build([EMMA], tmp_path / "index")
    (store,) = (tmp_path / "index" / "gen-000001").glob("*.store")
    store.write_bytes(b"\x00" * 10 + store.read_bytes()[10:])
    with pytest.raises((SearchError, StoreError)):
        BM25(tmp_path / "index").search_now("comedy", 5)
