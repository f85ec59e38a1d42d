"""What `mia serve` puts together: questions are answered over HTTP, and with --learn learned from
behind."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import typer
from msgspec.structs import replace

from mia.cli.learn import canaries, preset_of
from mia.cli.output import note
from mia.cli.search import corpus_named
from mia.cli.serve_reference import name_of
from mia.cli.serving import Access, Built, Place, needed, serve
from mia.cli.train_options import set_fields
from mia.config import Loaded
from mia.engines import adapters, missing_models
from mia.errors import ConfigError, InputError, MissingError, adding
from mia.models import torch_local
from mia.team import House
from mia.training.bench import Order, shelf_of
from mia.training.casting import reward_of
from mia.training.embedded import EMBEDDED
from mia.training.guards import Limits
from mia.training.hosts.llama_cpp import LlamaCppHost
from mia.training.hosts.vllm import VllmHost
from mia.training.inbox import Inbox
from mia.training.served import Judging, inbox_of
from mia.training.streams import has_weights
from mia.training.workshop import Workshop

if TYPE_CHECKING:
    from mia.servers.in_use import InUse
    from mia.servers.learning import Learning

PORT = 8100
_JUDGES: tuple[Judging, ...] = get_args(Judging)

Learn = Annotated[
    bool, typer.Option("--learn", help="Take feedback, and learn behind from what is asked.")
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge",
        help="Who says what was right: feedback (what people say; default), panel (models that see"
        " no right answer), vote (what most attempts answer). For --learn.",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="embedded-online, streaming, ...; default: embedded-online for the embedded model,"
        " else streaming. For --learn.",
    ),
]
Keep = Annotated[
    int | None,
    typer.Option("--keep", min=1, help="Versions of this run that are kept. For --learn."),
]
ExplorePerDay = Annotated[
    int | None,
    typer.Option(
        "--explore-per-day",
        min=0,
        help="Questions that are explored a day at most; 0 for no bound. For --learn.",
    ),
]


class Wishes(NamedTuple):
    """How to learn. What nobody says is as the learner has it."""

    judge: str | None = None
    preset: str | None = None
    changes: Sequence[str] = ()
    guards: Sequence[str] = ()
    canary: str | None = None
    begins: str | None = None
    device: str | None = None
    reward: str = ""
    keep: int | None = None
    explore_per_day: int | None = None


class Around(NamedTuple):
    """What a server and its learner have in common, as it was said."""

    name: str
    base: str | None
    corpus: Path | None
    web: bool
    config: Path | None
    home: Path | None
    namespace: str | None


def api(loaded: Loaded, place: Place, around: Around, wishes: Wishes | None) -> None:
    """Answers people's programs; with wishes it learns behind. Raises ConfigError, InputError and
    MissingError for what can be known before."""
    order = None if wishes is None else _order(loaded, around, wishes)
    with ExitStack() as opened:

        def build(house: House, access: Access) -> Built:
            with needed():
                from mia.servers.answering import Parts
                from mia.servers.api import Served, app
            run = f"serve {around.name}"
            opened.enter_context(house.journal.alone(run))
            inbox = learning = None
            if wishes is not None and order is not None:
                if wishes.canary is not None:
                    canaries(wishes.canary, house)
                inbox = Inbox(inbox_of(loaded.settings.folder, around.name))
                opened.callback(inbox.close)
                learning = _learning(around, wishes)
            parts = Parts(
                team=house.team(house.run(run)),
                planners=house.planners(),
                in_use=_in_use(house, around),
                journal=house.journal,
                run=run,
                inbox=inbox,
            )
            if parts.in_use is not None:
                house.complete(parts.in_use.look())
            served = Served(name=around.name, parts=parts, learning=learning)
            return Built(
                app(served, *access),
                _told(house, parts.in_use, order, wishes),
                partial(_example, access, order is not None),
            )

        if missing := missing_models(loaded):
            get = f"run: mia models get {' '.join(missing)}"
            raise MissingError(f"{missing[0]} is not here yet; {get}")
        # the planner's versions are served by a host: none has to be loaded beside it
        serve(loaded, place, build, around.corpus, web=around.web, versions={"planner": 0})


def command(around: Around, wishes: Wishes) -> list[str]:
    """The learner of a server."""
    single = {
        "--name": around.name, "--judge": wishes.judge or "feedback", "--preset": wishes.preset,
        "--canary": wishes.canary, "--base": around.base, "--from": wishes.begins,
        "--device": wishes.device, "--reward": wishes.reward or None, "--keep": wishes.keep,
        "--explore-per-day": wishes.explore_per_day, "--corpus": around.corpus,
        "--config": around.config, "--home": around.home, "--namespace": around.namespace,
    }  # fmt: skip
    said = [sys.executable, "-m", "mia", "serve", "behind"]
    for option, value in single.items():
        said += [] if value is None else [option, str(value)]
    for option, values in (("--set", wishes.changes), ("--guard", wishes.guards)):
        for value in values:
            said += [option, value]
    return [*said, *(["--web"] if around.web else [])]


def _learning(around: Around, wishes: Wishes) -> Learning:
    from mia.servers.learning import Learning

    return Learning(command(around, wishes), lambda line: note(f"learner: {line}"))


def _order(loaded: Loaded, around: Around, wishes: Wishes) -> Order:
    """What the learner will be asked to do, checked as far as that can be done without torch, which
    is not for the process that answers."""
    judge = wishes.judge or "feedback"
    if judge not in _JUDGES:
        raise InputError(f"there is no judge {judge!r}; there are {', '.join(_JUDGES)}")
    set_fields(Limits(), wishes.guards, "--guard")
    shop = Workshop(loaded, around.corpus, around.web, note)
    supervision = "judge" if judge == "panel" else "gold"
    order = Order(
        role="planner",
        preset=preset_of(wishes.preset, around.base, wishes.changes, supervision, shop),
        name=around.name,
        data="what people asked",
        base=around.base or EMBEDDED,
        begins=wishes.begins or "current",
        reward=wishes.reward,
    )
    reward_of("planner", "gold", order.reward)
    shop.folder(order.name, "learning")
    shop.check_judge(replace(order, reward=""))
    if has_weights(shop, order):
        if find_spec("torch") is None:
            raise MissingError(f"learning in the weights needs torch; run: {adding('train')}")
        if order.begins.isdecimal():
            shop.shelf("planner", order.base).version(int(order.begins))
    return order


def _in_use(house: House, around: Around) -> InUse | None:
    """Who serves the Planner's versions; None where its weights are not ours. Raises ConfigError
    for a base that nobody serves, InputError for one that is not there."""
    from mia.servers.in_use import InUse

    engines, base, home = house.engines, around.base, house.settings.folder
    endpoint = engines.endpoint("planner")
    if endpoint is None and base is not None:
        raise ConfigError(
            "--base names what an endpoint serves: set [models.planner] to a vLLM server of it"
        )
    if endpoint is None:
        host = LlamaCppHost(
            engines.weights,
            engines.weights_sha256,
            adapters()["planner"] if house.stepwise else None,
            threads=house.settings.threads or None,
        )
        return InUse(host, shelf_of(home, "planner", EMBEDDED), engines.weights_sha256)
    if base is None:
        return None
    if not (Path(base) / "config.json").is_file():
        raise InputError(f"no model in Hugging Face's form at {base}")
    key = house.loaded.secrets.key(endpoint.api_key_env)
    vllm = VllmHost(endpoint.base_url, endpoint.model, f"planner-{around.name}", api_key=key)
    sha256 = torch_local.origin_of(Path(base)).sha256
    return InUse(vllm, shelf_of(home, "planner", base), sha256)


def _told(house: House, in_use: InUse | None, order: Order | None, wishes: Wishes | None) -> str:
    """Who answers and who learns, in words."""
    models = house.settings.models
    planner = name_of(models.planner or models.default, "embedded")
    version = "" if in_use is None else f", version {in_use.version}"
    parts = [f"answers: planner {planner}{version}", corpus_named(house)]
    if order is None or wishes is None:
        parts.append("nothing learns but memory (--learn takes feedback and learns from it)")
    else:
        what = "memory learns" if in_use is None else "weights and memory learn"
        why = "; the planner's weights are behind an endpoint" if in_use is None else ""
        parts.append(f"{what} behind, by {wishes.judge or 'feedback'}{why}")
    if in_use is not None and in_use.refused:
        note(f"the version in use does not answer: {in_use.refused}")
    return "; ".join(filter(None, parts))


def _example(access: Access, learns: bool, address: str) -> str:
    """How to ask, and to say what one thinks of the answer."""
    token = "" if access.token is None else '-H "Authorization: Bearer $MIA_SERVER_TOKEN" '
    curl = f"curl -s {token}-H 'Content-Type: application/json'"
    asking = shlex.quote('{"question": "Who wrote Wuthering Heights?"}')
    lines = [f"ask it:     {curl} {address}/v1/ask -d {asking}"]
    if learns:
        telling = shlex.quote('{"episode": "...", "up": true}')
        lines.append(f"then tell:  {curl} {address}/v1/feedback -d {telling}")
    return "\n".join(lines)
