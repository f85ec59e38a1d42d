"""Puts whoever learns behind a server together from settings, and lets it work (`mia serve
--learn`)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import structs

from mia.errors import StoreError
from mia.journal import fingerprint
from mia.memories.workflow.forget import Choice, forget
from mia.team import House
from mia.training import run_files
from mia.training.absorption import absorbed, cases, made, settle
from mia.training.behind import Behind
from mia.training.bench import Bench, Order, asking, bench_of, digest_of
from mia.training.buffer import Buffer, Learned, Outcome
from mia.training.casting import reward_of
from mia.training.exercises import Exercise
from mia.training.giving_way import GivingWay
from mia.training.guards import Limits
from mia.training.heeding import Heeding
from mia.training.inbox import Inbox
from mia.training.keeping import Attempted, Keeper
from mia.training.presets import Preset
from mia.training.press import Footing, Press, Stand
from mia.training.rollouts import Actor
from mia.training.streams import has_weights
from mia.training.study import Study
from mia.training.trying import Trying
from mia.training.versions import Version
from mia.training.workshop import Workshop
from mia.types import Noun, decode

Judging = Literal["feedback", "panel", "vote"]
"""Who says what was right where people say nothing: nobody, and then nothing is learned; a panel of
models; or the attempts at a question, by what most of them answer."""
NAME = "served"
"""The run where nobody names one."""
KEEP = 5
"""Versions of a run that stay."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is to be learned behind a server, and how."""

    order: Order
    """The Planner's. Its preset's supervision says nothing here: it goes with each question."""
    judging: Judging = "feedback"
    limits: Limits = field(default_factory=lambda: Limits(canary_every=1))
    """With canary questions every policy is looked at before anybody is answered by it."""
    canary: Sequence[Exercise] = ()
    keep: int = KEEP
    a_day: int = 0
    """The most questions to explore on a day (UTC); 0 for no bound."""


class Begun(Noun, frozen=True, omit_defaults=False):
    """What a run is, and must still be when it goes on."""

    preset: Preset
    """But for its supervision."""
    base: str
    reward: str
    said: str
    """With what it was to begin."""
    begins: str
    """With what that was when it began: `current` is soon the run's own."""
    canary: str
    """A digest."""


def inbox_of(home: Path, name: str) -> Path:
    """The file between a server and its learner."""
    return home / "learning" / name / "inbox.db"


def check(shop: Workshop, service: Service) -> None:
    """Raises ConfigError, InputError and MissingError for what can be known before any work."""
    order = service.order
    shop.folder(order.name, "learning")
    if service.judging == "panel":
        preset = structs.replace(order.preset, supervision="judge")
        shop.check_judge(structs.replace(order, preset=preset, reward=""))
    if has_weights(shop, order):
        shop.check(_of_people(order))


def _of_people(order: Order) -> Order:
    return structs.replace(order, preset=structs.replace(order.preset, supervision="gold"))


def learn_behind(
    shop: Workshop,
    service: Service,
    say: Callable[[str], None],
    until: Callable[[], asyncio.Event],
    way: GivingWay | None = None,
) -> None:
    """Learns behind a server, from where it was left, until the event that `until` makes in the
    loop is set; it gives way where it is asked to. Raises what learning raises; StoreError where
    another process works at the run."""
    check(shop, service)
    service = replace(service, order=_of_people(service.order))
    order, folder = service.order, shop.folder(service.order.name, "learning")
    with shop.house(order, folder) as house, ExitStack() as opened:
        bench, begun = _begun(shop, service, folder, house)
        if way is not None and bench is not None:
            way.over(bench.ground.base.model)
        work = _Work(service, house, folder, bench, begun, say, opened)
        house.complete(work(until))


def _begun(
    shop: Workshop, service: Service, folder: Path, house: House
) -> tuple[Bench | None, Begun]:
    """What a run stands on: what it began with stays, whatever is in use meanwhile."""
    order, weights = service.order, has_weights(shop, service.order)
    head = folder / run_files.HEAD
    before = _read(head)
    begins = order.begins if before is None or before.said != order.begins else before.begins
    resolved = structs.replace(order, begins=begins)
    ground = shop.ground(resolved) if weights else None
    if ground is not None and begins == "current":
        begins = str(ground.parent) if ground.parent else str(ground.begins or "none")
    begun = Begun(
        preset=order.preset, base=order.base, reward=order.reward, said=order.begins,
        begins=begins, canary=digest_of(service.canary),
    )  # fmt: skip
    try:
        run_files.begin(folder, begun)
    except OSError as error:
        raise StoreError(f"{folder}: {error}") from error
    bench = None if ground is None else bench_of(resolved, ground, house, folder, None)
    return bench, begun


def _read(head: Path) -> Begun | None:
    try:
        return decode(head.read_bytes(), Begun)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{head} cannot be read: {error}") from error


