"""The picture folder: bytes become a plain small picture, or a line that says what is wrong."""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mia.errors import InputError, StoreError
from mia.pictures import MAX_BYTES, SIDE, Decoder, Pictures
from mia.types import Picture


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(jpeg: bytes) -> Image.Image:
    image = Image.open(BytesIO(jpeg))
    assert image.format == "JPEG" and image.mode == "RGB"
    return image


def near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return max(abs(one - other) for one, other in zip(pixel, colour, strict=True)) <= 12


RED, GREEN, WHITE = (220, 20, 30), (20, 160, 60), (255, 255, 255)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path / "pictures")


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as running:
        yield running


def test_what_is_kept_lies_under_the_hash_of_its_bytes_once(
    pictures: Pictures, tmp_path: Path
) -> None:
    raw = encoded(Image.new("RGB", (40, 30), RED))
    first = pictures.keep(raw, name="red.png")
    again = pictures.keep(raw, url="https://e.example/red.png")
    assert first.id == again.id == hashlib.sha256(pictures.bytes(first)).hexdigest()
    assert (first.width, first.height, first.media_type) == (40, 30, "image/jpeg")
    assert (first.name, again.url) == ("red.png", "https://e.example/red.png")
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{first.id}.jpg"]


def test_what_was_kept_is_kept_as_it_is(pictures: Pictures) -> None:
    first = pictures.keep(encoded(Image.radial_gradient("L")))
    again = pictures.keep(pictures.bytes(first))
    assert (again.id, again.width, again.height) == (first.id, first.width, first.height)


