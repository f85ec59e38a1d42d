"""Building an index: whole or not at all, and again only what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.image_search.painting import SHAPES, STRIPES, compared, shapes

from mia.errors import ConfigError, InputError, StoreError
from mia.image_search.building import Built, build
from mia.image_search.ranking import ranked
from mia.image_search.stored import MANIFEST, ROWS, Files, Stored, is_index

COUNT = SHAPES + STRIPES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two pictures, by their names."""
    place = tmp_path / "folder"
    place.mkdir()
    for n in (1, 2):
        shapes(n).save(place / f"shapes_{n}.png")
    return place


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "index"


def best(out: Path, image: Image.Image) -> str:
    stored = Stored(out)
    return stored.rows[ranked(stored, compared(image))[0].row].title


def test_an_index_says_what_it_holds(index: Path, furnished: Path) -> None:
    manifest = Stored(index).manifest
    assert (manifest.pictures, manifest.source) == (COUNT, str(furnished))
    assert manifest.strangers == COUNT
    assert 1 < manifest.floor < 5


def test_only_what_is_new_or_changed_is_opened_again(folder: Path, out: Path) -> None:
    assert build(folder, out) == Built(pictures=2, new=2)
    assert build(folder, out) == Built(pictures=2, new=0)
    shapes(3).save(folder / "shapes_3.png")
    assert build(folder, out) == Built(pictures=3, new=1)
    shapes(4).save(folder / "shapes_1.png")
    assert build(folder, out) == Built(pictures=3, new=1)
    assert best(out, shapes(4)) == "shapes 1"
    (folder / "shapes_2.png").unlink()
    assert build(folder, out) == Built(pictures=2, new=0)
    assert best(out, shapes(3)) == "shapes 3"


