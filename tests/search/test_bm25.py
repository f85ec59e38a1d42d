"""The offline index: what is asked for comes first, and nothing that one may ask breaks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import ConfigError, MissingError, StoreError
from mia.search.bm25 import BM25, build, is_index
from mia.types import Passage

EMMA = Passage(id="1", title="Emma (novel)", text="A comedy of manners by Jane Austen.")
WOODHOUSE = Passage(id="2", title="Emma Woodhouse", text="Emma, Emma, Emma: the heroine of Emma.")
RIVER = Passage(
    id="3", title="Adige", text="It flows past Verona and Rovigo.", url="https://wiki.example/adige"
)
TALE = Passage(id="4", title="Rovigo", text="A town. The Adige is near it, the Po is nearer.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build([EMMA, WOODHOUSE, RIVER, TALE], tmp_path / "index", source="tales")
    return tmp_path / "index"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> BM25:
    folder = tmp_path_factory.mktemp("shared") / "index"
    build([EMMA, WOODHOUSE, RIVER, TALE], folder)
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


async def test_nothing_is_found_for_words_that_are_nowhere_or_for_none(shared: BM25) -> None:
    for query in ("xylophone", "", "  ", "?!...", "()"):
        assert await shared.search(query, 5) == (), query


@pytest.mark.parametrize("address", ["3", "Adige", " adige "])
async def test_a_page_is_opened_by_id_or_title(shared: BM25, address: str) -> None:
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


async def test_an_old_reader_stays_usable_while_a_new_index_takes_its_place(folder: Path) -> None:
    old = BM25(folder)
    assert build([EMMA], folder) == 1
    assert ids(await old.search("Verona", 5)) == ["3"]
    assert ids(await BM25(folder).search("Verona", 5)) == []
    assert sorted(path.name for path in folder.parent.iterdir()) == [".mia-index.lock", "index"]


async def test_a_build_that_fails_leaves_the_old_index(folder: Path) -> None:
    def half() -> Iterator[Passage]:
        yield EMMA
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build(half(), folder)
    assert BM25(folder).manifest.passages == 4
    assert sorted(path.name for path in folder.parent.iterdir()) == [".mia-index.lock", "index"]


async def test_two_builds_at_once_leave_one_whole_index(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    many = [Passage(id=str(n), title=f"Page {n}", text="words") for n in range(500)]
    threads = [threading.Thread(target=build, args=(many, folder)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert BM25(folder).manifest.passages == 500
    assert len(await BM25(folder).search("words", 10)) == 10


def test_what_a_killed_build_left_is_no_index_and_does_not_hinder(tmp_path: Path) -> None:
    half = tmp_path / ".index.building"
    half.mkdir()
    (half / "meta.json").write_text("{")
    assert not is_index(half)
    assert build([EMMA], tmp_path / "index") == 1


def test_nothing_but_an_index_is_replaced(tmp_path: Path) -> None:
    letter = tmp_path / "letters" / "letter.md"
    letter.parent.mkdir()
    letter.write_text("Dear Ann")
    (tmp_path / "index").mkdir()
    for place in (tmp_path, letter.parent, letter):
        with pytest.raises(ConfigError, match="is there already and is no index"):
            build([EMMA], place)
    assert letter.read_text() == "Dear Ann"
    assert build([EMMA], tmp_path / "index") == 1, "an empty folder is nobody's"


def test_a_folder_without_an_index_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="mia index build CORPUS"):
        BM25(tmp_path)


@pytest.mark.parametrize("broken", ["mia-index.json", "meta.json"])
def test_a_damaged_index_is_named(folder: Path, broken: str) -> None:
    (folder / broken).write_text("{")
    with pytest.raises(StoreError, match=str(folder)):
        BM25(folder)
