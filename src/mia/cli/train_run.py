"""The commands of `mia train` that train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict, replace

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.train_options import (
    AllWeights,
    Base,
    Cluster,
    Data,
    Device,
    DryRun,
    Engine,
    From,
    HeldOut,
    Logs,
    Name,
    Override,
    Place,
    PresetName,
    Promote,
    Reward,
    Set,
    Wishes,
    exercises_of,
    order_of,
    set_fields,
)
from mia.cli.train_progress import Curve
from mia.errors import InputError
from mia.report.training import draw
from mia.training import tiny
from mia.training.exercises import Exercise
from mia.training.sinks import sink
from mia.training.stages import Watch, progress_of, steps_of
from mia.training.versions import ROLES, Role, Version
from mia.training.workshop import Order, Trained, Workshop, alternate
from mia.types import Noun

_GOES_ON = "Killed or interrupted, the same command goes on where it stopped."
_WARM_STEPS = 20
"""Of the tiny world, which begins with a model that cannot speak."""

_STAGES: Mapping[Role, str] = {
    "executor": "Stage 1: the Executor learns, the Planner stays as it is (GRPO).",
    "planner": "Stage 2: the Planner learns, the Executor stays as it is (GRPO).",
}


def stage(role: Role) -> Callable[..., None]:
    """The command that trains a role."""

    def train(
        data: Data = None,
        held_out: HeldOut = None,
        preset: PresetName = None,
        changes: Set = None,
        base: Base = None,
        begins: From = "current",
        name: Name = None,
        reward: Reward = "",
        device: Device = "auto",
        logs: Logs = None,
        promote: Promote = False,
        engine: Engine = "local",
        cluster: Cluster = None,
        override: Override = None,
        all_weights: AllWeights = False,
        dry_run: DryRun = False,
        corpus: options.Corpus = None,
        web: options.Web = False,
        as_json: options.Json = False,
        config: options.Config = None,
        home: options.Home = None,
    ) -> None:
        wishes = Wishes(
            data, held_out, preset, changes or (), base, begins, name, reward, device,
            logs=logs or (),
        )  # fmt: skip
        place = Place(corpus, web, config, home)
        if engine == "verl":
            _on_verl(
                role, wishes, place, cluster or (), override or (), dry_run, all_weights=all_weights
            )
        elif engine == "local":
            _one(role, wishes, place, promote=promote, dry_run=dry_run, as_json=as_json)
        else:
            raise InputError(f"there is no engine {engine!r}; there are local and verl")

    train.__doc__ = f"{_STAGES[role]}\n\n{_GOES_ON}"
    return train


def warmup(
    role: Annotated[Role, typer.Argument(help="Who is to learn.")],
    data: Data = None,
    held_out: HeldOut = None,
    preset: PresetName = None,
    changes: Set = None,
    base: Base = None,
    begins: From = "current",
    name: Name = None,
    device: Device = "auto",
    logs: Logs = None,
    promote: Promote = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Supervised: learns what was said in runs that were right (mia train collect --runs)."""
    wishes = Wishes(
        data, held_out, preset, changes or (), base, begins, name, "", device, supervised=True,
        logs=logs or (),
    )  # fmt: skip
    place = Place(corpus, web, config, home)
    _one(role, wishes, place, promote=promote, dry_run=False, as_json=as_json)