@dataclass(frozen=True)
class _Work:
    """Everybody who takes part, put together."""

    service: Service
    house: House
    folder: Path
    bench: Bench | None
    begun: Begun
    say: Callable[[str], None]
    opened: ExitStack

    async def __call__(self, until: Callable[[], asyncio.Event]) -> None:
        await self._behind().work(until())

    def _behind(self) -> Behind:
        house, service, settings = self.house, self.service, self.house.settings
        about = fingerprint(self.begun)
        inbox = self.opened.enter_context(
            closing(Inbox(inbox_of(settings.folder, service.order.name)))
        )
        buffer = self.opened.enter_context(closing(Buffer(self.folder / "attempted.db", about)))
        order, bench = service.order, self.bench
        actor = asking(order, house) if bench is None else bench.actor
        study = None if bench is None else self._study(bench, actor, buffer)
        press = None
        stand = Stand(self.folder, Footing(version=0 if bench is None else bench.shelf.in_use))

        def forgets(episodes: Sequence[str]) -> None:
            choice = Choice(episodes=tuple(episodes))
            forget(house.store, settings.namespace, choice, reason="contradicted by feedback")

        heeding = Heeding(
            inbox=inbox, episode=house.journal.episode, memory=house.memory, forget=forgets,
            buffer=buffer,
        )  # fmt: skip
        if bench is not None and study is not None:
            press = self._press(bench, study, stand, heeding)
        return Behind(
            inbox=inbox,
            heeding=heeding,
            trying=self._trying(actor, about),
            keeper=Keeper(memory=house.memory, plan_memory=house.plan_memory, buffer=buffer),
            buffer=buffer, stand=stand, study=study, press=press, say=self.say,
            a_day=service.a_day,
        )  # fmt: skip

    def _trying(self, actor: Actor, about: str) -> Trying:
        house, service, order = self.house, self.service, self.service.order
        return Trying(
            actor=actor, captioner=house.captioner(), memory=house.memory,
            attempted=Attempted(lambda run: house.run(f"serve {order.name}{run}", about)),
            preset=order.preset, limits=service.limits,
            by_answer=reward_of("planner", "gold", order.reward),
            by_judge=reward_of("planner", "judge", order.reward),
            judge=house.judge() if house.engines.endpoint("judge") is not None else None,
            always=service.judging != "feedback", vote=service.judging == "vote",
        )  # fmt: skip

    def _study(self, bench: Bench, actor: Actor, buffer: Buffer) -> Study:
        service = self.service
        return Study(
            actor=actor, preset=service.order.preset, buffer=buffer, learner=bench.learner,
            checkpoint=self.folder / "checkpoint", limits=service.limits, canary=service.canary,
        )  # fmt: skip

    def _press(self, bench: Bench, study: Study, stand: Stand, heeding: Heeding) -> Press:
        house, run = self.house, self.service.order.name

        def publish(updates: Sequence[Learned], parent: int) -> Awaitable[Version]:
            return _published(bench, study, heeding, updates, parent)

        def settles() -> None:
            if any(version.absorbed for version in bench.shelf.versions()):
                settle(house.store, bench.shelf)

        return Press(
            shelf=bench.shelf, study=study, stand=stand, publish=publish, settle=settles,
            adapter=bench.adapter, run=run, keep=self.service.keep,
        )  # fmt: skip


async def _published(
    bench: Bench, study: Study, heeding: Heeding, updates: Sequence[Learned], parent: int
) -> Version:
    """The version that these updates came to, over the one they went on from: made once, found
    again afterwards."""
    last, number = updates[-1], updates[-1].update.version
    folder = bench.folder / "versions" / f"{number:06d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error}") from error
    one = replace(bench, folder=folder, ground=bench.ground._replace(parent=parent))
    known = one.published()
    if known is not None:
        return known
    outcomes = [each for update in updates
                for each in study.buffer.of_batch(update.update.version)]  # fmt: skip
    asked = filter(None, (heeding.question(each.episode) for each in outcomes))
    tried = cases(outcomes, asked)
    seed = f"{bench.order.preset.seed} {number}"
    without = await absorbed(bench.actor, tried, study.limits.absorb, seed)
    digest = hashlib.sha256("\n".join(each.question for each in outcomes).encode()).hexdigest()
    return one.publish("online", digest, *_numbers(last, outcomes), made(outcomes), without)


def _numbers(
    last: Learned, outcomes: Sequence[Outcome]
) -> tuple[dict[str, float], dict[str, float]]:
    """What a version says of how learning went, and what it was measured at."""
    metrics = {"updates": float(last.update.version), "questions": float(len(outcomes))}
    known = [one.right for one in outcomes if one.right is not None]
    if known:
        metrics["right"] = sum(known) / len(known)
    if not last.canary:
        return metrics, {}
    name = f"accuracy of {len(last.canary)} after {last.update.version} updates"
    return metrics, {name: sum(last.canary) / len(last.canary)}
