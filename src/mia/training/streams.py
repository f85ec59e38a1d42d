"""Puts a run of learning while answering together from settings, and carries it out (`mia
learn`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from mia.errors import ConfigError
from mia.journal import fingerprint
from mia.memories.none import NoMemory, NoPlanMemory
from mia.team import House
from mia.training.absorption import absorbed, cases, made
from mia.training.bench import Bench, Order, bench_of
from mia.training.buffer import Buffer, Learned, Outcome
from mia.training.casting import cast, reward_of
from mia.training.embedded import EMBEDDED, SHIPPED
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.learner import Learner
from mia.training.online import Online, Watch
from mia.training.rollouts import Actor
from mia.training.versions import Version
from mia.training.voices import asked
from mia.training.voting import unjudged
from mia.training.workshop import Workshop
from mia.types import Question, encode

Judging = Literal["gold", "panel", "vote"]
"""Who says what was right: right answers; a panel of models that see none; or the attempts at a
question, by what most of them answer."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is to be learned from, and how."""

    order: Order
    """The Planner's. Its preset's supervision goes with `judging`."""
    questions: Sequence[Question]
    judging: Judging = "gold"
    limits: Limits = field(default_factory=Limits)
    canary: Sequence[Exercise] = ()
    memory: bool = True
    """Whether what was met is remembered and recalled."""
    weights: bool = True
    """Whether the policy's weights learn, where they are here."""

    @property
    def stream(self) -> list[Question]:
        """The questions as those who take part see them."""
        if self.judging == "gold":
            return list(self.questions)
        return [replace(question, answers=None) for question in self.questions]


class Taught(NamedTuple):
    """What came of it."""

    outcomes: tuple[Outcome, ...]
    learned: tuple[Learned, ...]
    version: Version | None
    """None where no weights learned."""


def has_weights(shop: Workshop, order: Order) -> bool:
    """Whether the Planner's weights are here: they are not where an endpoint plays it, unless
    somebody names a base."""
    models = shop.loaded.settings.models
    return order.base != EMBEDDED or (models.planner or models.default) is None


def check(shop: Workshop, course: Course) -> None:
    """Raises ConfigError, InputError and MissingError for what can be known before any work."""
    shop.folder(course.order.name, "learning")
    if course.judging == "gold" and not all(each.answers for each in course.questions):
        lacks = sum(not each.answers for each in course.questions)
        raise ConfigError(
            f"{lacks} questions have no right answer; learn without any (--judge vote, or panel"
            " where an endpoint can judge)"
        )
    if course.judging != "vote":
        shop.check_judge(course.order)
    if has_weights(shop, course.order):
        shop.check(replace(course.order, preset=replace(course.order.preset, supervision="gold")))
    elif course.order.preset.supervision == "gold" and course.order.reward:
        reward_of("planner", "gold", course.order.reward)


def learn(shop: Workshop, course: Course, watch: Watch) -> Taught:
    """Answers a stream and learns from it, from where it was left, and publishes the policy that it
    comes to. Raises what learning raises."""
    check(shop, course)
    order, folder = course.order, shop.folder(course.order.name, "learning")
    if not has_weights(shop, order):
        with shop.house(order, folder) as house:
            return Taught(*_answered(course, house, _asking(course, house), None, folder, watch),
                          version=None)  # fmt: skip
    ground = shop.ground(order)
    with shop.house(order, folder) as house:
        bench = bench_of(order, ground, house, folder, None)
        learner = bench.learner if course.weights else None
        told = _answered(course, house, bench.actor, learner, folder, watch)
        if learner is None or not learner.version:
            return Taught(*told, version=None)
        return Taught(*told, version=bench.published() or _published(course, bench, *told))


def _published(
    course: Course, bench: Bench, outcomes: tuple[Outcome, ...], learned: tuple[Learned, ...]
) -> Version:
    """What the run came to, with what it does without of that which memory made of it."""
    spec = bench.spec([Exercise(question=each) for each in course.questions], course.canary)
    tried, limits = cases(outcomes, course.stream), course.limits
    without = bench.house.complete(
        absorbed(bench.actor, tried, limits.absorb, str(course.order.preset.seed))
    )
    return bench.publish(
        "online", spec.exercises, *_numbers(outcomes, learned), made(outcomes), without
    )


def _asking(course: Course, house: House) -> Actor:
    """Everybody where the Planner is a model behind an endpoint."""
    executor = house.engines.model("executor", SHIPPED["executor"] if house.stepwise else None)
    order = course.order
    return Actor(
        role="planner",
        cast=cast(house, "planner", lambda: executor),
        voice=asked(house.engines.model("planner")),
        reward=reward_of("planner", order.preset.supervision, order.reward),
    )


def _answered(
    course: Course,
    house: House,
    actor: Actor,
    learner: Learner | None,
    folder: Path,
    watch: Watch,
) -> tuple[tuple[Outcome, ...], tuple[Learned, ...]]:
    order, about = course.order, _about(course, house)
    vote = actor.reward if course.judging == "vote" else None
    with closing(Buffer(folder / "attempted.db", about)) as buffer:
        online = Online(
            actor=actor if vote is None else actor._replace(reward=unjudged),
            captioner=house.captioner(),
            memory=house.memory if course.memory else NoMemory(),
            plan_memory=house.plan_memory if course.memory else NoPlanMemory(),
            router=house.router(),
            record=lambda run: house.run(f"learn {order.name}{run}", about),
            preset=order.preset,
            buffer=buffer,
            learner=learner,
            checkpoint=folder / "checkpoint",
            limits=course.limits,
            canary=course.canary,
            audit=house.judge() if vote is not None and house.engines.endpoint("judge") else None,
            vote=vote,
            gold={} if course.judging == "gold" else
                 {each.id: each.answers for each in course.questions if each.answers},
        )  # fmt: skip
        house.complete(online.learn(course.stream, watch))
        return buffer.outcomes(), buffer.learned()


def _about(course: Course, house: House) -> str:
    """Everything that decides what comes of a question."""
    digest = hashlib.sha256()
    for noun in (*course.questions, *course.canary):
        digest.update(encode(noun) + b"\n")
    order = course.order
    return fingerprint(
        order.preset, course.limits, course.judging, order.base, order.begins, order.reward,
        f"memory {course.memory}, weights {course.weights}", digest.hexdigest(),
        house.fingerprint(b"", memory=course.memory),
    )  # fmt: skip


def _numbers(
    outcomes: Sequence[Outcome], learned: Sequence[Learned]
) -> tuple[dict[str, float], dict[str, float]]:
    """What a version says of the run that it came from: how it went, and what it was measured
    at."""
    updates = [each for each in learned if each.update.version]
    known = [one.right for one in outcomes if one.right is not None]
    metrics = {"updates": float(len(updates)), "questions": float(len(outcomes))}
    if known:
        metrics["right"] = sum(known) / len(known)
    canaries = {
        f"accuracy of {len(each.canary)} after {each.update.version} updates": sum(each.canary)
        / len(each.canary)
        for each in learned
        if each.canary
    }
    return metrics, canaries
