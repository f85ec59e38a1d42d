"""What a policy is trained with: its base, what it begins as, who takes part beside it; and where
what it comes to is published."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import asdict

from mia.config import Settings
from mia.errors import ConfigError, StoreError
from mia.journal import fingerprint
from mia.model import Model
from mia.models import gguf_adapters, torch_local
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
from mia.training.stages import Spec
from mia.training.versions import GGUF, Draft, Maker, Role, Shelf, Version, on_disk, shelf
from mia.training.voices import asked
from mia.types import Noun, encode


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
    """The adapter to begin with: `current` (the version in use where it is of this base, else what
    came with MIA for it, if anything did), `shipped`, `none`, a version's number, or a folder."""
    reward: str = ""
    """An entry point or a service's address; empty for the role's own."""
    device: str = "auto"
    supervised: bool = False


class Ground(NamedTuple):
    """What a policy is trained over."""

    base: Base
    begins: Path | Literal["shipped"] | None
    """The adapter to begin with, in PEFT's form; None for the bare base."""
    parent: int
    """The version that it goes on from; 0 for what has no number."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Everything that a run works with, while its house is open."""

    order: Order
    house: House
    folder: Path
    """Where the run lies."""
    ground: Ground
    learner: Learner
    chat: Chat
    actor: Actor
    partner: int
    """The version of the other role; 0 for what has no number."""

    def spec(self, exercises: Sequence[Exercise], held_out: Sequence[Exercise]) -> Spec:
        """What the run is, and must still be when it goes on."""
        order, chosen = self.order, self.house.settings
        return Spec(
            role=order.role,
            preset=order.preset,
            reward="supervised" if order.supervised else order.reward or order.preset.supervision,
            exercises=digest_of(exercises),
            held_out=digest_of(held_out),
            base=self.ground.base.origin.sha256,
            begins=f"{order.begins} {self.ground.parent}",
            settings=fingerprint(
                chosen.models,
                chosen.search,
                chosen.executor,
                chosen.budget,
                chosen.judge,
                str(self.house.corpus or ""),
                f"partner {self.partner}",
            ),
        )

    @property
    def shelf(self) -> Shelf:
        """Where the versions of the role are."""
        return shelf_of(self.house.settings.folder, self.order.role, self.order.base)

    def adapter(self, number: int) -> Path | None:
        """The adapter of a version of the role; None for 0 where none came with MIA for this base.
        Raises InputError, ConfigError for a version of another base, and StoreError."""
        order, base = self.order, self.ground.base
        if number:
            return _checked(self.shelf, number, base)
        return _shipped(order, base, self.folder) if order.base == EMBEDDED else None

    def publish(
        self,
        made_by: Maker,
        exercises: str,
        metrics: Mapping[str, float],
        checks: Mapping[str, float],
        workflows: Sequence[str] = (),
        absorbed: Sequence[str] = (),
    ) -> Version:
        """The version that the run comes to, `exercises` being the digest of what it learned from,
        `workflows` what memory made of that, and `absorbed` what of these it does without: made
        once, found again afterwards. Raises StoreError."""
        known = self.published()
        if known is not None:
            return known
        order, base = self.order, self.ground.base
        draft = Draft(
            base=base.origin.name,
            base_sha256=base.origin.sha256,
            made_by=made_by,
            parent=self.ground.parent,
            data=order.data,
            data_sha256=exercises,
            config={
                **asdict(order.preset),
                "run": order.name,
                "token": _token(self.folder / "token"),
                "base_path": str(base.folder),
            },
            metrics=dict(metrics),
            checks=dict(checks),
            workflows=tuple(workflows),
            absorbed=tuple(absorbed),
        )

        def fill(folder: Path) -> None:
            self.learner.write_adapter(folder)
            gguf_adapters.to_gguf(folder, folder / GGUF, gguf_adapters.heads_of(base.folder))

        return self.shelf.publish(draft, fill)

    def published(self) -> Version | None:
        """The version that the run came to, by a token that is older than it; None before it has
        one. Raises StoreError."""
        token = _token(self.folder / "token")
        versions = self.shelf.versions()
        return next((each for each in versions if each.config.get("token") == token), None)


def ground_of(order: Order, settings: Settings, say: Say) -> Ground:
    """Opens the base of an order, and finds what it begins with; writes nothing of a run. Raises
    what can be wrong with either."""
    base, home = _base(order, settings, say), settings.folder
    shelf, said = shelf_of(home, order.role, order.base), order.begins
    if said == "current":
        without = "shipped" if order.base == EMBEDDED else "none"
        current = _in_use(shelf, base, say, f"this run begins with: --from {without}")
        said = without if current is None else str(current.number)
    if said == "none":
        return Ground(base, None, 0)
    if said == "shipped":
        return Ground(base, "shipped", 0)
    if said.isdecimal():
        return Ground(base, _checked(shelf, int(said), base), int(said))
    return Ground(base, Path(said), 0)


