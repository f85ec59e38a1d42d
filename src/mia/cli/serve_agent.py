"""What `mia serve reference --role agent` puts together: the published agent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec.structs import replace

from mia.cli.serve_reference import MANAGER_URL, at_variable, name_of
from mia.cli.serving import Access, Built, Place, needed, serve
from mia.config import Loaded
from mia.datasets import files
from mia.datasets.published import row
from mia.engines import missing_models
from mia.errors import ConfigError, InputError, MissingError
from mia.servers.reference_agent_wire import RECALLED
from mia.team import House
from mia.types import Picture

if TYPE_CHECKING:
    from mia.servers.reference_pictures import Registry

_EXECUTOR_URL, _JUDGE_URL, _GATEWAY_URL = "AGENT_URL", "JUDGE_URL", "SERVICE_URL"
_CACHES, _CALLS, _SAVES, _ROWS = (
    "TEST_CACHE_DIR", "MAX_LLM_CALL_PER_RUN", "TTRL_SAVE", "PARQUET_PATH",
)  # fmt: skip
_SAVED = "ttrl"
"""The folder of an agent's files, where nobody names one."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def agent(
    loaded: Loaded, place: Place, corpus: Path | None, model_name: str, unsupervised: bool
) -> None:
    """Serves the published agent. Raises ConfigError for a variable of it that says nothing, and
    MissingError that says how to fetch a model."""
    loaded = for_planners(loaded, model_name)
    folder = loaded.settings.folder / "published" / saves_to(loaded)
    with ExitStack() as opened:

        def build(house: House, access: Access) -> Built:
            with needed():
                from mia.servers.reference_agent import Parts, app
                from mia.servers.reference_agent_wire import Judged, Reviewed
                from mia.servers.reference_bank import Bank
                from mia.servers.reference_pictures import Registry
            kind, name = (Reviewed, "reviewed.db") if unsupervised else (Judged, "judged.db")
            bank, pictures = Bank(folder / name, kind), Registry(folder / "pictures.db")
            opened.callback(bank.close)
            opened.callback(pictures.close)
            gateway = _gateway(house)
            _register(house, pictures)
            parts = Parts(
                executor=house.executor(),
                memory=house.memory,
                store=house.store,
                namespace=house.settings.namespace,
                plan_memory=house.plan_memory,
                router=house.router(),
                judge=house.judge(),
                fetch=house.sources.picture,
                pictures=pictures,
                bank=bank,
                folder=folder,
                unsupervised=unsupervised,
            )
            return Built(app(parts, *access), _told(house, folder, gateway))

        if missing := missing_models(loaded):
            raise MissingError(
                f"{missing[0]} is not here yet; run: mia models get {' '.join(missing)}"
            )
        serve(loaded, place, build, corpus)


def _gateway(house: House) -> str | None:
    """Lets the house search where SERVICE_URL says, if settings say nothing of where; the address
    of what is asked then."""
    url = house.loaded.secrets.key(_GATEWAY_URL)
    chosen = house.settings.search
    named = house.corpus is not None or chosen.corpus is not None or chosen.source != "auto"
    if url is None or named or house.sources.on_the_web:
        return None
    from mia.servers.reference_gateway import Gateway

    gateway = Gateway(url)
    house.sources.connections.push_async_callback(gateway.aclose)
    house.search = gateway
    return url


def _register(house: House, pictures: Registry) -> None:
    """Registers the pictures of the rows that PARQUET_PATH names, once. Raises InputError for rows
    that cannot be read."""
    named = house.loaded.secrets.key(_ROWS) or ""
    for path in (Path(name.strip()) for name in named.split(",") if name.strip()):
        for id, picture in _pictured(house, path, pictures):
            pictures.add([(id, picture)])


def _pictured(house: House, path: Path, known: Registry) -> Iterator[tuple[str, Picture]]:
    for number, raw in enumerate(files.rows([path]), 1):
        if isinstance(raw, files.Broken):
            raise InputError(f"{path}, row {number}: {raw.why}")
        asked = row(raw, number)
        id = asked.id or ""
        if not asked.pictures or known.of(id):
            continue
        first = asked.pictures[0]
        if isinstance(first, bytes):
            yield id, house.sources.pictures.keep(first, name=id)
        else:
            yield id, house.picture(first, id, path.parent)


def saves_to(loaded: Loaded) -> str:
    """The folder in `published/` that TTRL_SAVE names: of a path the last part counts. Raises
    ConfigError for one that is no name."""
    path = loaded.secrets.key(_SAVES)
    if path is None:
        return _SAVED
    name = path.rstrip("/").rpartition("/")[2]
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{_SAVES} should end in a folder's name of letters, digits, '.', '_' and '-', at most"
            " 100; it lies in published/ of MIA's home, whatever stands before the name"
        )
    return name


def for_planners(loaded: Loaded, model_name: str) -> Loaded:
    """The settings of an agent. Its clients bring the planner. Where the published variables name
    an executor it is one of theirs: it calls tools in tags, and sees. Nothing is withheld by lot:
    they could not say afterwards from which run it was."""
    given, secrets = loaded.settings, loaded.secrets
    models, budget, images = given.models, given.budget, given.search.images
    executor = models.executor or at_variable(loaded, _EXECUTOR_URL, model_name)
    theirs = executor is not None and models.executor is None
    calls, caches = secrets.key(_CALLS), secrets.key(_CACHES)
    if calls is not None and not (calls.isdecimal() and int(calls) > 0):
        raise ConfigError(f"{_CALLS} should be a number from 1, got {calls!r}")
    if calls is not None and budget.calls == type(budget)().calls:
        budget = replace(budget, calls=int(calls))
    if caches is not None and not images.caches:
        roots = tuple(root.strip() for root in caches.split(",") if root.strip())
        images = replace(images, caches=roots)
    settings = replace(
        given,
        models=replace(
            models,
            manager=models.manager or at_variable(loaded, MANAGER_URL, model_name),
            planner=models.planner or executor,
            executor=replace(executor, sees=True) if executor and theirs else executor,
            judge=models.judge or at_variable(loaded, _JUDGE_URL, model_name),
        ),
        executor=replace(given.executor, protocol="text") if theirs else given.executor,
        budget=budget,
        search=replace(given.search, images=images),
        memory=replace(given.memory, successes=RECALLED, failures=RECALLED, withhold=0.0),
    )
    return replace(loaded, settings=settings)


def _told(house: House, folder: Path, gateway: str | None) -> str:
    """What an agent works with, in words."""
    models, namespace = house.settings.models, house.settings.namespace
    count = house.store.count(namespace)
    searched = f", searches at {urlsplit(gateway).hostname}" if gateway else ""
    return (
        f"the published agent: {count} workflows in {namespace!r}; executor"
        f" {name_of(models.executor or models.default, 'embedded')}{searched},"
        f" manager {name_of(models.manager, 'code')}; files in {folder}"
    )
