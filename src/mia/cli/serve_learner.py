"""What `mia serve reference --role learner` puts together: the published streaming trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from mia.cli.output import note
from mia.cli.serving import Access, Built, Place, needed, serve
from mia.cli.train_options import set_fields
from mia.config import Loaded
from mia.errors import InputError
from mia.team import House
from mia.training import run_files, tiny
from mia.training.bench import Bench, Order, bench_of
from mia.training.embedded import EMBEDDED
from mia.training.presets import PRESETS
from mia.training.workshop import Workshop

if TYPE_CHECKING:
    from mia.servers.reference_submitted import Step
    from mia.servers.reference_trainer import Trainer

AGENT, REWARD = "http://127.0.0.1:5000", "http://127.0.0.1:6000"
"""Where the agent and the reward service listen."""
_AGENT_URL, _REWARD_URL = "TTRL_AGENT_BASE", "GT_REWARD_URL"
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="streaming, ttrl, ...; default: embedded-online for the embedded model, else"
        " streaming.",
    ),
]
NAME = "streaming"
"""The run that is gone on with where nobody names one."""


def learner(loaded: Loaded, place: Place, order: Order) -> None:
    """Serves the published streaming trainer. Raises what can be wrong with an order."""
    shop = Workshop(loaded, None, False, note)
    folder = loaded.settings.folder / "published" / "learner" / order.name
    with ExitStack() as opened:

        def build(house: House, access: Access) -> Built:
            with needed():
                from mia.servers.reference_learner import app
            shop.check(order)
            own = opened.enter_context(shop.house(order, folder))
            run_files.begin(folder, order)
            bench = bench_of(order, shop.ground(order), own, folder, None)
            trainer = _trainer(bench, house, opened)
            return Built(app(trainer, *access), _told(bench, trainer))

        serve(loaded, place, build)


def order_of(
    preset: str | None,
    changes: Sequence[str],
    base: str | None,
    begins: str | None,
    name: str | None,
    device: str,
) -> Order:
    """What is to be trained. Raises InputError for a preset that there is not."""
    chosen = preset or ("embedded-online" if base is None else "streaming")
    if chosen not in PRESETS:
        raise InputError(f"there is no preset {chosen!r}; there are {', '.join(PRESETS)}")
    return Order(
        role="planner",
        preset=set_fields(PRESETS[chosen], changes, "--set"),
        name=name or NAME,
        data="what clients submitted",
        base=base or EMBEDDED,
        begins=begins or "current",
        device=device,
    )


def _trainer(bench: Bench, house: House, opened: ExitStack) -> Trainer:
    from mia.servers.reference_partners import Partners
    from mia.servers.reference_submitted import Submitted
    from mia.servers.reference_trainer import Parts, Trainer

    secrets = house.loaded.secrets
    partners = Partners(
        secrets.key(_AGENT_URL) or AGENT,
        secrets.key(_REWARD_URL) or REWARD,
        secrets.key(house.settings.server.token_env),
    )
    house.sources.connections.push_async_callback(partners.aclose)
    submitted = Submitted(bench.folder / "submitted.db")
    opened.callback(submitted.close)
    small = bench.order.base == tiny.NAME
    return Trainer(
        Parts(
            actor=bench.actor,
            planner=tiny.TinyPlanner if small else bench.house.planner_on,
            learner=bench.learner,
            preset=bench.order.preset,
            partners=partners,
            submitted=submitted,
            checkpoint=bench.folder / "checkpoint",
            publish=lambda steps: publish(bench, submitted.digest(), steps),
        )
    )


def publish(bench: Bench, learned: str, steps: Sequence[Step]) -> int:
    """Makes a version of the policy as it is after these updates, `learned` being the digest of
    what they learned from; its number. The same updates are one version."""
    folder = bench.folder / "versions" / f"{bench.learner.version:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    metrics = {"updates": float(bench.learner.version)}
    if steps:
        metrics |= {"questions": float(sum(step.questions for step in steps))}
        metrics |= {"reward at last": steps[-1].reward, "drift": steps[-1].drift}
    version = dataclasses.replace(bench, folder=folder).publish("online", learned, metrics, {})
    return version.number


def _told(bench: Bench, trainer: Trainer) -> str:
    """What a learner works with, in words."""
    preset, order = bench.order.preset, bench.order
    return (
        f"the published streaming trainer: {trainer.updates} updates in {order.name!r}; planner"
        f" {bench.ground.base.origin.name}, {preset.questions} questions of {preset.attempts}"
        f" attempts each update"
    )
