"""`mia images`, from a folder of pictures to the name of one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.conftest import Mia
from tests.image_search.onnx_model import pooling
from tests.image_search.painting import CHANGES, shapes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "things"
    place.mkdir()
    for n in range(4):
        shapes(n).save(place / f"thing_{n}.png")
    return place


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A part of one of them."""
    path = tmp_path / "asked.jpg"
    CHANGES["cropped"](shapes(2)).save(path)
    return path


def test_a_folder_is_indexed_and_a_picture_of_it_named(mia: Mia, folder: Path, asked: Path) -> None:
    built = mia("images", "build", str(folder))
    assert built.code == 0
    assert "indexed 4 pictures, 4 of them new" in built.err
    place = built.out.strip()
    assert place.endswith("indexes/images")

    found = mia("images", "search", str(asked))
    assert found.code == 0
    assert found.out.splitlines()[0].split(maxsplit=1)[1] == "thing 2"

    hits = json.loads(mia("images", "search", str(asked), "--json", "--limit", "1").out)
    assert [hit["title"] for hit in hits] == ["thing 2"]
    assert 0.5 <= hits[0]["score"] <= 1 and hits[0]["picture"]["width"] == 320

    shown = mia("images", "show")
    assert shown.code == 0 and "4 pictures with 4 titles" in shown.out
    assert "below a score of 0.5" in shown.out
    told = json.loads(mia("images", "show", "--json").out)
    assert told["index"] == place and told["manifest"]["pictures"] == 4


def test_a_stranger_is_nothing_like_them_and_says_so(
    mia: Mia, folder: Path, tmp_path: Path
) -> None:
    mia("images", "build", str(folder))
    stranger = tmp_path / "stranger.png"
    shapes(60).save(stranger)
    said = mia("images", "search", str(stranger))
    assert (said.code, said.out) == (7, "") and "nothing like it" in said.err
    assert json.loads(mia("images", "search", str(stranger), "--json").out) == []


def test_an_index_of_another_folder_is_not_overwritten_unasked(
    mia: Mia, folder: Path, tmp_path: Path
) -> None:
    mia("images", "build", str(folder))
    again = mia("images", "build", str(folder), "--json")
    assert json.loads(again.out)["new"] == 0
    other = tmp_path / "other"
    other.mkdir()
    shapes(9).save(other / "nine.png")
    refused = mia("images", "build", str(other))
    assert refused.code == 2 and "--out" in refused.err
    place = tmp_path / "second"
    assert mia("images", "build", str(other), "--out", str(place)).code == 0
    found = mia("images", "search", str(other / "nine.png"), "--index", str(place))
    assert found.out.split()[1] == "nine"


def test_what_cannot_be_read_is_named_and_left_out(mia: Mia, folder: Path) -> None:
    (folder / "letter.jpg").write_text("Dear Ann")
    built = mia("images", "build", str(folder))
    assert built.code == 0 and "left out: letter.jpg" in built.err


def test_what_is_wrong_is_one_line(mia: Mia, folder: Path, asked: Path, tmp_path: Path) -> None:
    none = mia("images", "search", str(asked))
    assert none.code == 3 and "mia images build" in none.err
    assert mia("images", "show").code == 3
    assert mia("images", "build", str(tmp_path / "nowhere")).code == 2
    mia("images", "build", str(folder))
    nowhere = mia("images", "build", str(tmp_path / "nowhere"))
    assert nowhere.code == 2 and "nowhere is no folder of pictures" in nowhere.err
    assert mia("images", "search", str(tmp_path / "nowhere.png")).code == 2
    (tmp_path / "letter.png").write_text("Dear Ann")
    letter = mia("images", "search", str(tmp_path / "letter.png"))
    assert letter.code == 2 and "letter.png: this is no picture of a known kind" in letter.err
    assert len(letter.err.strip().splitlines()) == 1


def test_an_encoder_goes_with_its_index(
    mia: Mia, folder: Path, asked: Path, tmp_path: Path
) -> None:
    model = tmp_path / "encoder.onnx"
    model.write_bytes(pooling((1, 3, 32, 32), (1, 3, 4, 4), kernel=8))
    mia("images", "build", str(folder))
    other = mia("images", "search", str(asked), "--encoder", str(model))
    assert other.code == 2 and "build it again" in other.err
    mia("images", "build", str(folder), "--encoder", str(model))
    found = mia("images", "search", str(asked), "--encoder", str(model))
    assert found.out.splitlines()[0].split(maxsplit=1)[1] == "thing 2"
