"""Image search in one's own index: what shows the same is found, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tests.image_search.painting import (
    CHANGES,
    SHAPES,
    STRIPES,
    compared,
    jpeg,
    shapes,
    stripes,
)

from mia.errors import MissingError
from mia.image_search.building import build
from mia.image_search.local import SURE, LocalImages
from mia.image_search.stored import Stored, current
from mia.pictures import Pictures
from mia.types import Picture

Change = Callable[[Image.Image], Image.Image]
PAINTED = [(f"shapes {n}", shapes(n)) for n in range(SHAPES)]
PAINTED += [(f"stripes {n}", stripes(n)) for n in range(STRIPES)]


@pytest.fixture
def engine(index: Path, pictures: Pictures) -> LocalImages:
    return LocalImages(index, pictures)


def titles(engine: LocalImages, image: Image.Image) -> list[str]:
    return [engine.stored.rows[row].title for row, _ in engine.find(compared(image))]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_picture_is_found_whatever_was_done_to_it(engine: LocalImages, change: Change) -> None:
    found = [titles(engine, change(image))[:1] == [title] for title, image in PAINTED[::4]]
    assert all(found[:-1]), found  # the last are stripes, which a crop makes others' equal


def test_a_stranger_is_like_nothing(engine: LocalImages) -> None:
    strangers = [shapes(n) for n in range(100, 109)] + [Image.effect_noise((300, 200), 50)]
    assert sum(bool(titles(engine, image)) for image in strangers) <= 2


def test_a_picture_without_anything_to_see_breaks_nothing(engine: LocalImages) -> None:
    for size in ((1, 1), (300, 200), (1, 900)):
        for colour in ("black", "white", "red"):
            titles(engine, Image.new("RGB", size, colour))


async def test_hits_are_sure_and_show_their_pictures(
    engine: LocalImages, pictures: Pictures
) -> None:
    hits = await engine.similar(pictures.keep(jpeg(CHANGES["cropped"](shapes(3)))), 3)
    assert hits[0].title == "shapes 3"
    assert hits[0].url == "https://e.example/pictures/shapes_3.png"
    assert hits[0].picture is not None and hits[0].picture.width == 320
    assert pictures.bytes(hits[0].picture)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert all(SURE <= score <= 1 for score in scores)
    assert scores[0] > 0.9


async def test_the_same_question_has_the_same_answer_from_many_at_once(
    engine: LocalImages, pictures: Pictures
) -> None:
    asked = pictures.keep(jpeg(CHANGES["all at once"](shapes(5))))
    first = await engine.similar(asked, 3)
    assert first
    others = await asyncio.gather(*(engine.similar(asked, 3) for _ in range(6)))
    assert all(other == first for other in others)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three pictures and its index, for tests that change them."""
    place = tmp_path / "folder"
    place.mkdir()
    for n in range(3):
        shapes(n).save(place / f"shapes_{n}.png")
    build(place, tmp_path / "index")
    return place


async def test_no_more_hits_than_asked_for(
    folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    for n in range(3):
        shapes(2).save(folder / f"twin_{n}.png")
    build(folder, tmp_path / "index")
    engine = LocalImages(tmp_path / "index", pictures)
    asked = pictures.keep(jpeg(shapes(2)))
    assert len(await engine.similar(asked, 3)) == 3
    assert len(await engine.similar(asked, 1)) == 1


async def test_a_hit_whose_file_is_gone_or_spoilt_keeps_its_title(
    folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    engine = LocalImages(tmp_path / "index", pictures)
    (folder / "shapes_1.png").unlink()
    (folder / "shapes_2.png").write_text("no picture any more")
    for n in (1, 2):
        hits = await engine.similar(pictures.keep(jpeg(shapes(n))), 1)
        assert [(hit.title, hit.picture) for hit in hits] == [(f"shapes {n}", None)]


async def test_a_link_out_of_the_folder_is_not_followed(
    folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    shapes(77).save(tmp_path / "secret.png")
    (folder / "shapes_1.png").unlink()
    (folder / "shapes_1.png").symlink_to(tmp_path / "secret.png")
    engine = LocalImages(tmp_path / "index", pictures)
    hits = await engine.similar(pictures.keep(jpeg(shapes(1))), 1)
    assert [hit.picture for hit in hits] == [None]


async def test_an_index_of_one_picture_finds_it_and_no_other(
    tmp_path: Path, pictures: Pictures
) -> None:
    (tmp_path / "one").mkdir()
    shapes(1).save(tmp_path / "one" / "The_only-one.png")
    build(tmp_path / "one", tmp_path / "index")
    engine = LocalImages(tmp_path / "index", pictures)

    async def found(image: Image.Image) -> list[str]:
        asked: Picture = pictures.keep(jpeg(image))
        return [hit.title for hit in await engine.similar(asked, 3)]

    assert await found(CHANGES["cropped"](shapes(1))) == ["The only one"]
    assert await found(shapes(50)) == []


def test_a_folder_without_an_index_says_how_to_build_one(
    tmp_path: Path, pictures: Pictures
) -> None:
    with pytest.raises(MissingError, match="mia images build FOLDER"):
        LocalImages(tmp_path, pictures)


async def test_an_index_that_is_built_again_is_taken_up_by_the_next_search(
    folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    engine = LocalImages(tmp_path / "index", pictures)

    async def found(n: int) -> list[tuple[str, str]]:
        hits = await engine.similar(pictures.keep(jpeg(shapes(n))), 1)
        return [(hit.title, hit.picture.name) for hit in hits if hit.picture]

    assert (await found(0), await found(7)) == ([("shapes 0", "shapes_0.png")], [])
    (folder / "shapes_0.png").unlink()
    shapes(7).save(folder / "shapes_7.png")
    build(folder, tmp_path / "index")
    assert await found(1) == [("shapes 1", "shapes_1.png")], "which is in another's row"
    assert (await found(0), await found(7)) == ([], [("shapes 7", "shapes_7.png")])
    shutil.rmtree(tmp_path / "index")
    assert await found(7) == [("shapes 7", "shapes_7.png")], "what is open is searched on"


@pytest.mark.parametrize(
    "second", [Image.new("RGB", (99, 99), "blue"), shapes(1)], ids=("alike", "unlike")
)
def test_no_index_is_opened_in_part_old_and_in_part_new(
    tmp_path: Path, second: Image.Image
) -> None:
    content: dict[str, tuple[bytes, ...]] = {}
    for name, image in (("first", Image.new("RGB", (99, 99), "red")), ("second", second)):
        (tmp_path / f"{name}s").mkdir()
        image.save(tmp_path / f"{name}s" / f"{name}.png")
        build(tmp_path / f"{name}s", tmp_path / name)
        content[name] = Stored(tmp_path / name).raw(0)
    place, fresh, old = (tmp_path / name for name in ("index", "fresh", "old"))
    shutil.copytree(tmp_path / "first", place)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in reversed(content):
                shutil.copytree(tmp_path / name, fresh, copy_function=shutil.copyfile)
                place.rename(old)
                fresh.rename(place)
                shutil.rmtree(old)

    swapping = threading.Thread(target=swap)
    swapping.start()
    opened: set[str] = set()
    try:
        for _ in range(1000):
            try:
                stored = current(place)
            except MissingError:  # the place was empty for a moment
                continue
            opened.add(stored.rows[0].title)
            assert stored.raw(0) == content[stored.rows[0].title]
    finally:
        stop.set()
        swapping.join()
    assert opened == set(content)
