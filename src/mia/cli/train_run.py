"""The commands of `mia train` that train."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from msgspec.structs import asdict, replace

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.cli.policy_look import doubt_of
from mia.cli.policy_memory import put_to_use
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
)
from mia.cli.train_progress import Curve
from mia.cli.train_verl import Rig, on_verl
from mia.errors import ConfigError, InputError
from mia.executors.react.tagged import Tagged
from mia.team import House
from mia.training import tiny
from mia.training.bench import Order
from mia.training.exercises import Exercise
from mia.training.sinks import check as check_log
from mia.training.sinks import sink
from mia.training.stages import Watch, steps_of
from mia.training.versions import ROLES, Role, Version
from mia.training.workshop import Trained, Workshop, alternate
from mia.types import Noun

_GOES_ON = "Killed or interrupted, the same command goes on where it stopped."
_SPEAKING: Mapping[Role, tuple[int, float]] = {"planner": (20, 1e-2), "executor": (200, 1e-3)}
"""Steps and learning rate of the tiny world's warm-up: it begins with a model that cannot speak. An
Executor is right only where two letters are, so it has to come upon each of them often enough: it
is taught for longer and more gently, until it says all of them about equally often."""

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
        begins: From = None,
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
        place, rig = (
            Place(corpus, web, config, home),
            Rig(cluster or (), override or (), all_weights),
        )
        if engine == "verl":
            ours = {"--device": device != "auto", "--log": logs, "--promote": promote,
                    "--json": as_json}  # fmt: skip
            _refuse([option for option, given in ours.items() if given], "local")
            on_verl(role, wishes, place, rig, dry_run=dry_run)
        elif engine == "local":
            _refuse(rig.given, "verl")
            _one(role, wishes, place, promote=promote, dry_run=dry_run, as_json=as_json)
        else:
            raise InputError(f"there is no engine {engine!r}; there are local and verl")

    train.__doc__ = f"{_STAGES[role]}\n\n{_GOES_ON}"
    return train


def _check_tiny(wishes: Wishes, place: Place) -> None:
    """Raises ConfigError for what the tiny world has of its own, which would have no effect."""
    ours = {"--data": wishes.data, "--held-out": wishes.held_out, "--base": wishes.base,
            "--corpus": place.corpus, "--web": place.web}  # fmt: skip
    given = [option for option, value in ours.items() if value]
    if wishes.preset == tiny.NAME and given:
        raise ConfigError(
            f"{', '.join(given)}: not with --preset {tiny.NAME}, a world with questions, a base and"
            " a search of its own"
        )


def _refuse(given: Sequence[str], engine: str) -> None:
    """Raises ConfigError for options of the other engine, which would have no effect."""
    if given:
        raise ConfigError(f"{', '.join(given)}: only with --engine {engine}")


def warmup(
    role: Annotated[Role, typer.Argument(help="Who is to learn.")],
    data: Data = None,
    held_out: HeldOut = None,
    preset: PresetName = None,
    changes: Set = None,
    base: Base = None,
    begins: From = None,
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
    begins: From = None,
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
    _check_tiny(wishes, place)
    place = place.beside(data)
    shop = place.workshop()
    exercises, kept = exercises_of("planner", wishes, place)  # both have the same supervision
    watch = _watch(shop, wishes.logs, as_json)
    warm = _warmed(shop, wishes, exercises, ROLES, watch)

    def order(role: Role, number: int) -> Order:
        each = order_of(role, wishes, exercises)
        begun = str(warm[role].version.number) if role in warm else each.begins
        run = wishes.name or f"alternate-{wishes.preset or 'embedded'}"
        return replace(each, name=f"{run}-{number}-{role}", begins=begun)

    with _interruptible():
        done = alternate(shop, order, rounds, lambda _: exercises, kept, watch)
    _tell(shop, done, order("planner", 1).base, promote=promote, as_json=as_json)


def _one(
    role: Role, wishes: Wishes, place: Place, *, promote: bool, dry_run: bool, as_json: bool
) -> None:
    _check_tiny(wishes, place)
    for log in wishes.logs:
        check_log(log)
    place = place.beside(wishes.data)
    shop = place.workshop()
    exercises, kept = exercises_of(role, wishes, place)
    order = order_of(role, wishes, exercises)
    shop.check(order)
    if dry_run:
        _plan(shop, order, exercises, kept)
        return
    watch = _watch(shop, wishes.logs, as_json)
    if not wishes.supervised:
        warm = _warmed(shop, wishes, exercises, (role,), watch)
        if role in warm:
            order = replace(order, begins=str(warm[role].version.number))
    with _interruptible():
        done = shop.run(order, exercises, kept, watch(order))
    _tell(shop, [done], order.base, promote=promote, as_json=as_json)


@contextmanager
def _interruptible() -> Generator[None]:
    """Says what becomes of a run that a key was pressed in."""
    try:
        yield
    except KeyboardInterrupt:
        note("\nstopped; the same command goes on from the last checkpoint")
        raise


def _warmed(
    shop: Workshop,
    wishes: Wishes,
    exercises: Sequence[Exercise],
    roles: Sequence[Role],
    watch: Callable[[Order], Watch],
) -> dict[Role, Trained]:
    """The tiny world's policies after they have learned to speak; nobody else's."""
    if wishes.preset != tiny.NAME or wishes.begins not in (None, "current"):
        return {}
    warm: dict[Role, Trained] = {}
    for role in roles:
        order = order_of(role, wishes, exercises)
        if shop.shelf(role, order.base).current() is not None:
            continue
        steps, rate = _SPEAKING[role]
        speaking = replace(order.preset, learning_rate=rate, questions=32, epochs=float(steps),
                           steps=steps, check_every=0)  # fmt: skip
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


def _plan(
    shop: Workshop, order: Order, exercises: Sequence[Exercise], kept: Sequence[Exercise]
) -> None:
    print_json(
        {
            "order": {**asdict(order), "preset": asdict(order.preset)},
            "corpus": shop.corpus and str(shop.corpus),
            "exercises": len(exercises),
            "held_out": len(kept),
            "steps": steps_of(order.preset, len(exercises)),
        }
    )


def _tell(
    shop: Workshop, done: Sequence[Trained], base: str, *, promote: bool, as_json: bool
) -> None:
    """What was published, and what to do with it."""
    last: dict[Role, Version] = {each.version.role: each.version for each in done}
    if promote:
        for role, version in last.items():
            put_to_use(shop, role, base, version.number)
    doubts = {role: doubt_of(shop.loaded, role) for role in last if promote and base != tiny.NAME}
    if as_json:
        print_json({"published": [trained.version for trained in done], "promoted": promote})
    else:
        for trained in done:
            version = trained.version
            told = [f"{name}: {value:.3f}" for name, value in version.checks.items()]
            checks = ", ".join(dict.fromkeys((*told[:1], *told[-1:]))) or "not measured"
            note(f"version {version.number} of the {version.role} is published ({checks})")
        for role, version in last.items():
            note(f"{role} {version.number}: {_use(shop, version, base, promote=promote)}")
    for role, doubt in doubts.items():
        if doubt:
            note(f"{role}: but {doubt}")
    if "executor" in last and base != tiny.NAME and _speaks_otherwise(shop):
        note(
            'executor: it learned to call tools in tags; use it with protocol = "text" under'
            " [executor]"
        )


def _speaks_otherwise(shop: Workshop) -> bool:
    """Whether an Executor learned to call tools otherwise than these settings have it call them."""
    with House(shop.loaded) as house:
        return not (house.stepwise or isinstance(house.protocol, Tagged))


def _use(shop: Workshop, version: Version, base: str, *, promote: bool) -> str:
    """What a version is good for."""
    if base == tiny.NAME:
        where = shop.shelf(version.role, base).folder(version.number)
        return f"of use to the tiny world only; it is in {where}"
    if promote:
        return "is promoted"
    return f"to use it: mia policy promote {version.role} {version.number}"
