"""What the commands of `mia train` take, and what it comes to: exercises and an order."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import typer
from msgspec.structs import asdict, fields, replace

from mia.cli import options
from mia.cli.output import note
from mia.datasets.named import named
from mia.errors import InputError
from mia.team import House
from mia.training import tiny
from mia.training.bench import Order
from mia.training.embedded import EMBEDDED
from mia.training.exercises import Exercise, read_exercises
from mia.training.presets import PRESETS, Preset
from mia.training.sinks import SINKS
from mia.training.stages import steps_of
from mia.training.versions import Role
from mia.training.workshop import Workshop
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
    str | None,
    typer.Option(
        "--from",
        help="The adapter to begin with: current, shipped, none, a version, a folder; default:"
        " current, on verl none.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Of the run; the same name goes on with it.")
]
Reward = Annotated[
    str,
    typer.Option(
        "--reward",
        help="package.module:function, or a service's address http://..., in place of the role's"
        " own.",
    ),
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
    begins: str | None
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

    def beside(self, data: str | None) -> Place:
        """With the corpus that came with the data, where no other is named, as `mia train collect`
        has it. Raises what `named` raises."""
        if data is None or self.corpus or self.web:
            return self
        home = options.settings(self.config, self.home).settings.folder
        return self._replace(corpus=named(data, home).corpus)

    def workshop(self) -> Workshop:
        """Raises what settings and options raise."""
        loaded = options.settings(self.config, self.home)
        return Workshop(loaded, options.corpus_of(loaded, self.corpus), self.web, note)


def preset_of(role: Role, wishes: Wishes) -> Preset:
    """The numbers of a run. Raises InputError for those that no run can have."""
    chosen = _preset_name(role, wishes)
    if chosen not in PRESETS:
        raise InputError(f"there is no preset {chosen!r}; there are {', '.join(PRESETS)}")
    return set_fields(PRESETS[chosen], wishes.changes, "--set")


def _preset_name(role: Role, wishes: Wishes) -> str:
    return wishes.preset or f"embedded-{role}"


def exercises_of(role: Role, wishes: Wishes, place: Place) -> tuple[list[Exercise], list[Exercise]]:
    """What is learned from, and what is held out. Right answers are asked for where the role's own
    reward needs them; under the supervision of a judge what is learned from has none, so that no
    judge can look at them."""
    preset = preset_of(role, wishes)
    if wishes.preset == tiny.NAME:
        every = tiny.exercises(64)
        return list(every), list(every[:8])
    if wishes.data is None:
        raise InputError("say what to learn from: --data (see: mia train collect --help)")
    judged = preset.supervision != "gold"
    gold = not (judged or wishes.reward or wishes.supervised)
    loaded = options.settings(place.config, place.home)
    with House(loaded, corpus=place.corpus, web=place.web, say=note) as house:
        if wishes.held_out or not wishes.supervised:  # a warm-up acts only to be measured
            note_demo(house)
        every = _read(wishes.data, house, gold)
        kept = [] if wishes.held_out is None else _read(wishes.held_out, house, gold)
    if wishes.held_out is None:
        kept = every[_HELD_OUT - 1 :: _HELD_OUT][:_MOST_HELD_OUT]
        if not kept and preset.check_every:
            note(
                f"of fewer than {_HELD_OUT} questions none is held out, so progress is not"
                " measured; name what to measure it on with --held-out"
            )
    known = {exercise.question.id for exercise in kept}
    left = [exercise for exercise in every if exercise.question.id not in known]
    if not left:
        raise InputError(f"{wishes.data} has nothing to learn from that is not held out")
    return list(map(_unanswered, left)) if judged else left, kept


def note_demo(house: House) -> None:
    """Says so where nobody named what to search."""
    if not (house.corpus or house.settings.search.corpus or house.sources.on_the_web):
        note("what is searched is the demo's corpus; name your own with --corpus")


def _read(data: str, house: House, gold: bool) -> list[Exercise]:
    given = named(data, house.settings.folder)
    return list(read_exercises(given.questions, house.beside(given.questions), gold=gold))


def _unanswered(exercise: Exercise) -> Exercise:
    return replace(exercise, question=replace(exercise.question, answers=None))


def order_of(role: Role, wishes: Wishes, exercises: Sequence[Exercise]) -> Order:
    """What is to be trained. Raises InputError for numbers that no run can have."""
    chosen, preset = _preset_name(role, wishes), preset_of(role, wishes)
    base = tiny.NAME if chosen == tiny.NAME else wishes.base or EMBEDDED
    steps_of(preset, len(exercises))
    return Order(
        role=role,
        preset=preset,
        name=wishes.name or f"{role}-{chosen}" + ("-warmup" if wishes.supervised else ""),
        data=wishes.data or tiny.NAME,
        base=base,
        begins=wishes.begins or "current",
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
            meant = "".join(f"; did you mean {one}?" for one in get_close_matches(name, known, 1))
            raise InputError(
                f"{option} {change}: {option} takes NAME=VALUE with one of"
                f" {', '.join(sorted(known))}{meant if name not in known else ''}"
            )
        said[name] = value
    try:
        return msgspec.convert(said, type(noun), strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"{option} {' '.join(changes)}: {error}") from error
