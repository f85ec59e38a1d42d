"""The published cache of image searches, in both its forms and whatever a data id may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.image_search.painting import shapes

from mia.errors import SearchError
from mia.image_search.cached import CachedImages
from mia.pictures import Pictures
from mia.tool import ImageHit
from mia.types import Picture


def named(name: str) -> Picture:
    return Picture(id="0" * 64, width=1, height=1, name=name)


def entry(root: Path, id: str, meta: dict[str, Any], **files: str) -> Path:
    """An entry of a cache; files are named `img_000="png"`."""
    folder = root / id
    folder.mkdir(parents=True)
    (folder / "meta.json").write_bytes(msgspec.json.encode(meta))
    for number, (name, kind) in enumerate(files.items()):
        if kind == "html":
            (folder / f"{name}.html").write_text("<h1>403</h1>")
        else:
            shapes(number).resize((64, 48)).save(folder / f"{name}.{kind}")
    return folder


def new(*titles: str | None) -> dict[str, Any]:
    return {
        "search_results": [
            {"title": title, "image_url": f"https://e.example/{n}"}
            for n, title in enumerate(titles)
        ],
        "image_urls": [f"https://e.example/{n}" for n, _ in enumerate(titles)],
    }


def shown(hits: tuple[ImageHit, ...]) -> list[tuple[str, str | None]]:
    return [(hit.title, hit.picture.name if hit.picture else None) for hit in hits]


async def test_the_new_form_and_every_kind_of_picture(tmp_path: Path, pictures: Pictures) -> None:
    entry(tmp_path, "fvqa_1", new("One", "Two", "Three", "Four"), img_000="jpg", img_001="webp",
          img_002="gif", img_003="png")  # fmt: skip
    hits = await CachedImages([tmp_path], pictures).similar(named("fvqa_1"), 9)
    assert shown(hits) == [
        ("One", "img_000.jpg"),
        ("Two", "img_001.webp"),
        ("Three", "img_002.gif"),
    ]
    assert [hit.picture.url for hit in hits if hit.picture][:2] == [
        "https://e.example/0", "https://e.example/1",
    ]  # fmt: skip
    assert len(await CachedImages([tmp_path], pictures).similar(named("fvqa_1"), 2)) == 2


async def test_the_old_form(tmp_path: Path, pictures: Pictures) -> None:
    meta = {"title_list": ["One", "Two"], "image_urls": ["https://e.example/1"]}
    entry(tmp_path, "7", meta, img_000="png", img_001="png")
    hits = await CachedImages([tmp_path], pictures).similar(named("7"), 3)
    assert shown(hits) == [("One", "img_000.png"), ("Two", "img_001.png")]
    assert hits[1].picture is not None and hits[1].picture.url is None


async def test_a_picture_that_is_missing_shifts_no_other_to_its_title(
    tmp_path: Path, pictures: Pictures
) -> None:
    entry(tmp_path, "a", new("One", "Two", "Three"), img_000="html", img_002="png")
    (tmp_path / "a" / "img_001.jpg").write_text("no picture")
    hits = await CachedImages([tmp_path], pictures).similar(named("a"), 3)
    assert shown(hits) == [("One", None), ("Two", None), ("Three", "img_002.png")]


async def test_a_cache_may_count_from_one(tmp_path: Path, pictures: Pictures) -> None:
    entry(tmp_path, "a", new("One", "Two"), img_001="png", img_002="png")
    entry(tmp_path, "b", new("One", "Two"), img_001="png")
    engine = CachedImages([tmp_path], pictures)
    assert shown(await engine.similar(named("a"), 3)) == [
        ("One", "img_001.png"), ("Two", "img_002.png"),
    ]  # fmt: skip
    assert shown(await engine.similar(named("b"), 3)) == [("One", None), ("Two", "img_001.png")]


async def test_a_title_from_the_web_is_one_line_of_words(
    tmp_path: Path, pictures: Pictures
) -> None:
    entry(tmp_path, "a", new("<b>Mona&nbsp;Lisa</b>\n2. Ignore\u200b all", " ", None, "x" * 999))
    hits = await CachedImages([tmp_path], pictures).similar(named("a"), 3)
    assert [hit.title for hit in hits] == ["Mona Lisa 2. Ignore all", "x" * 300]


async def test_the_first_root_that_knows_an_id_answers(tmp_path: Path, pictures: Pictures) -> None:
    roots = [tmp_path / "one", tmp_path / "nowhere", tmp_path / "two"]
    entry(roots[0], "a", new("One"))
    entry(roots[2], "a", new("Another"))
    entry(roots[2], "b", new("Two"))
    engine = CachedImages(roots, pictures)
    assert [(await engine.similar(named(id), 3))[0].title for id in "ab"] == ["One", "Two"]
    assert await engine.similar(named("c"), 3) == ()


META = "meta.json"


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"search_results": 7}', b"\xff", b"[" * 100_000, b" " * (5 << 20)]
)
async def test_a_meta_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, pictures: Pictures, body: bytes
) -> None:
    (entry(tmp_path, "a", {}) / META).write_bytes(body)
    with pytest.raises(SearchError, match=META):
        await CachedImages([tmp_path], pictures).similar(named("a"), 3)


async def test_an_entry_without_titles_has_no_hits(tmp_path: Path, pictures: Pictures) -> None:
    for id, meta in {"a": {}, "b": {"search_results": []}, "c": {"title_list": None}}.items():
        entry(tmp_path, id, meta)
        assert await CachedImages([tmp_path], pictures).similar(named(id), 3) == ()


TRAVELS = ["", ".", "..", "../secret", "a/../../secret", "/etc", "a\0b", "..\\secret", "a/b",
           "x" * 5000, "link", "deep/secret", "./real", "deep/../real"]  # fmt: skip


@pytest.mark.parametrize("name", TRAVELS)
async def test_no_data_id_leads_out_of_the_root(
    tmp_path: Path, pictures: Pictures, name: str
) -> None:
    root = tmp_path / "root"
    entry(tmp_path, "secret", new("Secret"))
    entry(root / "deep", "secret", new("Secret"))
    entry(root, "real", new("Real"))
    (root / "link").symlink_to(tmp_path / "secret")
    assert await CachedImages([root], pictures).similar(named(name), 3) == ()


@given(name=st.text(max_size=60))
async def test_any_data_id_is_looked_up_in_the_root_or_not_at_all(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("roots")
    (top / META).write_bytes(msgspec.json.encode(new("Secret")))
    root = top / "root"
    root.mkdir(exist_ok=True)
    engine = CachedImages([root], Pictures(top / "kept"))
    assert await engine.similar(named(name), 3) == ()


async def test_links_in_an_entry_are_not_followed_out_of_it(
    tmp_path: Path, pictures: Pictures
) -> None:
    root = tmp_path / "root"
    folder = entry(root, "a", new("One"))
    shapes(1).save(tmp_path / "secret.png")
    (folder / "img_000.png").symlink_to(tmp_path / "secret.png")
    assert shown(await CachedImages([root], pictures).similar(named("a"), 3)) == [("One", None)]
    (tmp_path / "secret.json").write_bytes(msgspec.json.encode(new("Secret")))
    (folder / META).unlink()
    (folder / META).symlink_to(tmp_path / "secret.json")
    assert await CachedImages([root], pictures).similar(named("a"), 3) == ()
