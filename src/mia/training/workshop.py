"""Runs of training, from settings: checked, locked, carried out, and published."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from mia.config import Loaded
from mia.errors import ConfigError, InputError
from mia.locks import alone
from mia.models import gguf_adapters, torch_local
from mia.models.shared import Replies
from mia.sources import Say
from mia.team import House
from mia.training import embedded, tiny
from mia.training.bench import Bench, Ground, Order, bench_of, ground_of, shelf_of, spoken
from mia.training.casting import other, reward_of
from mia.training.embedded import EMBEDDED
from mia.training.exercises import Exercise
from mia.training.stages import Stage, Watch, progress_of, supervise, train
from mia.training.versions import ROLES, Role, Shelf, Version

_NAMED = ("current", "shipped", "none")
"""What a policy can begin as, beside a version and a folder."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    version: Version
    folder: Path


class Workshop:
    """Where policies are trained."""

    def __init__(
        self, loaded: Loaded, corpus: Path | None, web: bool, say: Say,
        replies: Replies | None = None,
    ) -> None:  # fmt: skip
        """`replies` are greedy calls that were made before; None for those of each run alone."""
        self.loaded = loaded
        self.corpus = corpus
        self._web = web
        self._say = say
        self._replies = replies
        self.home = loaded.settings.folder

    def folder(self, name: str, kind: Literal["training", "learning"] = "training") -> Path:
        """Where a run lies. Raises InputError for a name that is none."""
        if not name or Path(name).name != name:
            raise InputError(f"{name!r} is no name: it has to do as the name of a folder")
        return self.home / kind / name

    def check(self, order: Order) -> None:
        """Raises what can be known before any work: InputError, ConfigError and MissingError for a
        name, a reward, a judge, a device, a base, or something to begin with, that is none."""
        self.folder(order.name)
        reward_of(order.role, order.preset.supervision, order.reward)
        self.check_judge(order)
        torch_local.device_of(order.device)
        if order.base == EMBEDDED:
            embedded.weights(self.loaded.settings)
        elif order.base != tiny.NAME and not (Path(order.base) / "config.json").is_file():
            raise InputError(f"no model in Hugging Face's form at {order.base}")
        begins = order.begins
        if begins == "shipped" and order.base != EMBEDDED:
            raise ConfigError(f"no adapter came with {order.base}; begin with: none")
        if begins.isdecimal():
            self.shelf(order.role, order.base).version(int(begins))
        elif begins not in _NAMED and not (Path(begins) / gguf_adapters.WEIGHTS).is_file():
            raise InputError(f"there is no adapter in {begins}")

    def check_judge(self, order: Order) -> None:
        """Raises ConfigError where a judge is to stand in for right answers and none can."""
        if order.preset.supervision == "gold" or order.reward or order.supervised:
            return
        chosen = self.loaded.settings
        endpoint = chosen.models.judge or chosen.models.default
        if endpoint is None or chosen.judge not in ("auto", "panel") or order.base == tiny.NAME:
            raise ConfigError(
                "nobody here can judge without right answers: set [models.judge], and judge to auto"
                " or panel"
            )

    def run(
        self,
        order: Order,
        exercises: Sequence[Exercise],
        held_out: Sequence[Exercise],
        watch: Watch,
        partner: Version | None = None,
    ) -> Trained:
        """Trains, or goes on training, and publishes what came of it; a run that had come to its
        end before is published once. `partner` is the version of the other role; None for the one
        in use. Raises what training raises."""
        self.check(order)
        folder, ground = self.folder(order.name), self.ground(order)
        with self.house(order, folder, partner) as house:
            bench = bench_of(order, ground, house, folder, partner)
            stage = Stage(
                spec=bench.spec(exercises, held_out),
                actor=bench.actor,
                chat=bench.chat,
                learner=bench.learner,
                exercises=exercises,
                held_out=held_out,
                folder=folder,
            )
            work = supervise if order.supervised else train
            house.complete(work(stage, watch))
            return Trained(version=_published(bench, stage), folder=folder)

    def ground(self, order: Order) -> Ground:
        """What an order stands on. Raises what can be wrong with it."""
        return ground_of(order, self.loaded.settings, self._say)

    @contextmanager
    def house(self, order: Order, folder: Path, partner: Version | None = None) -> Generator[House]:
        """Everybody who takes part in an order, for one process at a time. Raises StoreError where
        another is at it."""
        busy = f"another process works at {order.name!r}; let it end, or take another --name"
        own = order.base not in (EMBEDDED, tiny.NAME)
        house = House(
            _in_text(self.loaded) if own else self.loaded,
            corpus=self.corpus, web=self._web, say=self._say,
            replies=self._replies or Replies(),
            versions=spoken(order, partner),
            others=ROLES if own else (),
        )  # fmt: skip
        with alone(folder / "busy.lock", busy), house:
            yield house

    def shelf(self, role: Role, base: str) -> Shelf:
        """The versions of a role."""
        return shelf_of(self.home, role, base)


def _in_text(loaded: Loaded) -> Loaded:
    """Settings in which an Executor that no endpoint plays calls tools in text: a base of one's own
    has no native tool calls."""
    settings = loaded.settings
    if settings.models.executor or settings.models.default:
        return loaded
    executor = replace(settings.executor, protocol="text")
    return replace(loaded, settings=replace(settings, executor=executor))


def _published(bench: Bench, stage: Stage) -> Version:
    told, order = progress_of(stage.folder), bench.order
    rewards = [step.reward for step in told.steps if step.reward is not None]
    return bench.publish(
        "supervised" if order.supervised else order.role,
        stage.spec.exercises,
        metrics={"steps": float(len(told.steps)), **_ends("reward", rewards)},
        checks={f"accuracy of {c.n} after {c.step} steps": c.accuracy for c in told.checks},
    )


def alternate(
    shop: Workshop,
    orders: Callable[[Role, int], Order],
    rounds: int,
    exercises: Callable[[Role], Sequence[Exercise]],
    held_out: Sequence[Exercise],
    watch: Callable[[Order], Watch],
) -> list[Trained]:
    """So many rounds of an Executor's stage, the Planner frozen, and a Planner's, the Executor
    frozen; each goes on from what the one before it published. Killed, it goes on where it was."""
    done: list[Trained] = []
    latest: dict[Role, Version] = {}
    stages: tuple[Role, ...] = ("executor", "planner")
    for number in range(1, rounds + 1):
        for role in stages:
            order = orders(role, number)
            if role in latest:
                order = replace(order, begins=str(latest[role].number))
            trained = shop.run(
                order, exercises(role), held_out, watch(order), latest.get(other(role))
            )
            latest[role] = trained.version
            done.append(trained)
    return done


def _ends(name: str, values: Sequence[float]) -> dict[str, float]:
    """The first tenth and the last, on average."""
    part = max(1, len(values) // 10)
    if not values:
        return {}
    return {
        f"{name} at first": sum(values[:part]) / part,
        f"{name} at last": sum(values[-part:]) / part,
    }
