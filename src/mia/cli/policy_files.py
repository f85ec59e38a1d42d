"""The commands of `mia policy` that take versions out, and put adapters in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.cli.policy_look import Number, Roles, number_of, opened
from mia.config import Loaded
from mia.errors import ConfigError, InputError, MissingError
from mia.models.catalog import KNOWN
from mia.models.gguf_adapters import CONFIG, WEIGHTS, Heads, heads_of, to_gguf
from mia.models.merging import merge
from mia.models.torch_local import Origin, origin_of
from mia.training import embedded
from mia.training.bases import weights_sha256
from mia.training.versions import GGUF, Draft, Version, on_disk

Form = Literal["peft", "gguf", "merged"]
Base = Annotated[
    Path | None,
    typer.Option(
        "--base", help="The model it belongs to: a folder in Hugging Face's form, or a GGUF."
    ),
]


def export(
    role: Roles,
    number: Number,
    form: Annotated[
        Form,
        typer.Option("--form", help="PEFT's folder, llama.cpp's adapter, or whole weights."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must be new.")],
    base: Base = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Writes a version for others to use. Merged weights need the base, and so does a GGUF where
    the version has none."""
    one = opened(config, home, role)
    version = one.verify(number_of(one, number))
    taken = _Taken(
        version, one.folder(version.number), base, _notes(options.settings(config, home))
    )
    if out.exists():
        raise InputError(f"there is something at {out} already; name a new folder")
    half = out.with_name(f"{out.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    try:
        with on_disk(f"cannot export to {out}"):
            half.mkdir(parents=True)
            _WRITERS[form](taken, half)
            half.rename(out)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    if as_json:
        print_json({"role": role, "number": version.number, "form": form, "out": str(out)})
    else:
        print(f"wrote {role} {version.number} to {out}")


class _Taken(NamedTuple):
    """A version that is taken out."""

    version: Version
    folder: Path
    """Of its files."""
    given: Path | None
    """The base, where somebody names one."""
    notes: Path
    """Of what weights files hold."""

    def check_peft(self) -> None:
        """Raises InputError for a version that is not in PEFT's form."""
        missing = [name for name in (CONFIG, WEIGHTS) if name not in self.version.files]
        if missing:
            raise InputError(f"{_called(self.version)} has no {missing[0]}")

    def base(self) -> Path:
        """The base: the one given, or the one it was trained over. Raises ConfigError for another
        one, MissingError where there is none."""
        noted = self.version.config.get("base_path")
        base = self.given or (Path(noted) if isinstance(noted, str) else None)
        if base is None or not base.exists():
            where = f"; they are not at {base}" if base else ""
            raise MissingError(
                f"this needs the weights of {self.version.base}{where}; name them with --base"
            )
        if _origin(base, self.notes).sha256 != self.version.base_sha256:
            raise ConfigError(
                f"{base} is not the base of {_called(self.version)}, which is {self.version.base};"
                " name that with --base"
            )
        return base


def _called(version: Version) -> str:
    return f"version {version.number} of {version.role}"


def _peft(taken: _Taken, out: Path) -> None:
    taken.check_peft()
    for name in taken.version.files:
        if name != GGUF:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(taken.folder / name, out / name)


def _gguf(taken: _Taken, out: Path) -> None:
    if GGUF in taken.version.files:
        shutil.copyfile(taken.folder / GGUF, out / GGUF)
        return
    taken.check_peft()
    to_gguf(taken.folder, out / GGUF, heads_of(taken.base()))


def _merged(taken: _Taken, out: Path) -> None:
    taken.check_peft()
    base = taken.base()
    if not base.is_dir():
        raise ConfigError(
            f"merging takes a base in Hugging Face's form, and {base} is no folder; name one with"
            " --base"
        )
    merge(base, taken.folder, out)


_WRITERS: dict[Form, Callable[[_Taken, Path], None]] = {
    "peft": _peft,
    "gguf": _gguf,
    "merged": _merged,
}


def import_(
    role: Roles,
    folder: Annotated[Path, typer.Argument(help="A LoRA adapter in PEFT's form.")],
    base: Base = None,
    data: Annotated[str, typer.Option("--data", help="What it learned from, for people.")] = "",
    parent: Annotated[
        int, typer.Option("--parent", min=0, help="The version that training went on from.")
    ] = 0,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Makes a version of an adapter that was trained elsewhere. Without --base it is one of the
    embedded model."""
    loaded = options.settings(config, home)
    one = opened(config, home, role)
    if parent:
        one.version(parent)
    weights = base or embedded.weights(loaded.settings)
    if not weights.exists():
        raise MissingError(f"no model at {weights}; name the adapter's with --base")
    heads = _heads(weights)

    def fill(into: Path) -> None:
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise InputError(f"no adapter in PEFT's form in {folder}: it has no {name}")
            shutil.copyfile(folder / name, into / name)
        if heads is not None:
            to_gguf(into, into / GGUF, heads)

    origin = _origin(weights, _notes(loaded))
    draft = Draft(
        base=origin.name,
        base_sha256=origin.sha256,
        made_by="imported",
        parent=parent,
        data=data,
        config={"base_path": str(weights.resolve())},
    )
    version = one.publish(draft, fill)
    if as_json:
        print_json({"role": role, "number": version.number})
    else:
        print(f"{role}: {version.number}; to use it: mia policy promote {role} {version.number}")


def _notes(loaded: Loaded) -> Path:
    return loaded.settings.folder / "policies" / "bases.json"


def _heads(base: Path) -> Heads | None:
    """None for models that llama.cpp's form of adapters is not made for here."""
    try:
        return heads_of(base)
    except InputError as error:
        note(f"the version will have no {GGUF}: {error}")
        return None


def _origin(base: Path, notes: Path) -> Origin:
    """What a base is, by the hash of its weights."""
    if base.is_dir():
        return origin_of(base)
    sha256 = weights_sha256(base, notes)
    names = {model.sha256: model.name for model in KNOWN}
    return Origin(name=names.get(sha256, base.stem), sha256=sha256)
