"""`mia serve`: MIA's parts over HTTP."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note
from mia.cli.search import corpus_named
from mia.errors import MissingError, adding
from mia.team import House

app = typer.Typer(help="Serve MIA over HTTP.", no_args_is_help=True, add_completion=False)

Host = Annotated[
    str, typer.Option("--host", help="Where to listen; beyond this machine only with a token.")
]


@app.callback()
def group() -> None:
    """Keeps `search` a command of its own while it is the only one."""


@app.command()
def search(
    corpus: options.Corpus = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for a free one.")] = 8001,
    web: Annotated[
        bool, typer.Option("--web/--no-web", help="Whether to search and read the web as well.")
    ] = True,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Serves the corpus, the web and pictures.

    GET /openapi.json tells its routes and what they take; GET /health and /metrics how it is.
    """
    try:
        from mia.servers.guard import check_binding
        from mia.servers.run import listening, run
        from mia.servers.search import Parts
        from mia.servers.search import app as server
    except ImportError as error:
        raise MissingError(f"a server needs {error.name}; run: {adding('server')}") from error
    loaded = options.settings(config, home)
    chosen = loaded.settings.server
    token = loaded.secrets.key(chosen.token_env)
    check_binding(host, token)
    corpus = options.corpus_of(loaded, corpus)
    # taken before anything is read or indexed, which may take minutes
    with listening(host, port) as at, House(loaded, corpus=corpus, say=note) as house:
        sources = house.sources
        parts = Parts(
            corpus=sources.in_corpus,
            web=sources.online if web else None,
            pages=sources.pages if web else None,
            thumbnail=sources.thumbnail if web else None,
            pictures=sources.pictures,
            similar=sources.similar if sources.knows_pictures else None,
        )
        built = server(parts, token, frozenset(chosen.names))
        note(f"serving {_served(house, web)}")
        with suppress(KeyboardInterrupt):
            house.complete(run(built, at, note))


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
