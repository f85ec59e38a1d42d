"""Search by meaning: vectors are made once, found exactly, and never mixed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ConfigError, MissingError, ModelError, StoreError
from mia.locks import alone
from mia.search.dense import Dense
from mia.search.dense_vectors import Sizes, embed, kept, place, said
from mia.search.indexes import add, build, delete
from mia.types import Passage

RIVER = Passage(id="1", title="Adige", text="It flows past Verona.")
TALE = Passage(id="2", title="Rovigo", text="A town near the Po.")
NOVEL = Passage(id="3", title="Emma", text="A comedy of manners.")


def many(count: int, begin: int = 0) -> list[Passage]:
    numbers = range(begin, begin + count)
    return [Passage(id=f"n{n}", title=f"Number {n}", text=f"the {n}th of them") for n in numbers]


class Words:
    """An embedder for which texts are near that share words. Counts, and fails when told to."""

    def __init__(self, name: str = "words", fails_after: int | None = None) -> None:
        self.name = name
        self.embedded = 0
        self._fails_after = fails_after

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._fails_after is not None and self.embedded >= self._fails_after:
            raise ModelError("gone")
        self.embedded += len(texts)
        rows = np.array([sum(map(vector_of, text.split()), np.zeros(64)) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def vector_of(word: str) -> NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(64)


def unseen(_: int, __: int) -> None:
    """Nobody watches."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build([RIVER, TALE, NOVEL], tmp_path / "index")
    return tmp_path / "index"


def ids(found: tuple[Passage, ...]) -> list[str]:
    return [passage.id for passage in found]


async def test_the_nearest_come_first_with_their_cosine(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    engine = Dense(folder, Words())
    (first, *rest) = await engine.search("Adige\nIt flows past Verona.", 3)
    assert replace(first, score=0.0) == RIVER and first.score == pytest.approx(1.0, abs=1e-5)
    assert len(rest) == 2 and all(passage.score < 0.9 for passage in rest)
    assert await engine.search("  ", 3) == ()
    assert len(await engine.search("town", 100)) == 3


async def test_a_page_is_opened_as_in_any_engine(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    found = await Dense(folder, Words()).page("Adige")
    assert found is not None and found.id == "1"


async def test_the_ranking_is_that_of_one_matrix_over_many_shards_and_blocks(
    tmp_path: Path,
) -> None:
    passages = many(60)
    build(passages[:50], folder := tmp_path / "index")
    await embed(folder, Words(), unseen, Sizes(made=7, small=30))
    add(folder, passages[50:])
    await embed(folder, Words(), unseen, Sizes(made=7, small=30))
    assert len(kept(folder)[0].shards) == 3
    vectors = await Words().embed([said(p) for p in passages])
    query = (await Words().embed(["the 17th of them"]))[0]
    order = np.argsort(-(vectors @ query))[:9]
    found = await Dense(folder, Words(), block=5).search("the 17th of them", 9)
    assert ids(found) == [passages[n].id for n in order]
    assert [p.score for p in found] == pytest.approx((vectors @ query)[order].tolist(), abs=1e-5)


async def test_only_what_is_new_is_embedded_after_a_change(folder: Path) -> None:
    first, second = Words(), Words()
    assert (await embed(folder, first, unseen)).made == first.embedded == 3
    add(folder, [replace(TALE, text="A town."), *many(1)])
    engine = Dense(folder, second)
    assert not engine.complete
    assert (await embed(folder, second, unseen)).made == second.embedded == 2
    assert engine.complete
    found = await engine.search("Number 0\nthe 0th of them", 9)
    assert ids(found)[0] == "n0" and sorted(ids(found)) == ["1", "2", "3", "n0"]


async def test_an_index_that_is_built_again_keeps_its_vectors(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    build([RIVER, NOVEL], folder)
    again = Words()
    assert (await embed(folder, again, unseen)).made == again.embedded == 0
    assert Dense(folder, again).complete


async def test_a_passage_that_is_deleted_is_not_found_any_more(tmp_path: Path) -> None:
    build(many(50), folder := tmp_path / "index")
    await embed(folder, Words(), unseen)
    engine = Dense(folder, Words())
    nearest = ids(await engine.search("Number 7", 20))
    delete(folder, nearest[:19])
    found = ids(await engine.search("Number 7", 20))
    assert len(found) == 20 and found[0] == nearest[19]
    assert not set(found) & set(nearest[:19])


async def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path,
) -> None:
    tens = Sizes(made=10)
    build(many(50), folder := tmp_path / "index")
    with pytest.raises(ModelError, match="gone"):
        await embed(folder, Words(fails_after=30), unseen, tens)
    with pytest.raises(
        MissingError, match=f"not embedded to the end; run: mia index embed {folder}"
    ):
        Dense(folder, Words())
    seen: list[tuple[int, int]] = []
    rest = Words()
    done = await embed(folder, rest, lambda done, total: seen.append((done, total)), tens)
    assert (done.made, rest.embedded, done.passages) == (20, 20, 50)
    assert seen == [(30, 50), (40, 50), (50, 50)]
    assert len(list(place(folder, "words").glob("*.npy"))) == 2, "one shard and its digests"


async def test_the_vectors_of_two_embedders_are_never_mixed(folder: Path) -> None:
    with pytest.raises(MissingError, match="mia index embed"):
        Dense(folder, Words())
    await embed(folder, Words("first"), unseen)
    with pytest.raises(ConfigError, match="vectors of first, not of second; run: mia index embed"):
        Dense(folder, Words("second"))
    await embed(folder, Words("second"), unseen)
    assert [made.embedder for made in kept(folder)] == ["first", "second"]
    assert ids(await Dense(folder, Words("second")).search("Emma", 1)) == ["3"]


class Narrow:
    """An embedder that was exchanged under its name."""

    name = "words"

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 2), dtype=np.float32)


