"""What the commands of `mia train` take, and what it comes to: exercises and an order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import typer
from msgspec.structs import asdict, fields

from mia.cli import options
from mia.cli.output import note
from mia.datasets.named import named
from mia.errors import InputError
from mia.team import House
from mia.training import tiny
from mia.training.exercises import Exercise, read_exercises
from mia.training.presets import PRESETS
from mia.training.sinks import SINKS
from mia.training.stages import steps_of
from mia.training.versions import Role
from mia.training.workshop import EMBEDDED, Order, Workshop
from mia.types import Noun

N = TypeVar("N", bound=Noun)

_HELD_OUT = 10
"""One exercise in so many is held out where no others are given."""
_MOST_HELD_OUT = 100

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Exercises (mia train collect), a data set, a file of questions or the published"
        " Parquet. Not needed for --preset tiny.",
    ),
]
HeldOut = Annotated[
    str | None,
    typer.Option(
        "--held-out",
        help="What progress is measured on; default: each tenth of the data, 100 at most.",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option("--preset", help=f"{', '.join(PRESETS)}; default: embedded-ROLE."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A number of the preset, as learning_rate=2e-5; may be repeated."),
]
Base = Annotated[
    str | None,
    typer.Option("--base", help="A model's folder in Hugging Face's form; default: the embedded."),
]
From = Annotated[
    str,
    typer.Option(
        "--from", help="The adapter to begin with: current, shipped, none, a version, a folder."
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Of the run; the same name goes on with it.")
]
Reward = Annotated[
    str, typer.Option("--reward", help="package.module:function, in place of the role's own.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")]
Logs = Annotated[
    list[str] | None,
    typer.Option("--log", help=f"Show the numbers in {' or '.join(SINKS)} too; may be repeated."),
]
Promote = Annotated[bool, typer.Option("--promote", help="Put what comes of it to use at once.")]
Engine = Annotated[str, typer.Option("--engine", help="local (this machine), or verl (a cluster).")]
Cluster = Annotated[
    list[str] | None,
    typer.Option("--cluster", help="For verl: as gpus=8, nodes=2, address=http://head:8265."),
]
Override = Annotated[
    list[str] | None, typer.Option("--override", help="For verl: a Hydra override of its own.")
]
AllWeights = Annotated[
    bool, typer.Option("--all-weights", help="For verl: train all weights, not an adapter.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only check everything, and say what would be done.")
]


class Wishes(NamedTuple):
    """What a person asked for."""

    data: str | None
    held_out: str | None
    preset: str | None
    changes: Sequence[str]
    base: str | None
    begins: str
    name: str | None
    reward: str = ""
    device: str = "auto"
    supervised: bool = False
    logs: Sequence[str] = ()


class Place(NamedTuple):
    """Where it is to happen."""

    corpus: Path | None
    web: bool
    config: Path | None
    home: Path | None

    def workshop(self) -> Workshop:
        """Raises what settings and options raise."""
        loaded = options.settings(self.config, self.home)
        return Workshop(loaded, options.corpus_of(loaded, self.corpus), self.web, note)


def exercises_of(wishes: Wishes, place: Place) -> tuple[list[Exercise], list[Exercise]]:
    """What is learned from, and what is held out."""
    if wishes.preset is not None and wishes.preset not in PRESETS:
        raise InputError(f"there is no preset {wishes.preset!r}; there are {', '.join(PRESETS)}")
    if wishes.preset == tiny.NAME:
        every = tiny.exercises(64)
        return list(every), list(every[:8])
    if wishes.data is None:
        raise InputError("say what to learn from: --data (see: mia train collect --help)")
    loaded = options.settings(place.config, place.home)
    with House(loaded, say=note) as house:
        every = _read(wishes.data, house)
        kept = [] if wishes.held_out is None else _read(wishes.held_out, house)
    if wishes.held_out is None:
        kept = every[_HELD_OUT - 1 :: _HELD_OUT][:_MOST_HELD_OUT]
    known = {exercise.question.id for exercise in kept}
    left = [exercise for exercise in every if exercise.question.id not in known]
    if not left:
        raise InputError(f"{wishes.data} has nothing to learn from that is not held out")
    return left, kept


def _read(data: str, house: House) -> list[Exercise]:
    given = named(data, house.settings.folder)
    return list(read_exercises(given.questions, house.beside(given.questions), gold=True))


def order_of(role: Role, wishes: Wishes, exercises: Sequence[Exercise]) -> Order:
    """What is to be trained. Raises InputError for numbers that no run can have."""
    chosen = wishes.preset or f"embedded-{role}"
    preset = set_fields(PRESETS[chosen], wishes.changes, "--set")
    base = tiny.NAME if chosen == tiny.NAME else wishes.base or EMBEDDED
    steps_of(preset, len(exercises))
    return Order(
        role=role,
        preset=preset,
        name=wishes.name or f"{role}-{chosen}" + ("-warmup" if wishes.supervised else ""),
        data=wishes.data or tiny.NAME,
        base=base,
        begins=wishes.begins,
        reward=wishes.reward,
        device=wishes.device,
        supervised=wishes.supervised,
    )


def set_fields(noun: N, changes: Sequence[str], option: str) -> N:
    """A noun with single fields set otherwise, as NAME=VALUE says. Raises InputError."""
    known = {field.name for field in fields(noun)}
    said: dict[str, Any] = asdict(noun)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known or not value:
            raise InputError(f"{option} takes NAME=VALUE with one of {', '.join(sorted(known))}")
        said[name] = value
    try:
        return msgspec.convert(said, type(noun), strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{option} {' '.join(changes)}: {error}") from error