def both(
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of both stages.")] = 1,
    data: Data = None,
    held_out: HeldOut = None,
    preset: PresetName = None,
    changes: Set = None,
    base: Base = None,
    begins: From = "current",
    name: Name = None,
    device: Device = "auto",
    logs: Logs = None,
    promote: Promote = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Rounds of both stages: the Executor learns with the Planner frozen, then the Planner with
    that Executor frozen, each going on from what the last stage came to."""
    wishes = Wishes(
        data, held_out, preset, changes or (), base, begins, name, "", device, logs=logs or ()
    )
    place = Place(corpus, web, config, home)
    shop = place.workshop()
    exercises, kept = exercises_of(wishes, place)
    watch = _watch(shop, wishes.logs, as_json)
    warm = _warmed(shop, wishes, exercises, ROLES, watch)

    def order(role: Role, number: int) -> Order:
        each = order_of(role, wishes, exercises)
        begun = str(warm[role].version.number) if role in warm else each.begins
        run = wishes.name or f"alternate-{wishes.preset or 'embedded'}"
        return replace(each, name=f"{run}-{number}-{role}", begins=begun)

    done = alternate(shop, order, rounds, lambda _: exercises, kept, watch)
    _tell(shop, done, promote=promote, as_json=as_json)


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
    if name is None:
        names = sorted(path.parent.name for path in shelf.glob("*/run.json"))
        if as_json:
            print_json({"runs": names})
        else:
            note(f"runs: {', '.join(names) or 'none yet'}")
        return
    told = progress_of(shelf / name)
    if figure is not None:
        draw(told, figure)
    if as_json:
        print_json(told)
        return
    curve = Curve(console())
    for check in told.checks:
        curve.add(check)
    curve.summary(told)


def _one(
    role: Role, wishes: Wishes, place: Place, *, promote: bool, dry_run: bool, as_json: bool
) -> None:
    shop = place.workshop()
    exercises, kept = exercises_of(wishes, place)
    order = order_of(role, wishes, exercises)
    if dry_run:
        _plan(order, exercises, kept)
        return
    shop.check(order)
    watch = _watch(shop, wishes.logs, as_json)
    if not wishes.supervised:
        warm = _warmed(shop, wishes, exercises, (role,), watch)
        if role in warm:
            order = replace(order, begins=str(warm[role].version.number))
    done = shop.run(order, exercises, kept, watch(order))
    _tell(shop, [done], promote=promote, as_json=as_json)


def _warmed(
    shop: Workshop,
    wishes: Wishes,
    exercises: Sequence[Exercise],
    roles: Sequence[Role],
    watch: Callable[[Order], Watch],
) -> dict[Role, Trained]:
    """The tiny world's policies after they have learned to speak; nobody else's."""
    if wishes.preset != tiny.NAME or wishes.begins != "current":
        return {}
    warm: dict[Role, Trained] = {}
    for role in roles:
        if shop.shelf(role).current() is not None:
            continue
        order = order_of(role, wishes, exercises)
        speaking = replace(order.preset, learning_rate=1e-2, questions=32, epochs=_WARM_STEPS / 2,
                           steps=_WARM_STEPS, check_every=0)  # fmt: skip
        run = f"{wishes.name or tiny.NAME}-{role}-speaking"
        order = replace(order, name=run, supervised=True, begins="none", preset=speaking)
        warm[role] = shop.run(order, exercises, (), watch(order))
    return warm


def _watch(shop: Workshop, logs: Sequence[str], as_json: bool) -> Callable[[Order], Watch]:
    """Who is shown how a run goes. Raises what a log raises that cannot be written."""

    def watch(order: Order) -> Watch:
        def told(noun: Noun) -> None:
            print_json({"run": order.name, **asdict(noun)})

        shown = told if as_json else Curve(console(err=True), order.name).add
        watches = [shown, *(sink(log, shop.home / "logs", order.name) for log in logs)]

        def every(noun: Noun) -> None:
            for each in watches:
                each(noun)

        return every

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
    last: dict[Role, Version] = {each.version.role: each.version for each in done}
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


def _on_verl(
    role: Role,
    wishes: Wishes,
    place: Place,
    cluster: Sequence[str],
    overrides: Sequence[str],
    dry_run: bool,
    *,
    all_weights: bool,
) -> None:
    from mia.training.verl import job as jobs
    from mia.training.verl.launch import launch

    if wishes.base is None:
        raise InputError("say what to train: --base, a model's folder that every node can read")
    loaded = options.settings(place.config, place.home)
    exercises, kept = exercises_of(wishes, place)
    chosen = wishes._replace(preset=wishes.preset or role)
    order = order_of(role, chosen, exercises)
    home = loaded.settings.folder
    begins = wishes.begins
    job = jobs.Job(
        role=role,
        preset=order.preset,
        name=order.name,
        model=Path(wishes.base).absolute(),
        exercises=tuple(exercises),
        held_out=tuple(kept),
        folder=place.workshop().folder(order.name),
        settings=place.config and place.config.absolute(),
        home=home,
        corpus=place.corpus and place.corpus.absolute(),
        web=place.web,
        reward=wishes.reward,
        begins=Path(begins).absolute() if Path(begins).is_dir() else None,
        cluster=set_fields(jobs.Cluster(), cluster, "--cluster"),
        overrides=tuple(overrides),
        weights="all" if all_weights else "adapter",
    )
    code = launch(job, dry_run, note)
    if code:
        raise typer.Exit(code)
