"""The commands of `mia train` that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
from msgspec.structs import asdict, fields, replace

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.train_progress import Curve
from mia.datasets.named import named
from mia.errors import ConfigError, InputError
from mia.team import House
from mia.training import tiny
from mia.training.exercises import Exercise, read_exercises
from mia.training.presets import PRESETS, Preset
from mia.training.stages import progress_of, steps_of
from mia.training.versions import ROLES, Role
from mia.training.workshop import EMBEDDED, Order, Trained, Workshop, alternate

_HELD_OUT = 10
"""One exercise in so many is held out where no others are given."""
_MOST_HELD_OUT = 100
_WARM_STEPS = 20
"""Of the tiny world, which begins with a model that cannot speak."""

_Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Exercises (mia train collect), a data set, a file of questions or the published"
        " Parquet. Not needed for --preset tiny.",
    ),
]
_HeldOut = Annotated[
    str | None,
    typer.Option(
        "--held-out",
        help="What progress is measured on; default: each tenth of the data, 100 at most.",
    ),
]
_PresetName = Annotated[
    str | None,
    typer.Option("--preset", help=f"{', '.join(PRESETS)}; default: embedded-ROLE."),
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="A number of the preset, as learning_rate=2e-5; may be repeated."),
]
_Base = Annotated[
    str | None,
    typer.Option("--base", help="A model's folder in Hugging Face's form; default: the embedded."),
]
_From = Annotated[
    str,
    typer.Option(
        "--from", help="The adapter to begin with: current, shipped, none, a version, a folder."
    ),
]
_Name = Annotated[
    str | None, typer.Option("--name", help="Of the run; the same name goes on with it.")
]
_Reward = Annotated[
    str, typer.Option("--reward", help="package.module:function, in place of the role's own.")
]
_Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps.")]
_Promote = Annotated[bool, typer.Option("--promote", help="Put what comes of it to use at once.")]
_Engine = Annotated[
    str, typer.Option("--engine", help="local (this machine), or verl (a cluster).")
]
_DryRun = Annotated[
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


def planner(
    data: _Data = None,
    held_out: _HeldOut = None,
    preset: _PresetName = None,
    changes: _Set = None,
    base: _Base = None,
    begins: _From = "current",
    name: _Name = None,
    reward: _Reward = "",
    device: _Device = "auto",
    promote: _Promote = False,
    engine: _Engine = "local",
    dry_run: _DryRun = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Stage 2: the Planner learns, the Executor stays as it is (GRPO).

    Killed or interrupted, the same command goes on where it stopped.
    """
    wishes = Wishes(data, held_out, preset, changes or (), base, begins, name, reward, device)
    place = Place(corpus, web, config, home)
    if engine == "verl":
        _on_verl("planner", wishes, place, dry_run)
        return
    _one("planner", wishes, place, promote=promote, dry_run=dry_run, as_json=as_json)