def test_a_large_picture_shrinks_and_a_tiny_one_stays(decoder: Decoder) -> None:
    large = decoder.shrunk(encoded(Image.new("RGB", (4000, 1000), RED), "JPEG"))
    assert (large.width, large.height) == (SIDE, SIDE // 4) == decoded(large.jpeg).size
    tiny = decoder.shrunk(encoded(Image.new("RGB", (1, 1), RED)))
    assert (tiny.width, tiny.height) == (1, 1)
    assert near(decoded(tiny.jpeg).getpixel((0, 0)), RED)
    line = decoder.shrunk(encoded(Image.new("RGB", (60_000, 1), RED)))
    assert (line.width, line.height) == (SIDE, 1)


def half(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (40, 20), left)
    image.paste(right, (20, 0, 40, 20))
    return image


@pytest.mark.parametrize(
    ("raw", "left", "right"),
    [
        (encoded(half("RGB", RED, GREEN), "JPEG", quality=95), RED, GREEN),
        (encoded(half("RGB", RED, GREEN), "WEBP", lossless=True), RED, GREEN),
        (encoded(half("RGB", RED, GREEN), "BMP"), RED, GREEN),
        (encoded(half("RGB", RED, GREEN).quantize(4)), RED, GREEN),
        (encoded(half("RGBA", (*RED, 255), (*GREEN, 0))), RED, WHITE),
        (encoded(half("LA", (30, 255), (30, 0))), (30, 30, 30), WHITE),
        (encoded(half("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "JPEG"), (255, 0, 0), WHITE),
        (encoded(half("1", 0, 1)), (0, 0, 0), WHITE),
        (encoded(half("I;16", 0, 51_400)), (0, 0, 0), (200, 200, 200)),
    ],
    ids=["jpeg", "webp", "bmp", "palette", "rgba", "grey-alpha", "cmyk", "bits", "16-bit"],
)
def test_colours_survive_and_what_is_transparent_is_white(
    decoder: Decoder, raw: bytes, left: Any, right: Any
) -> None:
    image = decoded(decoder.shrunk(raw).jpeg)
    assert near(image.getpixel((5, 10)), left), image.getpixel((5, 10))
    assert near(image.getpixel((35, 10)), right), image.getpixel((35, 10))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_kept(decoder: Decoder, kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN, WHITE)]
    raw = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    assert near(decoded(decoder.shrunk(raw).jpeg).getpixel((10, 10)), RED)


def test_a_picture_is_turned_upright_and_says_nothing_of_where_it_was_taken(
    decoder: Decoder,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "the maker"
    exif.get_ifd(0x8825)[1] = "N"
    raw = encoded(half("RGB", RED, GREEN), "JPEG", quality=95, exif=exif)
    shrunk = decoder.shrunk(raw)
    image = decoded(shrunk.jpeg)
    assert (shrunk.width, shrunk.height) == image.size == (20, 40)
    assert near(image.getpixel((10, 5)), RED) and near(image.getpixel((10, 35)), GREEN)
    assert b"the maker" in raw and b"the maker" not in shrunk.jpeg
    assert not image.getexif()


def test_damaged_metadata_does_not_hinder(decoder: Decoder) -> None:
    raw = encoded(half("RGB", RED, GREEN), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"x" * 9)
    assert decoder.shrunk(raw).width == 40


FLAT = encoded(Image.new("RGB", (300, 200), RED))
JPEG = encoded(Image.radial_gradient("L").convert("RGB"), "JPEG")


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b"", "is empty"),
        (b"Dear Ann", "no picture of a known kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture of a known kind"),
        (encoded(Image.new("RGB", (9, 9)), "TIFF"), "no picture of a known kind"),
        (encoded(Image.new("RGB", (9, 9)), "PPM"), "no picture of a known kind"),
        (FLAT[: len(FLAT) // 2], "damaged"),
        (JPEG[: len(JPEG) // 2], "damaged"),
        (encoded(Image.new("1", (13_000, 13_000))), "more than 25,000,000 pixels"),
        (encoded(Image.new("1", (5_100, 5_000))), "more than 25,000,000 pixels"),
        (b"\xff\xd8" + bytes(MAX_BYTES), "at most 33,554,432 are read"),
    ],
    ids=["empty", "text", "svg", "tiff", "ppm", "cut png", "cut jpeg", "bomb", "large", "bytes"],
)
def test_bytes_that_are_no_picture_of_ours_are_refused_in_one_line(
    decoder: Decoder, raw: bytes, wrong: str
) -> None:
    with pytest.raises(InputError, match=wrong) as refused:
        decoder.shrunk(raw)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


def scans(count: int) -> bytes:
    """A JPEG of 16 million plain pixels that is to be refined again and again."""
    raw = encoded(Image.new("L", (4000, 4000), 90), "JPEG", progressive=True)
    last = raw.rindex(b"\xff\xda")
    return raw[:last] + raw[last:-2] * count + b"\xff\xd9"


def test_a_picture_that_asks_for_hours_is_given_up_and_the_next_one_is_not() -> None:
    bomb = scans(4000)
    assert len(bomb) < 10_000_000
    with Decoder(seconds=1.0) as decoder:
        began = time.monotonic()
        with pytest.raises(InputError, match="not decoded within 1 s"):
            decoder.shrunk(bomb)
        assert time.monotonic() - began < 3
    with Decoder() as decoder:
        assert decoder.shrunk(FLAT).width == 300


def test_a_picture_that_asks_for_gigabytes_is_refused(decoder: Decoder) -> None:
    """A WebP of some bytes that says it has 16,384 x 16,384 pixels."""
    size = struct.pack("<I", 16_383)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + size
    body = b"WEBP" + chunk + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    with pytest.raises(InputError):
        decoder.shrunk(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert decoder.shrunk(FLAT).width == 300


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    raw=st.sampled_from([JPEG, FLAT, encoded(Image.new("RGB", (30, 30)), "WEBP"),
                         encoded(Image.new("P", (30, 30)), "GIF")]),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 80),
)  # fmt: skip
def test_any_bytes_become_a_picture_or_an_input_error(
    decoder: Decoder, raw: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    mutable = bytearray(raw)
    for place, value in changes:
        mutable[place % len(raw)] = value
    try:
        shrunk = decoder.shrunk(bytes(mutable[: len(raw) - cut]))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert decoded(shrunk.jpeg).size == (shrunk.width, shrunk.height)


@pytest.mark.parametrize("id", ["", "..", "a" * 63, "A" * 64, "../" + "a" * 61, "a" * 64 + "\n"])
def test_an_id_that_is_no_hash_never_becomes_a_path(pictures: Pictures, id: str) -> None:
    with pytest.raises(InputError, match="no id of a picture"):
        pictures.bytes(Picture(id=id, width=1, height=1))


def test_a_picture_that_is_gone_or_damaged_is_said_to_be(
    pictures: Pictures, tmp_path: Path
) -> None:
    kept = pictures.keep(FLAT)
    path = tmp_path / "pictures" / f"{kept.id}.jpg"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match="damaged"):
        pictures.bytes(kept)
    path.unlink()
    with pytest.raises(StoreError, match="there is no picture"):
        pictures.data_url(kept)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=str(tmp_path)):
        Pictures(tmp_path / "file" / "pictures").keep(FLAT)


def test_many_who_keep_the_same_picture_leave_one_whole_file(
    pictures: Pictures, tmp_path: Path
) -> None:
    with Decoder() as decoder:
        shrunk = decoder.shrunk(encoded(Image.effect_noise((500, 500), 60)))
    threads = [threading.Thread(target=pictures.add, args=(shrunk,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = (tmp_path / "pictures").iterdir()
    assert path.read_bytes() == shrunk.jpeg


def test_models_get_a_data_url_and_lists_a_thumbnail(pictures: Pictures, tmp_path: Path) -> None:
    raw = encoded(Image.new("RGB", (900, 450), RED))
    kept = pictures.keep(raw)
    head, _, body = pictures.data_url(kept).partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == pictures.bytes(kept)
    assert decoded(pictures.thumbnail(raw, 100)).size == (100, 100)
    assert len(list((tmp_path / "pictures").iterdir())) == 1
