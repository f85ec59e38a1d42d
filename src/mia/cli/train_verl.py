"""Training on verl, as the commands of `mia train` start it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from mia.cli import options
from mia.cli.output import note
from mia.cli.train_options import Place, Wishes, exercises_of, order_of, set_fields
from mia.cli.train_show import verl_run
from mia.errors import ConfigError, InputError, MissingError
from mia.training.versions import Role


class Rig(NamedTuple):
    """What only verl is told."""

    cluster: Sequence[str]
    overrides: Sequence[str]
    all_weights: bool

    @property
    def given(self) -> list[str]:
        """The options that somebody gave."""
        named = {
            "--cluster": self.cluster,
            "--override": self.overrides,
            "--all-weights": self.all_weights,
        }
        return [option for option, value in named.items() if value]


def on_verl(role: Role, wishes: Wishes, place: Place, rig: Rig, *, dry_run: bool) -> None:
    """Trains on verl, and ends with what verl ended with. Raises ConfigError and InputError for
    what cannot be done there."""
    from mia.training.verl import job as jobs
    from mia.training.verl.launch import launch

    if wishes.base is None:
        raise InputError("say what to train: --base, a model's folder that every node can read")
    begins = None if wishes.begins in (None, "none") else Path(wishes.begins)
    if begins is not None and not begins.is_dir():
        raise ConfigError(
            f"on verl a run begins with a folder of PEFT's form, or none: {begins} is no folder"
            " (mia policy export writes one of a version)"
        )
    place, chosen = place.beside(wishes.data), wishes._replace(preset=wishes.preset or role)
    exercises, kept = exercises_of(role, chosen, place)
    order, shop = order_of(role, chosen, exercises), place.workshop()
    shop.check_judge(order)
    job = jobs.Job(
        role=role,
        preset=order.preset,
        name=order.name,
        model=Path(wishes.base).absolute(),
        exercises=tuple(exercises),
        held_out=tuple(kept),
        folder=shop.folder(order.name),
        settings=place.config and place.config.absolute(),
        home=options.settings(place.config, place.home).settings.folder,
        corpus=place.corpus and place.corpus.absolute(),
        web=place.web,
        reward=wishes.reward,
        begins=begins and begins.absolute(),
        cluster=set_fields(jobs.Cluster(), rig.cluster, "--cluster"),
        overrides=tuple(rig.overrides),
        weights="all" if rig.all_weights else "adapter",
    )
    code = launch(job, dry_run, note)
    if code:
        raise typer.Exit(code)


def merge(
    name: Annotated[str, typer.Argument(help="Of the run.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must be new.")],
    step: Annotated[
        int | None, typer.Option("--step", help="After which step; default: the last checkpoint.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check, and say the command.")
    ] = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Turns a checkpoint of a run on verl into files of Hugging Face's form, by verl's own merger,
    in verl's environment. An adapter is in the folder's lora_adapter, for `mia policy import`."""
    from mia.training.verl.composed import INSTALL
    from mia.training.verl.export import export

    if out.exists():
        raise InputError(f"there is something at {out} already; name a new folder")
    if not dry_run and find_spec("verl") is None:
        raise MissingError(f"verl's merger is not here; call this in verl's environment: {INSTALL}")
    folder = options.settings(config, home).settings.folder / "training" / name
    code, run = export(folder, out, dry_run, step, print), verl_run(folder)
    if code:
        raise typer.Exit(code)
    adapter = out / "lora_adapter"
    if run is not None and adapter.is_dir():
        note(f"to use it: mia policy import {run.role} {adapter} --base {run.model}")
    elif not dry_run:
        note(f"all weights are in {out}; serve them as they are")