def executor(
    data: _Data = None,
    held_out: _HeldOut = None,
    preset: _PresetName = None,
    changes: _Set = None,
    base: _Base = None,
    begins: _From = "current",
    name: _Name = None,
    reward: _Reward = "",
    device: _Device = "auto",
    promote: _Promote = False,
    engine: _Engine = "local",
    dry_run: _DryRun = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Stage 1: the Executor learns, the Planner stays as it is (GRPO).

    Killed or interrupted, the same command goes on where it stopped.
    """
    wishes = Wishes(data, held_out, preset, changes or (), base, begins, name, reward, device)
    place = Place(corpus, web, config, home)
    if engine == "verl":
        _on_verl("executor", wishes, place, dry_run)
        return
    _one("executor", wishes, place, promote=promote, dry_run=dry_run, as_json=as_json)


def warmup(
    role: Annotated[Role, typer.Argument(help="Who is to learn.")],
    data: _Data = None,
    held_out: _HeldOut = None,
    preset: _PresetName = None,
    changes: _Set = None,
    base: _Base = None,
    begins: _From = "current",
    name: _Name = None,
    device: _Device = "auto",
    promote: _Promote = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Supervised: learns what was said in runs that were right (mia train collect --runs)."""
    wishes = Wishes(
        data, held_out, preset, changes or (), base, begins, name, "", device, supervised=True
    )
    place = Place(corpus, web, config, home)
    _one(role, wishes, place, promote=promote, dry_run=False, as_json=as_json)


def both(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of both stages.")] = 1,
    data: _Data = None,
    held_out: _HeldOut = None,
    preset: _PresetName = None,
    changes: _Set = None,
    base: _Base = None,
    begins: _From = "current",
    name: _Name = None,
    device: _Device = "auto",
    promote: _Promote = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Rounds of both stages: the Executor learns with the Planner frozen, then the Planner with
    that Executor frozen, each going on from what the last stage came to."""
    wishes = Wishes(data, held_out, preset, changes or (), base, begins, name, "", device)
    place = Place(corpus, web, config, home)
    shop = place.workshop()
    exercises, kept = _exercises(wishes, place)
    warm = _warmed(shop, wishes, exercises, kept, ROLES, as_json)

    def order(role: Role, number: int) -> Order:
        each = _order(role, wishes, exercises)
        begun = str(warm[role].version.number) if role in warm else each.begins
        run = wishes.name or f"alternate-{wishes.preset or 'embedded'}"
        return replace(each, name=f"{run}-{number}-{role}", begins=begun)

    done = alternate(shop, order, rounds, lambda _: exercises, kept, _watch(as_json))
    _tell(shop, done, promote=promote, as_json=as_json)


def show(
    name: Annotated[str | None, typer.Argument(help="Of a run; none to list them.")] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """How a run goes, or which runs there are."""
    shelf = options.settings(config, home).settings.folder / "training"
    if name is None:
        names = sorted(path.parent.name for path in shelf.glob("*/run.json"))
        if as_json:
            print_json({"runs": names})
        else:
            note(f"runs: {', '.join(names) or 'none yet'}")
        return
    told = progress_of(shelf / name)
    if as_json:
        print_json(told)
        return
    curve = Curve(console())
    for check in told.checks:
        curve.add(check)
    curve.summary(told)


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


def _one(
    role: Role, wishes: Wishes, place: Place, *, promote: bool, dry_run: bool, as_json: bool
) -> None:
    shop = place.workshop()
    exercises, kept = _exercises(wishes, place)
    order = _order(role, wishes, exercises)
    if dry_run:
        _plan(order, exercises, kept)
        return
    if not wishes.supervised:
        warm = _warmed(shop, wishes, exercises, kept, (role,), as_json)
        if role in warm:
            order = replace(order, begins=str(warm[role].version.number))
    done = shop.run(order, exercises, kept, _watch(as_json)(order))
    _tell(shop, [done], promote=promote, as_json=as_json)


def _warmed(
    shop: Workshop,
    wishes: Wishes,
    exercises: Sequence[Exercise],
    kept: Sequence[Exercise],
    roles: Sequence[Role],
    as_json: bool,
) -> dict[Role, Trained]:
    """The tiny world's policies after they have learned to speak; nobody else's."""
    if wishes.preset != tiny.NAME or wishes.begins != "current":
        return {}
    warm: dict[Role, Trained] = {}
    for role in roles:
        if shop.shelf(role).current() is not None:
            continue
        order = _order(role, wishes, exercises)
        speaking = replace(order.preset, learning_rate=1e-2, questions=32, epochs=_WARM_STEPS / 2,
                           steps=_WARM_STEPS, check_every=0)  # fmt: skip
        run = f"{wishes.name or tiny.NAME}-{role}-speaking"
        order = replace(order, name=run, supervised=True, begins="none", preset=speaking)
        warm[role] = shop.run(order, exercises, (), _watch(as_json)(order))
    return warm


def _exercises(wishes: Wishes, place: Place) -> tuple[list[Exercise], list[Exercise]]:
    """What is learned from, and what is held out."""
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


def _order(role: Role, wishes: Wishes, exercises: Sequence[Exercise]) -> Order:
    chosen = wishes.preset or f"embedded-{role}"
    if chosen not in PRESETS:
        raise InputError(f"there is no preset {chosen!r}; there are {', '.join(PRESETS)}")
    preset = _changed(PRESETS[chosen], wishes.changes)
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


def _changed(preset: Preset, changes: Sequence[str]) -> Preset:
    """A preset with single numbers of it set otherwise. Raises InputError."""
    known = {field.name for field in fields(Preset)}
    said: dict[str, Any] = asdict(preset)
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known or not value:
            raise InputError(f"--set takes NAME=VALUE with one of {', '.join(sorted(known))}")
        said[name] = value
    try:
        return msgspec.convert(said, Preset, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"--set {' '.join(changes)}: {error}") from error


def _watch(as_json: bool) -> Any:
    """Who is shown how a run goes."""

    def watch(order: Order) -> Any:
        if as_json:
            return lambda noun: print_json({"run": order.name, **asdict(noun)})
        return Curve(console(err=True), order.name).add

    return watch


def _plan(order: Order, exercises: Sequence[Exercise], kept: Sequence[Exercise]) -> None:
    print_json(
        {
            "order": order,
            "exercises": len(exercises),
            "held_out": len(kept),
            "steps": steps_of(order.preset, len(exercises)),
        }
    )


def _tell(shop: Workshop, done: Sequence[Trained], *, promote: bool, as_json: bool) -> None:
    """What was published, and what to do with it."""
    last = {trained.version.role: trained.version for trained in done}
    if promote:
        for role, version in last.items():
            shop.shelf(role).promote(version.number)
    if as_json:
        print_json({"published": [trained.version for trained in done], "promoted": promote})
        return
    for trained in done:
        version = trained.version
        checks = ", ".join(f"{name}: {value:.3f}" for name, value in version.checks.items())
        what = f"version {version.number} of the {version.role}"
        note(f"{what} is published ({checks or 'not measured'})")
    for role, version in last.items():
        how = "is in use" if promote else f"to use it: mia policy promote {role} {version.number}"
        note(f"{role} {version.number}: {how}")


def _on_verl(role: Role, wishes: Wishes, place: Place, dry_run: bool) -> None:
    raise ConfigError("the engine verl is not wired yet")
