"""Folders of labelled pictures, in the forms they come in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.errors import InputError
from mia.image_search.labels import Labelled, labelled


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data" / "pictures"
    place.mkdir(parents=True)
    for name in ("a.jpg", "b_small-one.PNG", "notes.txt"):
        (place / name).write_bytes(b"x")
    return place


def test_without_labels_the_files_names_are_the_titles(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "c.webp").write_bytes(b"x")
    held = labelled(folder)
    assert held.root == folder
    assert [(one.file, one.title) for one in held.pictures] == [
        ("a.jpg", "a"), ("b_small-one.PNG", "b small one"), ("deep/c.webp", "c"),
    ]  # fmt: skip


LINES = (
    '{"file": "FOLDERa.jpg", "title": "Ann", "url": "https://e.example/a", "family": 1}\n\n'
    '{"image": "FOLDERb_small-one.PNG", "label": "Bee", "url": "javascript:x"}\n'
    '{"path": "FOLDERc.jpg", "name": "Cat"}\n{"file": "FOLDERd_e.jpg"}\n'
)
WANTED = (
    ("a.jpg", "Ann", "https://e.example/a"), ("b_small-one.PNG", "Bee", None),
    ("c.jpg", "Cat", None), ("d_e.jpg", "d e", None),
)  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "prefix"),
    [("pictures/index.jsonl", ""), ("pictures.jsonl", "pictures/"), ("index.jsonl", "pictures/")],
)
def test_labels_lie_in_the_folder_or_beside_it(folder: Path, labels: str, prefix: str) -> None:
    file = folder.parent / labels
    file.write_text("\ufeff" + LINES.replace("FOLDER", prefix), encoding="utf-8")
    held = labelled(folder)
    assert held.root == file.parent
    assert held.pictures == tuple(
        Labelled(file=prefix + name, title=title, url=url) for name, title, url in WANTED
    )


def test_labels_beside_the_folder_that_speak_of_others_are_left_alone(folder: Path) -> None:
    other = folder.parent / "index.jsonl"
    other.write_text('{"file": "elsewhere/a.jpg", "title": "Ann"}')
    assert [one.title for one in labelled(folder).pictures] == ["a", "b small one"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('{"file": "../../etc/passwd", "title": "x"}', "lies outside"),
        ('{"file": "/etc/passwd", "title": "x"}', "lies outside"),
        ('{"title": "x"}', "needs a `file`"),
        ('{"file": ""}', "needs a `file`"),
        ('{"file": 7}', "Expected `str"),
        ("{", "line 2"),
        ("[" * 100_000, "line 2"),
        ('{"file": "a.jpg", "title": "again"}', "stands there twice"),
        ('{"file": "./x/../a.jpg", "title": "again"}', "stands there twice"),
    ],
)
def test_a_line_that_is_wrong_is_named(folder: Path, line: str, wrong: str) -> None:
    (folder / "index.jsonl").write_text('{"file": "a.jpg", "title": "Ann"}\n' + line)
    with pytest.raises(InputError, match=wrong) as refused:
        labelled(folder)
    assert "index.jsonl line 2" in str(refused.value)


def test_a_link_out_of_the_folder_is_no_label(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "index.jsonl").write_text('{"file": "link.jpg", "title": "x"}')
    with pytest.raises(InputError, match="lies outside"):
        labelled(folder)


def test_a_folder_without_pictures_and_a_file_are_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Ann")
    with pytest.raises(InputError, match="has no pictures"):
        labelled(tmp_path)
    for place in (tmp_path / "letter.txt", tmp_path / "nowhere"):
        with pytest.raises(InputError, match="is no folder"):
            labelled(place)


@given(name=st.text(min_size=1, max_size=40))
def test_no_name_leads_out_of_the_folder(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    try:
        line = msgspec.json.encode({"file": name, "title": "x"})
    except UnicodeEncodeError:  # half a surrogate pair is in no JSON
        return
    (folder / "index.jsonl").write_bytes(line)
    try:
        held = labelled(folder)
    except InputError:
        return
    assert all((held.root / one.file).resolve().is_relative_to(folder) for one in held.pictures)
