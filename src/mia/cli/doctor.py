"""`mia doctor`: is everything here that an answer needs?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import typer

from mia.cli import options
from mia.cli.output import print_json
from mia.config import Loaded
from mia.engines import missing_models
from mia.errors import MIAError, SearchError
from mia.journal import Journal
from mia.model import Message, Sampling
from mia.models import catalog
from mia.provider import Provider
from mia.team import House
from mia.types import Noun

_FREE = 500_000_000
"""Bytes of free disk below which a person should know."""
_SHORT = Sampling(max_tokens=16)
_ROLES = ("manager", "planner", "executor", "judge")
_RESTORE = "restore the file from a copy"


class Check(Noun, frozen=True):
    """One thing looked at."""

    what: str
    ok: bool
    said: str
    mend: str = ""
    """What to do about it."""


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def doctor(
    corpus: options.Corpus = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Checks settings, models, endpoints, corpus, stores and disk, and says how to mend them."""
    loaded = options.settings(config, home)
    well = True
    for check in examine(loaded, corpus):
        well = well and check.ok
        if as_json:
            print_json(check)
            continue
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.what:12} {check.said}")
        if check.mend:
            print(f"      {'':12} → {check.mend}")
    if not well:
        raise typer.Exit(1)


def examine(loaded: Loaded, corpus: Path | None) -> Iterator[Check]:
    """All checks, one after the other."""
    yield Check(what="settings", ok=True, said=str(loaded.source or "defaults; no mia.toml"))
    yield from _disk(loaded.settings.folder)
    missing = missing_models(loaded)
    for model in catalog.KNOWN:
        yield _model(loaded.settings.folder, model, needed=model.name in missing)
    with House(loaded, corpus=corpus) as house:
        yield from _endpoints(house)
        yield from _embedder(house)
        yield from _search(house)
        yield from _images(house)
        yield _memory(house)
    yield _journal(loaded.settings.folder / "journal.db")


def _disk(folder: Path) -> Iterator[Check]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    mend = "" if writable else f"make {existing} a folder to write to, or set MIA_HOME to another"
    yield Check(what="home", ok=writable, said=str(folder), mend=mend)
    free = shutil.disk_usage(existing).free
    enough = free >= _FREE
    mend = "" if enough else "free some space: an answer that cannot be written down is not given"
    yield Check(what="disk", ok=enough, said=f"{free / 1e9:.1f} GB free", mend=mend)


def _model(folder: Path, model: catalog.KnownModel, needed: bool) -> Check:
    path = catalog.place(folder, model)
    get = f"mia models get {model.name}"
    if not path.is_file():
        said = "missing" if needed else "not here, and not needed by these settings"
        return Check(what=model.name, ok=not needed, said=said, mend=get if needed else "")
    whole = catalog.checksum(path) == model.sha256
    said = str(path) if whole else f"{path} is damaged"
    return Check(what=model.name, ok=whole, said=said, mend="" if whole else get)


def _endpoints(house: House) -> Iterator[Check]:
    asked: set[str] = set()
    for role in _ROLES:
        endpoint = house.engines.endpoint(role)
        if endpoint is None or endpoint.base_url in asked:
            continue
        asked.add(endpoint.base_url)
        yield _endpoint(house, role, f"{endpoint.model} at {endpoint.base_url}")


def _endpoint(house: House, role: str, name: str) -> Check:
    messages = (Message(role="user", content="Say yes."),)
    try:
        reply = house.complete(house.engines.model(role).reply(messages, sampling=_SHORT))
    except MIAError as error:
        mend = "check base_url, model and api_key_env in mia.toml"
        return Check(what=role, ok=False, said=f"{name}: {error}", mend=mend)
    return Check(what=role, ok=True, said=f"{name} answered in {reply.usage.seconds:.1f} s")


def _embedder(house: House) -> Iterator[Check]:
    endpoint = house.settings.models.embedder
    if endpoint is None:
        return
    name = f"{endpoint.model} at {endpoint.base_url}"
    try:
        dimensions = house.complete(house.embedder.embed(["A question."])).shape[1]
    except MIAError as error:
        mend = "check [models.embedder] in mia.toml"
        yield Check(what="embedder", ok=False, said=f"{name}: {error}", mend=mend)
    else:
        yield Check(what="embedder", ok=True, said=f"{name}, {dimensions} dimensions")


def _corpus(house: House) -> Check:
    try:
        folder = house.sources.index()
    except (MIAError, OSError) as error:
        return Check(what="corpus", ok=False, said=str(error), mend="mia index build CORPUS")
    return Check(what="corpus", ok=True, said=str(folder))


def _search(house: House) -> Iterator[Check]:
    """What is searched. Each provider of the web is asked once, which may cost a cent."""
    if not house.sources.on_the_web:
        yield _corpus(house)
        return
    for provider in house.sources.providers:
        yield house.complete(_provider(provider))


async def _provider(provider: Provider) -> Check:
    name = provider.name
    try:
        found = await provider.search("Rovigo", 1)
    except SearchError as error:
        mend = f"see [search.web.{name}] in docs/search.md, or take it out of `order`"
        return Check(what=name, ok=False, said=str(error), mend=mend)
    return Check(what=name, ok=True, said=f"answered with {len(found.passages)} results")


def _images(house: House) -> Iterator[Check]:
    if not house.sources.knows_pictures:
        return
    try:
        _ = house.sources.similar
    except MIAError as error:
        yield Check(what="pictures", ok=False, said=str(error), mend="check [search.images]")
    else:
        yield Check(what="pictures", ok=True, said="can be looked up")


def _memory(house: House) -> Check:
    chosen = house.settings.memory
    if chosen.store is None and not (house.settings.folder / "memory.db").is_file():
        return Check(what="memory", ok=True, said="empty")
    try:
        said = f"{house.store.check()} workflows, all whole"
    except MIAError as error:
        mend = (
            _RESTORE
            if chosen.store is None
            else f"check store in [memory] of mia.toml, and {chosen.store_key_env}"
        )
        return Check(what="memory", ok=False, said=str(error), mend=mend)
    at = "" if chosen.store is None else f"{house.store.where}: "
    return Check(what="memory", ok=True, said=f"{at}{said}")


def _journal(path: Path) -> Check:
    if not path.is_file():
        return Check(what="journal", ok=True, said="empty")
    try:
        with closing(Journal(path)) as journal:
            return Check(what="journal", ok=True, said=f"{journal.count()} episodes")
    except MIAError as error:
        return Check(what="journal", ok=False, said=str(error), mend=_RESTORE)