async def test_vectors_of_other_dimensions_are_refused(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    with pytest.raises(ConfigError, match=r"2 dimensions.*mia index embed"):
        await Dense(folder, Narrow()).search("Emma", 1)
    add(folder, many(1))
    with pytest.raises(ModelError, match=r"shape \(1, 2\)"):
        await embed(folder, Narrow(), unseen)


async def test_two_runs_at_once_are_one_too_many(folder: Path) -> None:
    with (
        alone(place(folder, "words") / ".lock"),
        pytest.raises(StoreError, match="another process"),
    ):
        await embed(folder, Words(), unseen)


async def test_a_damaged_list_of_vectors_is_named(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    (place(folder, "words") / "vectors.json").write_text("{")
    with pytest.raises(StoreError, match="remove that folder and embed again"):
        Dense(folder, Words())


async def test_an_engine_takes_up_new_vectors_while_it_searches(folder: Path) -> None:
    await embed(folder, Words(), unseen)
    engine = Dense(folder, Words())
    for turn in range(12):
        add(folder, many(1, turn))
        await asyncio.gather(
            embed(folder, Words(), unseen), *(engine.search("town", 3) for _ in range(5))
        )
        assert ids(await engine.search(f"Number {turn} the {turn}th of them", 1)) == [f"n{turn}"]


async def test_a_large_corpus_is_searched_by_lists_and_what_came_since_one_by_one(
    tmp_path: Path,
) -> None:
    pytest.importorskip("faiss")
    passages, few = many(900), Sizes(exact=500, unlisted=100)
    build(passages, folder := tmp_path / "index")
    await embed(folder, Words(), unseen)
    exact = Dense(folder, Words())
    wanted = {said(p): await exact.search(said(p), 900) for p in passages[:20]}
    await embed(folder, Words(), unseen, few)
    (made,) = kept(folder)
    assert made.lists and made.listed == len(made.shards)
    engine = Dense(folder, Words())
    for text, everything in wanted.items():
        found = await engine.search(text, 5)
        scores = {p.id: p.score for p in everything}
        assert found[0].id == everything[0].id, "a text lies in the list of its own passage"
        assert [p.score for p in found] == pytest.approx([scores[p.id] for p in found], abs=1e-6)
    add(folder, many(5, 900))
    await embed(folder, Words(), unseen, few)
    assert kept(folder)[0].lists == made.lists, "a few new rows need no new lists"
    assert ids(await engine.search("Number 903\nthe 903th of them", 1)) == ["n903"]