def bench_of(
    order: Order, ground: Ground, house: House, folder: Path, partner: Version | None
) -> Bench:
    """Puts together what an order needs. `partner` is the version of the other role; None for the
    one in use. Raises what an adapter or a part of the house raises."""
    base, begins = ground.base, ground.begins
    if begins == "shipped":
        begins = _shipped(order, base, folder)
    learner = Learner(base, order.preset, begins)
    chat, lockstep = _chat(order.preset, base), Lockstep()
    theirs = partner or _partner(order, house, base)
    return Bench(
        order=order,
        house=house,
        folder=folder,
        ground=ground,
        learner=learner,
        chat=chat,
        actor=Actor(
            role=order.role,
            cast=_cast(order, house, base, learner, chat, lockstep, theirs),
            voice=sampled(lockstep.policy(learner.draw), chat, order.preset.max_response),
            reward=reward_of(order.role, order.preset.supervision, order.reward),
            under_way=lockstep.episode,
        ),
        partner=theirs.number if theirs else 0,
    )


def asking(order: Order, house: House) -> Actor:
    """Everybody where the Planner is a model behind an endpoint."""
    executor = house.engines.model("executor", SHIPPED["executor"] if house.stepwise else None)
    return Actor(
        role="planner",
        cast=cast(house, "planner", lambda: executor),
        voice=asked(house.engines.model("planner")),
        reward=reward_of("planner", order.preset.supervision, order.reward),
    )


def shelf_of(home: Path, role: Role, base: str) -> Shelf:
    """The versions of a role. The tiny world has shelves of its own: what is in use there is of no
    use to the embedded model, nor the other way."""
    return shelf(home / tiny.NAME if base == tiny.NAME else home, role)


def spoken(order: Order, partner: Version | None) -> dict[Role, int]:
    """The version that the embedded model has to speak through, where it plays the partner."""
    return {other(order.role): partner.number} if partner and order.base == EMBEDDED else {}


def _shipped(order: Order, base: Base, folder: Path) -> Path:
    heads = gguf_adapters.heads_of(base.folder)
    with on_disk(f"cannot write what the run begins with to {folder}"):
        return embedded.shipped(order.role, folder / "begins", heads)


def _base(order: Order, settings: Settings, say: Say) -> Base:
    device = torch_local.device_of(order.device)
    folder, models = Path(order.base), settings.folder / "models" / "hf"
    with on_disk(f"cannot write a base to {models}"):
        if order.base == tiny.NAME:
            folder = tiny.make_base(models / tiny.NAME)
        elif order.base == EMBEDDED:
            folder = embedded.base_of(settings, say)
    return torch_local.open_base(folder, device=device, dtype=order.preset.dtype)


def _cast(
    order: Order,
    house: House,
    base: Base,
    learner: Learner,
    chat: Chat,
    lockstep: Lockstep,
    version: Version | None,
) -> Cast:
    theirs = other(order.role)
    if order.base == tiny.NAME and version is None:
        return tiny.cast(order.role, tiny.ByRule)
    if order.base == tiny.NAME or (
        order.base != EMBEDDED and house.engines.endpoint(theirs) is None
    ):
        shelf = shelf_of(house.settings.folder, theirs, order.base)
        begins = None if version is None else _checked(shelf, version.number, base)
        frozen = partial(_in_process, lockstep, learner.partner(begins), chat)
        world = tiny.cast if order.base == tiny.NAME else partial(cast, house)
        return world(order.role, frozen)
    model = house.engines.model(theirs, SHIPPED[theirs] if house.stepwise else None)
    return cast(house, order.role, lambda: model)


def _partner(order: Order, house: House, base: Base) -> Version | None:
    """The version in use of the other role; None where an endpoint plays it, and where it is of
    another base than this one, which plays both roles."""
    role = other(order.role)
    if order.base != tiny.NAME and house.engines.endpoint(role) is not None:
        return None
    shelf = shelf_of(house.settings.folder, role, order.base)
    if order.base == EMBEDDED:  # which looks itself whether it can speak through it
        return shelf.current()
    return _in_use(shelf, base, house.say, f"the bare {base.origin.name} plays the {role}")


def _in_use(shelf: Shelf, base: Base, say: Say, instead: str) -> Version | None:
    """The version in use, where it is of this base: over another it says nothing."""
    version = shelf.current()
    if version is None or version.base_sha256 == base.origin.sha256:
        return version
    say(
        f"version {version.number} of the {version.role} is in use and of {version.base}, not of"
        f" {base.origin.name}; {instead}"
    )
    return None


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
            f" {base.origin.name}; begin with another version (mia policy list), or: none"
        )
    return shelf.folder(number)


def _in_process(lockstep: Lockstep, draw: Draw, chat: Chat) -> Model:
    """A frozen partner on the same base: it always says what is likeliest."""
    return PolicyModel(lockstep.policy(draw), chat, Transcript(), temperature=0.0, seed=0)


def digest_of(exercises: Sequence[Exercise]) -> str:
    """The SHA-256 of exercises, in hex."""
    digest = hashlib.sha256()
    for exercise in exercises:
        digest.update(encode(exercise) + b"\n")
    return digest.hexdigest()
