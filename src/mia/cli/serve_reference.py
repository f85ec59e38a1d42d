"""What `mia serve reference` puts together: the published memory service and reward service."""

from __future__ import annotations

from contextlib import ExitStack
from urllib.parse import urlsplit

from msgspec.structs import replace

from mia.cli.serving import Access, Built, Place, needed, serve
from mia.config import Endpoint, Loaded
from mia.engines import missing_models
from mia.errors import MissingError
from mia.servers.reference_memory_wire import MOST_RECALLED
from mia.team import House

MODEL_NAME = "qwen"
"""What the published models are served as."""
MANAGER_URL, _PLANNER_URL = "MEMORY_URL", "PLAN_URL"


def memory(loaded: Loaded, place: Place, model_name: str, unsupervised: bool) -> None:
    """Serves the published memory service. Raises MissingError that says how to fetch a model."""
    loaded = for_clients(loaded, model_name)

    def build(house: House, access: Access) -> Built:
        with needed():
            from mia.servers.reference_memory import Parts, app
        parts = Parts(
            memory=house.memory,
            store=house.store,
            namespace=house.settings.namespace,
            model=house.engines.model("planner", "planner" if house.stepwise else None),
            planner=house.planner_on,
            router=house.router(),
            plan_memory=house.plan_memory,
            folder=house.settings.folder / "published",
            unsupervised=unsupervised,
        )
        return Built(app(parts, *access), _told(house, unsupervised))

    if missing := missing_models(loaded):
        raise MissingError(f"{missing[0]} is not here yet; run: mia models get {' '.join(missing)}")
    serve(loaded, place, build)


def reward(loaded: Loaded, place: Place) -> None:
    """Serves the published reward service."""
    with ExitStack() as opened:

        def build(house: House, access: Access) -> Built:
            with needed():
                from mia.servers.reference_golds import Golds
                from mia.servers.reference_reward import Parts, app
            golds = Golds(house.settings.folder / "golds.db")
            opened.callback(golds.close)
            told = (
                f"the published reward service: {golds.count()} right answers are registered;"
                f" judge {house.settings.judge}"
            )
            return Built(app(Parts(judge=house.judge(), golds=golds), *access), told)

        serve(loaded, place, build)


def for_clients(loaded: Loaded, model_name: str) -> Loaded:
    """The settings of a memory service. Its clients bring the executor, so plans are written for
    one that reads prose wherever a model behind a URL plans. They say with each request how much to
    recall, so recall returns as much as they may ask for, with room for it. Nothing is withheld by
    lot: they could not say afterwards from which run it was."""
    models, remembering = loaded.settings.models, loaded.settings.memory
    manager = models.manager or at_variable(loaded, MANAGER_URL, model_name)
    planner = models.planner or models.default or at_variable(loaded, _PLANNER_URL, model_name)
    settings = replace(
        loaded.settings,
        models=replace(models, manager=manager, planner=planner, executor=planner),
        memory=replace(
            remembering,
            successes=MOST_RECALLED,
            failures=MOST_RECALLED,
            tokens=remembering.tokens * MOST_RECALLED,
            withhold=0.0,
        ),
    )
    return replace(loaded, settings=settings)


def at_variable(loaded: Loaded, variable: str, model_name: str) -> Endpoint | None:
    """The endpoint that a variable of the published services names, where the settings name none
    for all roles."""
    url = loaded.secrets.key(variable)
    if url is None or loaded.settings.models.default is not None:
        return None
    return Endpoint(base_url=url, model=model_name)


def _told(house: House, unsupervised: bool) -> str:
    """What a memory service works with, in words."""
    models, namespace = house.settings.models, house.settings.namespace
    count = house.store.count(namespace)
    judged = "without right answers" if unsupervised else "by right answers"
    return (
        f"the published memory service, judged {judged}: {count} workflows in {namespace!r};"
        f" planner {name_of(models.planner, 'embedded')}, manager {name_of(models.manager, 'code')}"
    )


def name_of(endpoint: Endpoint | None, otherwise: str) -> str:
    """A model for people; of its address the host alone, since the rest may hold a key."""
    if endpoint is None:
        return otherwise
    return f"{endpoint.model} at {urlsplit(endpoint.base_url).hostname}"
