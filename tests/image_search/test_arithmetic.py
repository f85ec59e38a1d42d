"""The stages of comparison, each by what it must not care about and what it must see."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image, ImageEnhance
from tests.image_search.painting import compared, shapes

from mia.image_search.alignment import STORED, Aligner, Candidate
from mia.image_search.evidence import Signs, evidence, floor_of, lead, score
from mia.image_search.layouts import DIMENSIONS, MIRRORED, WINDOWS, layout, views, windows
from mia.image_search.pixels import affine, lab, on_pixels, packed, unpacked, view
from mia.image_search.points import agreed, points
from mia.image_search.points import packed as packed_looks
from mia.image_search.points import unpacked as unpacked_looks

PLAIN = st.floats(-0.3, 0.3)


def moved(scale: float, x: float, y: float, turn: float = 0.0) -> np.ndarray:
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    return np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1.0]])


# Layouts ----------------------------------------------------------------------------------------


def test_a_layout_sees_places_and_not_light_or_size() -> None:
    image = shapes(1)
    one = layout(compared(image))
    assert one.shape == (DIMENSIONS,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-3)
    for changed in (
        image.resize((90, 70)),
        ImageEnhance.Brightness(image).enhance(0.7),
        ImageEnhance.Contrast(image).enhance(0.6),
        ImageEnhance.Color(image).enhance(0.6),
    ):
        assert one @ layout(compared(changed)) > 0.97
    for other in (shapes(2), image.transpose(Image.Transpose.ROTATE_180)):
        assert one @ layout(compared(other)) < 0.8


def test_a_window_of_a_picture_is_like_that_part_of_it() -> None:
    image = shapes(1)
    seen = windows(compared(image))
    left, top = image.width * 0.45, image.height * 0.45
    corner = layout(compared(image.crop((int(left), int(top), image.width, image.height))))
    likenesses = seen @ corner
    assert likenesses.max() > 0.97
    window = WINDOWS[int(likenesses.argmax())]
    assert window[0, 0] == pytest.approx(0.55) and window[:2, 2] == pytest.approx([0.45, 0.45])


def test_views_see_a_picture_turned_and_mirrored() -> None:
    image = shapes(1)
    wanted = layout(compared(image))
    turned = image.rotate(9, Image.Resampling.BICUBIC)
    asked, transforms = views(compared(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    assert int((asked @ wanted).argmax()) >= MIRRORED
    assert np.linalg.det(transforms[MIRRORED]) < 0 < np.linalg.det(transforms[0])
    asked, _ = views(compared(turned))
    middle = windows(compared(image))
    assert (middle @ asked.T).max() > (middle @ layout(compared(turned))).max()


# Pixels -----------------------------------------------------------------------------------------


@given(scale=st.floats(0.2, 2), x=PLAIN, y=PLAIN, turn=PLAIN)
def test_a_transform_between_places_is_the_same_between_pixels(
    scale: float, x: float, y: float, turn: float
) -> None:
    seen = moved(scale, x, y, turn)
    pixel = np.array([5, 17, 1.0])
    place = np.array([(5 + 0.5) / 24 * 2 - 1, (17 + 0.5) / 24 * 2 - 1, 1.0])
    there = seen @ place
    assert on_pixels(seen, 96, 24) @ pixel == pytest.approx((there[:2] + 1) * 48 - 0.5)


def test_colours_survive_a_byte() -> None:
    values = lab(compared(shapes(3)), 32)
    assert np.abs(unpacked(packed(values)) - values).max() <= 0.51


# Alignment --------------------------------------------------------------------------------------


def stored(image: Image.Image) -> Candidate:
    return Candidate(unpacked(packed(lab(compared(image), STORED))))


@pytest.mark.parametrize("turn", [0.0, 0.12])
def test_an_alignment_finds_where_a_part_lies(turn: float) -> None:
    image = shapes(4)
    truth = moved(0.7, 0.15, -0.1, turn)
    part = view(compared(image), truth, 128)
    candidate = [stored(image)]
    start = (moved(0.75, 0.05, 0.0) @ np.eye(3))[None]
    coarse = Aligner(part, 24).refined(candidate, start, 8)
    fine = Aligner(part, 48)
    found = fine.refined(candidate, coarse, 8)
    assert np.abs(found[0] - truth).max() < 0.02
    before, after = (fine.agreement(candidate, where)[0, 0] for where in (start, found))
    assert after > 0.97 > before


def test_agreement_does_not_care_for_light_and_sees_another_picture() -> None:
    image, whole = shapes(4), np.eye(3)[None]
    for changed in (
        ImageEnhance.Brightness(image).enhance(0.7),
        ImageEnhance.Contrast(image).enhance(0.6),
        ImageEnhance.Color(image).enhance(0.6),
    ):
        assert Aligner(compared(changed), 48).agreement([stored(image)], whole)[0, 0] > 0.95
    other, grey = (
        Aligner(compared(query), 48).agreement([stored(image)], whole)[:, 0]
        for query in (shapes(5), image.convert("L"))
    )
    assert other.max() < 0.7
    assert grey[1] > 0.9 > grey[0] + 0.1


def test_what_hardly_overlaps_or_is_plain_agrees_with_nothing() -> None:
    image = shapes(4)
    far = moved(1, 1.7, 0)[None]
    assert Aligner(compared(image), 24).agreement([stored(image)], far)[0, 0] == -1
    for plain in (Image.new("L", (100, 100), 120), Image.linear_gradient("L").point(
        lambda value: 120 + value // 100
    )):  # fmt: skip
        same = Aligner(compared(plain), 24).agreement([stored(plain)], np.eye(3)[None])
        assert same.max() < 0.6


# Keypoints --------------------------------------------------------------------------------------


def test_keypoints_agree_between_a_picture_and_a_part_of_it() -> None:
    image = shapes(8)
    truth = moved(0.7, 0.1, 0.1)
    part = image.crop((64, 48, 288, 216))
    count, found = agreed(points(compared(part)), points(compared(image)))
    assert count > 10
    assert found is not None and np.abs(found - truth).max() < 0.02
    count, _ = agreed(points(compared(image)), points(compared(shapes(7))))
    assert count <= 3


def test_keypoints_of_a_mirrored_picture_agree_once_they_are_mirrored() -> None:
    image = shapes(6)
    mirrored = points(compared(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    plain, _ = agreed(mirrored, points(compared(image)))
    count, found = agreed(mirrored.mirrored, points(compared(image)))
    assert count > 3 * max(1, plain)
    assert found is not None and np.abs(found - np.diag([-1, 1, 1])).max() < 0.03


def test_a_picture_without_keypoints_agrees_with_nothing() -> None:
    plain = points(compared(Image.new("RGB", (100, 100), "red")))
    assert plain.looks.shape == (0, 128)
    assert agreed(plain, points(compared(shapes(1)))) == (0, None)
    assert affine(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)) == (0, None)


def test_looks_survive_a_byte() -> None:
    looks = points(compared(shapes(1))).looks
    again = unpacked_looks(packed_looks(looks))
    assert (again * looks).sum(axis=1).min() > 0.99


def test_a_transform_that_crushes_a_picture_is_chance() -> None:
    luck = np.random.default_rng(0)
    source = luck.uniform(-1, 1, (40, 2)).astype(np.float32)
    assert affine(source, source * 0.5)[0] == 40
    assert affine(source, source * (0.5, 0.1)) == (0, None)
    assert affine(source, source * 3) == (0, None)


# Evidence ---------------------------------------------------------------------------------------

SHARE = st.floats(0, 1)
SIGNS = st.builds(
    Signs, layout=SHARE, agreement=st.floats(-1, 1.2), light=st.floats(-1, 1.2),
    points=st.integers(0, 300), area=st.floats(0, 20), mirrored=st.booleans(),
)  # fmt: skip


@given(signs=SIGNS, more=st.integers(1, 50), better=st.floats(0.01, 0.5))
def test_more_agreement_and_more_keypoints_never_speak_against(
    signs: Signs, more: int, better: float
) -> None:
    found = evidence(signs)
    assert math.isfinite(found)
    assert evidence(replace(signs, points=signs.points + more)) > found
    assert evidence(replace(signs, agreement=signs.agreement + better)) >= found
    assert evidence(replace(signs, layout=signs.layout + better)) > found
    assert evidence(replace(signs, mirrored=False)) >= found


@settings(max_examples=50)
@given(found=st.floats(-1e6, 1e6), floor=st.floats(0, 10), more=st.floats(0, 5))
def test_a_score_is_a_share_and_one_half_where_chance_ends(
    found: float, floor: float, more: float
) -> None:
    assert 0 <= score(found, floor) <= score(found + more, floor) <= 1
    assert score(floor, floor) == 0.5


def test_chance_ends_where_one_stranger_of_ten_comes_to() -> None:
    many = [n / 100 for n in range(1000)]
    assert floor_of(many) == pytest.approx(9.0, abs=0.2)
    assert floor_of([]) == pytest.approx(floor_of([0.0]), abs=0.2)
    assert floor_of([*many[:20], 99.0]) < 4, "one outlier among few moves little"


def test_the_best_gains_what_it_stands_out_by_up_to_a_bound() -> None:
    assert lead(3.0, None) == 0
    assert lead(3.0, 2.5) == 0.5
    assert lead(9.0, 1.0) == lead(99.0, 1.0)
