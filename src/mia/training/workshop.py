"""Puts a run of training together from settings: whose model, on what base, with which partner, and
where what it comes to is published."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec.structs import asdict, replace

from mia.config import Loaded
from mia.errors import ConfigError, InputError, StoreError
from mia.journal import fingerprint
from mia.locks import alone
from mia.model import Model
from mia.models import gguf_adapters, torch_local
from mia.models.shared import Replies
from mia.models.torch_local import Base, TokenizerChat
from mia.sources import Say
from mia.team import House
from mia.training import embedded, run_files, tiny
from mia.training.casting import cast, other, reward_of
from mia.training.embedded import EMBEDDED, SHIPPED
from mia.training.exercises import Exercise
from mia.training.learner import Learner
from mia.training.lockstep import Draw, Lockstep
from mia.training.policy_model import Chat, PolicyModel, Transcript
from mia.training.presets import Preset
from mia.training.rollouts import Actor, Cast, sampled
from mia.training.stages import Spec, Stage, Watch, progress_of, supervise, train
from mia.training.versions import GGUF, Draft, Role, Shelf, Version, shelf
from mia.types import Noun, encode

_NAMED = ("current", "shipped", "none")
"""What a policy can begin as, beside a version and a folder."""


class Order(Noun, frozen=True):
    """What is to be trained, and on what."""

    role: Role
    preset: Preset
    name: str
    """Of the run: the same name goes on with it."""
    data: str
    """For people."""
    base: str = EMBEDDED
    """The embedded model, `tiny`, or a folder of Hugging Face's form."""
    begins: str = "current"
    """The adapter to begin with: `current`, `shipped`, `none`, a version's number, or a folder."""
    reward: str = ""
    """An entry point; empty for the role's own."""
    device: str = "auto"
    supervised: bool = False


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    version: Version
    folder: Path


class Workshop:
    """Where policies are trained."""

    def __init__(self, loaded: Loaded, corpus: Path | None, web: bool, say: Say) -> None:
        self.loaded = loaded
        self.corpus = corpus
        self._web = web
        self._say = say
        self.home = loaded.settings.folder

    def folder(self, name: str) -> Path:
        """Where a run lies. Raises InputError for a name that is none."""
        if not name or Path(name).name != name:
            raise InputError(f"{name!r} is no name: it has to do as the name of a folder")
        return self.home / "training" / name

    def check(self, order: Order) -> None:
        """Raises what can be known before any work: InputError, ConfigError and MissingError for a
        name, a reward, a judge, a device, a base, or something to begin with, that is none."""
        self.folder(order.name)
        reward_of(order.role, order.preset.supervision, order.reward)
        self.check_judge(order)
        torch_local.device_of(order.device)
        if order.base == EMBEDDED:
            embedded.weights(self.loaded.settings)
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
        base = self._base(order)
        begins, parent = self._begins(order, base)
        folder = self.folder(order.name)
        house = House(
            self.loaded, corpus=self.corpus, web=self._web, say=self._say, replies=Replies(),
            versions=_spoken(order, partner),
        )  # fmt: skip
        busy = f"another process trains {order.name!r}; let it end, or take another --name"
        with alone(folder / "busy.lock", busy), house:
            if begins == "shipped":
                heads = gguf_adapters.heads_of(base.folder)
                begins = embedded.shipped(order.role, folder / "begins", heads)
            learner, chat = Learner(base, order.preset, begins), _chat(order.preset, base)
            stage = Stage(
                spec=self._spec(order, exercises, held_out, base, parent, partner, house),
                actor=self._actor(order, learner, base, chat, house, partner),
                chat=chat,
                learner=learner,
                exercises=exercises,
                held_out=held_out,
                folder=folder,
            )
            work = supervise if order.supervised else train
            house.complete(work(stage, watch))
            return self._published(order, stage, base, parent)

    def shelf(self, role: Role, base: str) -> Shelf:
        """The versions of a role. The tiny world has shelves of its own: what is in use there is
        of no use to the embedded model, nor the other way."""
        return shelf(self.home / tiny.NAME if base == tiny.NAME else self.home, role)

    def _base(self, order: Order) -> Base:
        device = torch_local.device_of(order.device)
        if order.base == tiny.NAME:
            folder = tiny.make_base(self.home / "models" / "hf" / tiny.NAME)
        elif order.base == EMBEDDED:
            folder = embedded.base_of(self.loaded.settings, self._say)
        else:
            folder = Path(order.base)
        return torch_local.open_base(folder, device=device, dtype=order.preset.dtype)

    def _begins(self, order: Order, base: Base) -> tuple[Path | Literal["shipped"] | None, int]:
        """The adapter that a run begins with, and its number; 0 for what has none."""
        shelf, said = self.shelf(order.role, order.base), order.begins
        current = shelf.current()
        if said == "current" and current is not None:
            said = str(current.number)
        if said == "current":
            said = "shipped" if order.base == EMBEDDED else "none"
        if said == "none":
            return None, 0
        if said == "shipped":
            return "shipped", 0
        if said.isdecimal():
            return _checked(shelf, int(said), base), int(said)
        return Path(said), 0

    def _actor(
        self,
        order: Order,
        learner: Learner,
        base: Base,
        chat: Chat,
        house: House,
        partner: Version | None,
    ) -> Actor:
        lockstep = Lockstep()
        return Actor(
            role=order.role,
            cast=self._cast(order, learner, base, chat, lockstep, house, partner),
            voice=sampled(lockstep.policy(learner.draw), chat),
            reward=reward_of(order.role, order.preset.supervision, order.reward),
            under_way=lockstep.episode,
        )

    def _cast(
        self,
        order: Order,
        learner: Learner,
        base: Base,
        chat: Chat,
        lockstep: Lockstep,
        house: House,
        partner: Version | None,
    ) -> Cast:
        theirs = other(order.role)
        shelf = self.shelf(theirs, order.base)
        version = partner or shelf.current()
        if order.base == tiny.NAME and version is None:
            return tiny.cast(order.role, tiny.ByRule)
        if order.base == tiny.NAME or (
            order.base != EMBEDDED and house.engines.endpoint(theirs) is None
        ):
            begins = None if version is None else _checked(shelf, version.number, base)
            frozen = partial(_in_process, lockstep, learner.partner(begins), chat)
            world = tiny.cast if order.base == tiny.NAME else partial(cast, house)
            return world(order.role, frozen)
        model = house.engines.model(theirs, SHIPPED[theirs] if house.stepwise else None)
        return cast(house, order.role, lambda: model)

    def _spec(
        self,
        order: Order,
        exercises: Sequence[Exercise],
        held_out: Sequence[Exercise],
        base: Base,
        parent: int,
        partner: Version | None,
        house: House,
    ) -> Spec:
        current = self.shelf(other(order.role), order.base).current()
        against, chosen = partner or current, house.settings
        return Spec(
            role=order.role,
            preset=order.preset,
            reward="supervised" if order.supervised else order.reward or order.preset.supervision,
            exercises=_digest(exercises),
            held_out=_digest(held_out),
            base=base.origin.sha256,
            begins=f"{order.begins} {parent}",
            settings=fingerprint(
                chosen.models,
                chosen.search,
                chosen.executor,
                chosen.budget,
                chosen.judge,
                str(self.corpus or ""),
                f"partner {against.number if against else 0}",
            ),
        )

    def _published(self, order: Order, stage: Stage, base: Base, parent: int) -> Trained:
        """The version that a finished run comes to: made once, found again afterwards by a token
        that is older than it."""
        shelf, note = self.shelf(order.role, order.base), stage.folder / "token"
        token = _token(note)
        for version in shelf.versions():
            if version.config.get("token") == token:
                return Trained(version=version, folder=stage.folder)
        told = progress_of(stage.folder)
        checks = {f"accuracy of {c.n} after {c.step} steps": c.accuracy for c in told.checks}
        rewards = [step.reward for step in told.steps if step.reward is not None]
        draft = Draft(
            base=base.origin.name,
            base_sha256=base.origin.sha256,
            made_by="supervised" if order.supervised else order.role,
            parent=parent,
            data=order.data,
            data_sha256=stage.spec.exercises,
            config={
                **asdict(order.preset),
                "run": order.name,
                "token": token,
                "base_path": str(base.folder),
            },
            metrics={"steps": float(len(told.steps)), **_ends("reward", rewards)},
            checks=checks,
        )

        def fill(folder: Path) -> None:
            stage.learner.write_adapter(folder)
            gguf_adapters.to_gguf(folder, folder / GGUF, gguf_adapters.heads_of(base.folder))

        return Trained(version=shelf.publish(draft, fill), folder=stage.folder)


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


