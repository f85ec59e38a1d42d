"""A picture encoder of the user's own, in an index and beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.image_search.onnx_model import pooling
from tests.image_search.painting import compared, jpeg, shapes

from mia.errors import ConfigError, MissingError
from mia.image_search.building import Built, build
from mia.image_search.encoder import Encoder
from mia.image_search.local import LocalImages
from mia.image_search.stored import Stored
from mia.pictures import Pictures

SIDE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "encoder.onnx"
    path.write_bytes(pooling((1, 3, SIDE, SIDE), (1, 3, 4, 4), kernel=8))
    return path


@pytest.fixture(scope="module")
def encoder(model: Path) -> Encoder:
    return Encoder(model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("few")
    for n in range(5):
        shapes(n).save(place / f"shapes_{n}.png")
    return place


def test_a_vector_is_one_direction(encoder: Encoder) -> None:
    vector = encoder.vector(compared(shapes(1)))
    assert vector.shape == (3,) and np.linalg.norm(vector) == pytest.approx(1)
    assert vector @ encoder.vector(compared(shapes(1).resize((90, 70)))) > 0.99


def test_what_a_model_expects_stands_beside_it(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "encoder.onnx"
    other.write_bytes(model.read_bytes())
    plain, pixels = Encoder(model), compared(shapes(1))
    for setting in ('"image_mean": [0.9, 0, 0]', '"image_std": [0.1, 1, 1]'):
        (tmp_path / "preprocessor_config.json").write_text(f'{{{setting}, "do_resize": true}}')
        configured = Encoder(other)
        assert plain.name != configured.name
        assert not np.allclose(plain.vector(pixels), configured.vector(pixels))
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": 1}')
    with pytest.raises(ConfigError, match="preprocessor_config"):
        Encoder(other)


def test_a_file_that_is_no_encoder_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no image encoder"):
        Encoder(tmp_path / "none.onnx")
    path = tmp_path / "bad.onnx"
    path.write_text("Dear Ann")
    with pytest.raises(ConfigError, match="is no ONNX model"):
        Encoder(path)
    path.write_bytes(pooling((1, 4, SIDE, SIDE), (1, 4, 4, 4), kernel=8))
    with pytest.raises(ConfigError, match="takes no pictures"):
        Encoder(path)


def test_an_index_keeps_vectors_and_takes_them_over(
    encoder: Encoder, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "index"
    assert build(folder, out, encoder) == Built(pictures=5, new=5)
    assert build(folder, out, encoder) == Built(pictures=5, new=0)
    stored = Stored(out)
    assert stored.vectors is not None and stored.vectors.shape == (5, 3)
    assert stored.manifest.encoder == encoder.name
    assert -1 < stored.manifest.vector_floor < 1
    assert build(folder, out) == Built(pictures=5, new=5), "without it, it is another index"


async def test_what_only_the_encoder_finds_alike_is_found(
    encoder: Encoder, folder: Path, tmp_path: Path, pictures: Pictures
) -> None:
    out = tmp_path / "index"
    build(folder, out, encoder)
    shuffled = np.random.default_rng(0).permutation(np.asarray(shapes(1)).reshape(-1, 3))
    asked = pictures.keep(jpeg(Image.fromarray(shuffled.reshape(240, 320, 3))))
    blind = await LocalImages(out, pictures).similar(asked, 3)
    seeing = await LocalImages(out, pictures, encoder).similar(asked, 3)
    assert blind == ()
    assert seeing[0].title == "shapes 1"
    same = await LocalImages(out, pictures, encoder).similar(pictures.keep(jpeg(shapes(2))), 3)
    assert same[0].title == "shapes 2"
    assert all(0.5 <= hit.score <= 1 for hit in (*seeing, *same))


def test_an_index_that_was_built_without_the_encoder_says_so(
    encoder: Encoder, index: Path, pictures: Pictures
) -> None:
    with pytest.raises(ConfigError, match="build it again"):
        LocalImages(index, pictures, encoder)
