"""Puts a server of a house's parts on its place, and serves until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mia.cli.output import note
from mia.config import Loaded
from mia.errors import MissingError, adding
from mia.team import House
from mia.training.versions import Role

if TYPE_CHECKING:
    from mia.servers.guard import App

Host = Annotated[
    str, typer.Option("--host", help="Where to listen; beyond this machine only with a token.")
]


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class Access(NamedTuple):
    """Who may ask a server."""

    token: str | None
    names: frozenset[str]


class Built(NamedTuple):
    """A server, and what it serves, in words."""

    app: App
    what: str
    example: Callable[[str], str] | None = None
    """How it is asked at its address, for people."""


@contextmanager
def needed() -> Generator[None]:
    """For imports of what servers are made of. Raises MissingError that says how to get it."""
    try:
        yield
    except ImportError as error:
        raise MissingError(f"a server needs {error.name}; run: {adding('server')}") from error


def serve(
    loaded: Loaded,
    place: Place,
    build: Callable[[House, Access], Built],
    corpus: Path | None = None,
    *,
    web: bool = False,
    versions: Mapping[Role, int] | None = None,
) -> None:
    """Serves what is built of a house, which is like the one that commands have but for `web` and
    `versions`. Raises ConfigError for a place that cannot be had, or that others reach without a
    token."""
    with needed():
        from mia.servers.guard import check_binding
        from mia.servers.run import address_of, listening, run
    chosen = loaded.settings.server
    access = Access(loaded.secrets.key(chosen.token_env), frozenset(chosen.names))
    check_binding(place.host, access.token)
    # taken before anything is read or indexed, which may take minutes
    house = House(loaded, corpus=corpus, web=web, say=note, versions=versions or {})
    with listening(*place) as at, house:
        built = build(house, access)
        note(f"serving {built.what}")
        if built.example is not None:
            note(built.example(address_of(at)))
        with suppress(KeyboardInterrupt):
            house.complete(run(built.app, at, note))