def _token(note: Path) -> str:
    """What a run's version is known by. Raises StoreError."""
    try:
        if not note.is_file():
            run_files.write_whole(note, secrets.token_hex(8).encode())
        return note.read_text()
    except OSError as error:
        raise StoreError(f"{note}: {error}") from error


def _chat(preset: Preset, base: Base) -> Chat:
    most = base.model.config.max_position_embeddings
    return TokenizerChat(base.tokenizer, min(preset.max_prompt + preset.max_response, most))


def _checked(shelf: Shelf, number: int, base: Base) -> Path:
    """The folder of a version, which is of this base and as it was published. Raises ConfigError
    and StoreError."""
    version = shelf.verify(number)
    if version.base_sha256 != base.origin.sha256:
        raise ConfigError(
            f"version {number} of the {version.role} is of {version.base}, not of"
            f" {base.origin.name}"
        )
    return shelf.folder(number)


def _spoken(order: Order, partner: Version | None) -> dict[Role, int]:
    """The version that the embedded model has to speak through, where it plays the partner."""
    return {other(order.role): partner.number} if partner and order.base == EMBEDDED else {}


def _in_process(lockstep: Lockstep, draw: Draw, chat: Chat) -> Model:
    """A frozen partner on the same base: it always says what is likeliest."""
    return PolicyModel(lockstep.policy(draw), chat, Transcript(), temperature=0.0, seed=0)


def _digest(exercises: Sequence[Exercise]) -> str:
    digest = hashlib.sha256()
    for exercise in exercises:
        digest.update(encode(exercise) + b"\n")
    return digest.hexdigest()


def _ends(name: str, values: Sequence[float]) -> dict[str, float]:
    """The first tenth and the last, on average."""
    part = max(1, len(values) // 10)
    if not values:
        return {}
    return {
        f"{name} at first": sum(values[:part]) / part,
        f"{name} at last": sum(values[-part:]) / part,
    }
