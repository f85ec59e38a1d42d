"""`mia doctor`: is everything here that an answer needs?"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import typer

from mia.cli import options
from mia.cli.output import print_json
from mia.cli.search import ELSEWHERE, corpus_named, demo_only
from mia.config import Loaded, ProviderName
from mia.engines import missing_models
from mia.errors import ConfigError, MIAError, adding
from mia.journal import Journal
from mia.model import Message, Sampling
from mia.models import catalog
from mia.provider import Provider, ProviderError, Why
from mia.team import House
from mia.training.versions import ROLES, shelf
from mia.types import Noun, Passage

_FREE = 500_000_000
"""Bytes of free disk below which a person should know."""
_SHORT = Sampling(max_tokens=16)
_TOWN = Passage(id="1", title="Rovigo", text="A town in Italy.")
_ROLES = ("manager", "planner", "executor", "judge")
_RESTORE = "restore the file from a copy"
_EXTRAS = {"web": "HTML and PDF", "images": "pictures", "server": "mia serve"}
"""What is installed on demand, and what for."""
_EXTRA = re.compile(r"([\w.-]+).*extra == ['\"](\w+)['\"]")
"""A requirement of one of them, as the package's metadata has it."""
_MENDS: Mapping[Why, str] = {
    "key": "check {key}",
    "quota": "see to its credit, or take it out of `order` in [search.web]",
    "rate": "lower per_second in [search.web.{name}]",
    "down": "check the network, and base_url in [search.web.{name}] if there is one",
    "query": "take it out of `order` in [search.web]",
    "unreadable": "take it out of `order` in [search.web]",
}


class Check(Noun, frozen=True):
    """One thing looked at."""

    what: str
    ok: bool
    said: str
    mend: str = ""
    """What to do about it, or what else could be had."""


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def doctor(
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Checks settings, models, endpoints, corpus, stores and disk, and says how to mend them.

    Each endpoint and, where the web is searched, each provider is asked once, at its price.
    """
    if web and corpus:
        raise ConfigError("--web and --corpus exclude each other")
    loaded = options.settings(config, home)
    well = True
    for check in examine(loaded, corpus, web):
        well = well and check.ok
        if as_json:
            print_json(check)
            continue
        print(f"{'ok  ' if check.ok else 'FAIL'}  {check.what:12} {check.said}")
        if check.mend:
            print(f"      {'':12} → {check.mend}")
    if not well:
        raise typer.Exit(1)


def examine(loaded: Loaded, corpus: Path | None, web: bool = False) -> Iterator[Check]:
    """All checks, one after the other."""
    yield Check(what="settings", ok=True, said=str(loaded.source or "defaults; no mia.toml"))
    yield from _disk(loaded.settings.folder)
    yield _extras()
    missing = missing_models(loaded)
    for model in catalog.KNOWN:
        yield _model(loaded.settings.folder, model, needed=model.name in missing)
    place = None if corpus is None else options.named(loaded, corpus)
    with House(loaded, corpus=place, web=web) as house:
        yield from _endpoints(house)
        yield from _embedder(house)
        yield from _search(house)
        yield from _reranker(house)
        yield from _images(house)
        yield _policies(house)
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


def _extras() -> Check:
    without = lacking(requires("mia") or ())
    if not without:
        return Check(what="extras", ok=True, said=", ".join(_EXTRAS))
    said = f"not installed, if you want it: {', '.join(_EXTRAS[extra] for extra in without)}"
    return Check(what="extras", ok=True, said=said, mend=adding(*without))


def lacking(requirements: Iterable[str]) -> list[str]:
    """The extras that are not installed to the last package, given what MIA requires."""
    found = (_EXTRA.match(requirement) for requirement in requirements)
    missing = {match[2] for match in found if match and not _installed(match[1])}
    return [extra for extra in _EXTRAS if extra in missing]


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


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
        _ = house.sources.in_corpus
    except (MIAError, OSError) as error:
        mend = "check --corpus, or corpus and engine in [search] of mia.toml"
        return Check(what="corpus", ok=False, said=str(error), mend=mend)
    said = f"{corpus_named(house)}, indexed in {folder}"
    return Check(what="corpus", ok=True, said=said, mend=_else(house) if demo_only(house) else "")


def _else(house: House) -> str:
    """How something other than the demo's corpus is searched."""
    web = house.settings.search.web
    keys = filter(None, (web.provider(name).key_env for name in web.order))
    return f"{ELSEWHERE} or one of {', '.join(keys)}"


def _search(house: House) -> Iterator[Check]:
    """What is searched. Each provider of the web is asked once, which may cost a cent."""
    if not house.sources.on_the_web:
        yield _corpus(house)
        return
    try:
        providers = house.sources.providers
    except MIAError as error:
        mend = "check [search.web] in mia.toml"
        yield Check(what="web", ok=False, said=str(error), mend=mend)
        return
    names = house.settings.search.web.usable(house.loaded.secrets)
    for name, provider in zip(names, providers, strict=True):
        yield house.complete(_provider(house, name, provider))


async def _provider(house: House, name: ProviderName, provider: Provider) -> Check:
    try:
        found = await provider.search("Rovigo", 1)
    except ProviderError as error:
        key = house.settings.search.web.provider(name).key_env or "[search.web] in mia.toml"
        mend = _MENDS[error.why].format(name=name, key=key)
        return Check(what=name, ok=False, said=error.told, mend=mend)
    said = f"of the web, answered with {len(found.passages)} results"
    return Check(what=name, ok=True, said=said)


def _reranker(house: House) -> Iterator[Check]:
    chosen = house.settings.search.rerank
    if chosen is None:
        return
    try:
        reranker = house.sources.reranker
        assert reranker is not None
        house.complete(reranker.rerank("Rovigo", (_TOWN,), 1))
    except MIAError as error:
        mend = "check [search.rerank] in mia.toml"
        yield Check(what="reranker", ok=False, said=f"{chosen.model}: {error}", mend=mend)
    else:
        yield Check(what="reranker", ok=True, said=f"{chosen.model} answered")


def _images(house: House) -> Iterator[Check]:
    if not house.sources.knows_pictures:
        return
    if "images" in lacking(requires("mia") or ()):
        said = "there is where to look them up, but nothing to read them with"
        yield Check(what="pictures", ok=False, said=said, mend=adding("images"))
        return
    try:
        _ = house.sources.similar
    except MIAError as error:
        mend = "check [search.images] in mia.toml"
        yield Check(what="pictures", ok=False, said=str(error), mend=mend)
    else:
        yield Check(what="pictures", ok=True, said="can be looked up")


def _policies(house: House) -> Check:
    """Which adapters the embedded model speaks through."""
    said: list[str] = []
    for role in ROLES:
        if house.engines.endpoint(role) is not None:
            said.append(f"{role} is an endpoint's")
            continue
        try:
            version = house.engines.version(role)
            if version is not None:
                shelf(house.settings.folder, role).verify(version.number)
        except MIAError as error:
            mend = f"mia policy rollback {role}; see mia policy list"
            return Check(what="policies", ok=False, said=str(error), mend=mend)
        said.append(f"{role} as shipped" if version is None else f"{role} {version.number}")
    return Check(what="policies", ok=True, said=", ".join(said))


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
