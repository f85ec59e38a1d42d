"""`mia train show`: how runs of training go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.train_progress import Curve
from mia.errors import InputError
from mia.report.training import draw
from mia.training.run_files import HEAD
from mia.training.stages import progress_of
from mia.training.verl.job import Files
from mia.training.verl.launch import Identity
from mia.training.versions import Role
from mia.types import Noun, decode


class OnVerl(Noun, frozen=True, kw_only=True, omit_defaults=False):
    """A run that verl carries out: how it goes is in verl's own log."""

    engine: str = "verl"
    role: Role
    model: str
    folder: str
    checkpoints: list[int]
    """After which steps there are some."""


def show(
    name: Annotated[str | None, typer.Argument(help="Of a run; none to list them.")] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw it here: .png, .svg or .pdf.")
    ] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """How a run goes, or which runs there are."""
    shelf = options.settings(config, home).settings.folder / "training"
    names = sorted(path.parent.name for path in shelf.glob(f"*/{HEAD}"))
    if name is None:
        _list(names, as_json)
        return
    if name not in names:
        raise InputError(f"there is no run {name!r}; there are: {', '.join(names) or 'none yet'}")
    elsewhere = verl_run(shelf / name)
    if elsewhere is None:
        _ours(shelf / name, figure, as_json)
    elif figure is not None:
        raise InputError(f"{name} is a run on verl: what there is to draw is in verl's own log")
    elif as_json:
        print_json(elsewhere)
    else:
        after = ", ".join(map(str, elsewhere.checkpoints))
        done = f"checkpoints after steps {after}" if after else "no checkpoint yet"
        print(
            f"{elsewhere.role} on verl, {elsewhere.model}: {done}, in {elsewhere.folder}; how it"
            " goes is in verl's own log"
        )


def _list(names: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json({"runs": names})
    elif names:
        print("\n".join(names))
    else:
        note("no run of training yet; see: mia train --help")


def _ours(folder: Path, figure: Path | None, as_json: bool) -> None:
    told = progress_of(folder)
    if figure is not None:
        draw(told, figure)
        note(f"drew {figure}")
    if as_json:
        print_json(told._asdict())
        return
    curve = Curve(console())
    for check in told.checks:
        curve.add(check)
    curve.summary(told)


def verl_run(folder: Path) -> OnVerl | None:
    """What a run on verl is; None for a run of another kind, or none. Raises InputError for one
    that cannot be read."""
    files = Files(folder)
    if not files.agents.is_file():
        return None
    try:
        identity = decode(files.identity.read_bytes(), Identity)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{folder} is a run on verl that cannot be read: {error}") from error
    return OnVerl(
        role=identity.crew.role,
        model=identity.model,
        folder=str(files.checkpoints),
        checkpoints=sorted(files.steps()),
    )