def test_what_is_taken_over_is_what_was_computed(folder: Path, out: Path) -> None:
    build(folder, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    build(folder, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_where_chance_ends_is_measured_again_only_if_something_changed(
    folder: Path, out: Path
) -> None:
    def measures() -> bool:
        told: list[str] = []
        build(folder, out, say=told.append)
        return "measuring where chance ends" in told

    labels = folder / "index.jsonl"

    def label(first: str, address: str) -> None:
        labels.write_text(
            f'{{"file": "shapes_1.png", "title": "{first}", "url": "{address}"}}\n'
            '{"file": "shapes_2.png", "title": "Two"}\n'
        )

    label("One", "https://example.org/1")
    assert measures()
    before = Stored(out).manifest
    label("One", "https://example.org/one")
    assert not measures() and Stored(out).manifest == before
    assert Stored(out).rows[0].url == "https://example.org/one"
    label("Two", "https://example.org/one")
    assert measures() and Stored(out).manifest.strangers < before.strangers, "they are namesakes"
    labels.unlink()
    assert measures()
    shapes(3).save(folder / "shapes_1.png")
    assert measures()
    (folder / "shapes_2.png").unlink()
    assert measures()


def test_new_labels_are_read_though_no_picture_changed(folder: Path, out: Path) -> None:
    build(folder, out)
    (folder / "index.jsonl").write_text(
        '{"file": "shapes_1.png", "title": "One"}\n{"file": "shapes_2.png", "title": "Two"}\n'
    )
    assert build(folder, out) == Built(pictures=2, new=0)
    assert best(out, shapes(2)) == "Two"


def test_the_same_name_in_another_folder_is_another_picture(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for place, n in ((folder, 7), (other, 8)):
        shapes(n).save(place / "same.bmp")
        os.utime(place / "same.bmp", ns=(1_000, 1_000))
    build(folder, out)
    assert build(other, out) == Built(pictures=1, new=1)
    assert best(out, shapes(8)) == "same"


def test_what_cannot_be_read_is_left_out_and_named(folder: Path, out: Path) -> None:
    (folder / "letter.jpg").write_text("Dear Ann")
    (folder / "empty.png").write_bytes(b"")
    built = build(folder, out)
    assert built.pictures == 2
    assert [line.split(":")[0] for line in built.skipped] == ["empty.png", "letter.jpg"]


def test_a_folder_of_nothing_readable_leaves_the_index_that_is_there(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    build(folder, out)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "letter.jpg").write_text("Dear Ann")
    with pytest.raises(InputError, match=r"no picture of .* can be read; first: letter\.jpg"):
        build(bad, out)
    assert Stored(out).manifest.pictures == 2
    left = sorted(path.name for path in out.parent.iterdir())
    assert left == ["bad", "folder", "index"]


def test_nothing_but_an_index_is_replaced(folder: Path, tmp_path: Path) -> None:
    for place in (folder, folder / "shapes_1.png"):
        with pytest.raises(ConfigError, match="is no image index"):
            build(folder, place)
    (tmp_path / "empty").mkdir()
    assert build(folder, tmp_path / "empty").pictures == 2


def test_what_a_killed_build_left_does_not_hinder(folder: Path, out: Path) -> None:
    half = out.with_name(".index.building")
    half.mkdir()
    (half / ROWS).write_text("{")
    assert not is_index(half)
    assert build(folder, out).pictures == 2
    assert not half.exists()


def test_who_has_the_old_index_open_goes_on_reading_it(folder: Path, out: Path) -> None:
    build(folder, out)
    old = Stored(out)
    pixels = compared(shapes(1))
    before = ranked(old, pixels)
    shapes(9).save(folder / "shapes_0.png")
    build(folder, out)
    assert ranked(old, pixels) == before
    assert len(Stored(out)) == 3


def cut(name: str) -> Callable[[Path], object]:
    return lambda out: (out / name).write_bytes((out / name).read_bytes()[:-1])


DAMAGES = {
    "a manifest that is no JSON": lambda out: (out / MANIFEST).write_text("{"),
    "a manifest of another kind": lambda out: (out / MANIFEST).write_text("[]"),
    "another format": lambda out: (out / MANIFEST).write_bytes(
        (out / MANIFEST).read_bytes().replace(b'"format":1', b'"format":99')
    ),
    "a row too few": lambda out: (out / ROWS).write_bytes(
        (out / ROWS).read_bytes().splitlines()[0]
    ),
    "layouts cut": cut(Files.layouts),
    "looks cut": cut(Files.looks),
    "places too long": lambda out: (out / Files.places).write_bytes(
        (out / Files.places).read_bytes() + b"xx"
    ),
    "a file that is gone": lambda out: (out / Files.pixels).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_named_and_built_anew(
    folder: Path, out: Path, damage: Callable[[Path], object]
) -> None:
    build(folder, out)
    damage(out)
    with pytest.raises(StoreError, match=f"{out}.*build it again"):
        Stored(out)
    assert build(folder, out) == Built(pictures=2, new=2)
    assert len(Stored(out)) == 2


def test_namesakes_are_no_strangers(tmp_path: Path, out: Path) -> None:
    """Two pictures of the same thing do not make chance look sure."""
    folder = tmp_path / "folder"
    folder.mkdir()
    lines: list[str] = []
    for n in range(4):
        shapes(n).save(folder / f"a_{n}.png")
        shapes(n).resize((200, 150)).save(folder / f"b_{n}.png")
        lines += [f'{{"file": "{name}_{n}.png", "title": "thing {n}"}}' for name in "ab"]
    (folder / "index.jsonl").write_text("\n".join(lines))
    build(folder, out)
    as_namesakes = Stored(out).manifest.floor
    (folder / "index.jsonl").unlink()
    build(folder, out)
    assert Stored(out).manifest.floor > as_namesakes + 0.5


def test_a_picture_of_the_index_is_sure_of_itself(index: Path) -> None:
    stored = Stored(index)
    for n in range(0, SHAPES, 3):
        matches = ranked(stored, compared(shapes(n)))
        assert stored.rows[matches[0].row].title == f"shapes {n}"
        without = ranked(stored, compared(shapes(n)), [matches[0].row])
        assert matches[0].row not in [match.row for match in without]
        assert matches[0].evidence > without[0].evidence + 1


def test_a_picture_is_surer_the_more_it_stands_out_from_the_next(index: Path) -> None:
    stored = Stored(index)
    pixels = compared(shapes(0))
    best = ranked(stored, pixels)[0]
    others = [row for row in range(len(stored)) if row != best.row]
    (alone,) = ranked(stored, pixels, others)
    assert alone.row == best.row and best.evidence > alone.evidence + 0.5


def test_with_every_picture_left_out_there_is_nothing(index: Path) -> None:
    stored = Stored(index)
    assert ranked(stored, compared(shapes(0)), range(len(stored))) == []


def test_pictures_come_back_as_they_were_stored(index: Path) -> None:
    stored = Stored(index)
    pixels, found = stored.pixels(0), stored.points(0)
    assert pixels.shape == (96, 96, 3) and 0 <= pixels[..., 0].min() <= pixels[..., 0].max() <= 100
    assert len(found.looks) == stored.rows[0].points > 20
    assert np.abs(found.places).max() <= 1
    assert np.allclose(np.linalg.norm(found.looks, axis=1), 1, atol=1e-3)
