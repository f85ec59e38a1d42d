"""`mia serve`: MIA's parts over HTTP."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import learn as learning
from mia.cli import (
    options,
    serve_agent,
    serve_api,
    serve_behind,
    serve_learner,
    serve_reference,
    train_options,
)
from mia.cli.search import corpus_named
from mia.cli.serving import Access, Built, Host, Place, needed, serve
from mia.config import Loaded
from mia.errors import ConfigError
from mia.team import House
from mia.training.served import NAME

app = typer.Typer(add_completion=False)

SEARCH_PORT = 8001
Web = Annotated[
    bool, typer.Option("--web/--no-web", help="Whether to search and read the web as well.")
]


class Role(StrEnum):
    """A service of the published system."""

    MEMORY = "memory"
    AGENT = "agent"
    LEARNER = "learner"
    REWARD = "reward"
    SEARCH = "search"


PORTS = {Role.MEMORY: 5000, Role.AGENT: 5000, Role.REWARD: 6000, Role.SEARCH: SEARCH_PORT,
         Role.LEARNER: 8765}  # fmt: skip
"""Where the published services listen."""


@app.callback(invoke_without_command=True)
def answer(
    context: typer.Context,
    learn: serve_api.Learn = False,
    judge: serve_api.Judge = None,
    name: Annotated[
        str, typer.Option("--name", help="Of what is served; the same name goes on with it.")
    ] = NAME,
    preset: serve_api.PresetName = None,
    changes: train_options.Set = None,
    guards: learning.Guard = None,
    canary: learning.Canary = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="The folder of the model that the planner's endpoint serves by vLLM."
        ),
    ] = None,
    begins: train_options.From = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu, cuda, mps. For --learn.")
    ] = None,
    reward: train_options.Reward = "",
    keep: serve_api.Keep = None,
    explore_per_day: serve_api.ExplorePerDay = None,
    corpus: options.Corpus = None,
    web: options.Web = False,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")
    ] = serve_api.PORT,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Serves MIA over HTTP: alone it answers questions at POST /v1/ask, by the version of the
    planner that is in use; with --learn it takes feedback, and gets better behind.

    The commands serve its parts.
    """
    if context.invoked_subcommand is not None:
        _refuse_before(context)
        return
    if web and corpus:
        raise ConfigError("--web and --corpus exclude each other")
    wishes = serve_api.Wishes(
        judge, preset, changes or (), guards or (), canary, begins, device, reward, keep,
        explore_per_day,
    )  # fmt: skip
    if not learn and wishes != serve_api.Wishes():
        raise ConfigError(
            "--judge, --preset, --set, --guard, --canary, --from, --device, --reward, --keep and"
            " --explore-per-day are for --learn"
        )
    loaded = options.settings(config, home, namespace)
    searched = options.corpus_of(loaded, corpus)
    around = serve_api.Around(name, base, searched, web, config, home, namespace)
    serve_api.api(loaded, Place(host, port), around, wishes if learn else None)


app.command(hidden=True)(serve_behind.behind)


@app.command()
def search(
    corpus: options.Corpus = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")
    ] = SEARCH_PORT,
    web: Web = True,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Serves the corpus, the web and pictures.

    GET /openapi.json tells its routes and what they take; GET /health and /metrics how it is.
    """
    _search(options.settings(config, home), Place(host, port), corpus, web)


@app.command()
def reference(
    role: Annotated[Role, typer.Option("--role", help="Which of the published services.")],
    host: Host = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="0 for a free one; default: the published."),
    ] = None,
    unsupervised: Annotated[
        bool,
        typer.Option("--unsupervised", help="Clients judge without right answers (memory, agent)."),
    ] = False,
    model_name: Annotated[
        str,
        typer.Option("--model-name", help="Of models that variables name (memory, agent)."),
    ] = serve_reference.MODEL_NAME,
    corpus: options.Corpus = None,
    web: Web = True,
    preset: serve_learner.PresetName = None,
    changes: train_options.Set = None,
    base: train_options.Base = None,
    begins: train_options.From = None,
    device: train_options.Device = "auto",
    name: train_options.Name = None,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Serves what a service of the published MIA serves, for its unmodified clients.

    The variables of the published services count where the settings say nothing. --preset, --set,
    --base, --from, --device and --name are for the learner.
    """
    if unsupervised and role not in (Role.MEMORY, Role.AGENT):
        raise ConfigError("--unsupervised is for --role memory and --role agent")
    if any((preset, changes, base, begins, name)) and role is not Role.LEARNER:
        raise ConfigError("--preset, --set, --base, --from and --name are for --role learner")
    loaded = options.settings(config, home, namespace)
    place = Place(host, PORTS[role] if port is None else port)
    if role is Role.SEARCH:
        _search(loaded, place, corpus, web)
    elif role is Role.REWARD:
        serve_reference.reward(loaded, place)
    elif role is Role.LEARNER:
        order = serve_learner.order_of(preset, changes or (), base, begins, name, device)
        serve_learner.learner(loaded, place, order)
    elif role is Role.AGENT:
        searched = options.corpus_of(loaded, corpus)
        serve_agent.agent(loaded, place, searched, model_name, unsupervised)
    else:
        serve_reference.memory(loaded, place, model_name, unsupervised)


def _refuse_before(context: typer.Context) -> None:
    """Raises ConfigError for options that stand before a command, where nobody would read them."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(
                f"options of mia serve {context.invoked_subcommand} stand behind it, not before"
            )


def _search(loaded: Loaded, place: Place, corpus: Path | None, web: bool) -> None:
    def build(house: House, access: Access) -> Built:
        with needed():
            from mia.servers.search import Parts
            from mia.servers.search import app as server
        sources = house.sources
        parts = Parts(
            corpus=sources.in_corpus,
            web=sources.online if web else None,
            pages=sources.pages if web else None,
            thumbnail=sources.thumbnail if web else None,
            pictures=sources.pictures,
            similar=sources.similar if sources.knows_pictures else None,
        )
        return Built(server(parts, *access), _served(house, web))

    serve(loaded, place, build, options.corpus_of(loaded, corpus))


def _served(house: House, web: bool) -> str:
    """What a server answers from, in words."""
    search = house.settings.search
    asked = ", ".join(search.web.usable(house.loaded.secrets))
    parts = (
        corpus_named(house),
        f"the web by {asked}" if web else "",
        "pictures" if house.sources.knows_pictures else "",
    )
    return "; ".join(filter(None, parts))
