"""The embedded model as a base that is trained over, and the adapters that came with MIA."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from mia.config import Settings
from mia.engines import ADAPTERS, adapters
from mia.errors import ConfigError, MissingError
from mia.models.catalog import known, place
from mia.models.gguf_adapters import Heads, from_gguf
from mia.models.torch_local import Origin
from mia.models.torch_local import from_gguf as base_from_gguf
from mia.sources import Say
from mia.training.bases import weights_sha256
from mia.training.versions import Role

EMBEDDED = "smollm2-135m"
SHIPPED: Mapping[Role, str] = {role: adapter for adapter, role in ADAPTERS.items()}
"""The adapter that came with MIA for a role."""


def weights(settings: Settings) -> Path:
    """The file of the embedded model: what the settings name, or what is fetched. Raises
    ConfigError and MissingError where it is not there."""
    if settings.smollm2:
        named = Path(settings.smollm2)
        if not named.is_file():
            raise ConfigError(f"smollm2 names {named} in the settings, and there is no such file")
        return named
    fetched = place(settings.folder, known(EMBEDDED))
    if not fetched.is_file():
        raise MissingError(f"{EMBEDDED} is not here yet; run: mia models get {EMBEDDED}")
    return fetched


def base_of(settings: Settings, say: Say) -> Path:
    """The folder of the embedded model in a form that can be trained over, made when it is not
    there; of another file of weights than the fetched one it is another folder. Raises what
    `weights` raises, and ModelError."""
    file, fetched = weights(settings), known(EMBEDDED).sha256
    notes = settings.folder / "policies" / "bases.json"
    sha256 = weights_sha256(file, notes) if settings.smollm2 else fetched
    known_one = sha256 == fetched
    models = settings.folder / "models" / "hf"
    folder = models / (EMBEDDED if known_one else f"{EMBEDDED}-{sha256[:8]}")
    origin = Origin(name=EMBEDDED if known_one else file.stem, sha256=sha256)
    if not folder.is_dir():
        say("turning the embedded model into a form that can be trained ...")
    return base_from_gguf(file, origin, folder)


def shipped(role: Role, folder: Path, heads: Heads) -> Path:
    """The folder with the adapter that came with MIA for a role, in PEFT's form. It is made when it
    is not there, and there whole or not at all."""
    if not folder.is_dir():
        half = folder.with_name(f"{folder.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        from_gguf(adapters()[SHIPPED[role]], half, heads)
        half.replace(folder)
    return folder
