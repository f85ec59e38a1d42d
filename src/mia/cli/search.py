"""`mia search`: what the corpus says, or the web."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mia.cli import options
from mia.cli.index import found_index
from mia.cli.output import note, print_json
from mia.errors import ConfigError
from mia.search import online_lane
from mia.snippets import snippet
from mia.team import House
from mia.types import Passage

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
ELSEWHERE = "your documents: --corpus PATH, the web: --web"
"""How something other than the demo's corpus is searched."""


class Engine(StrEnum):
    """How a corpus is searched."""

    BM25 = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=100, help="How many passages, at most.")
    ] = 5,
    corpus: options.Corpus = None,
    web: options.Web = False,
    index: Annotated[
        Path | None, typer.Option("--index", help="An index: its folder, or its name in the list.")
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option("--engine", help="By words, by meaning (`mia index embed` first), or both."),
    ] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Searches the corpus, or the web."""
    if sum((corpus is not None, index is not None, web)) > 1:
        raise ConfigError("--corpus, --index and --web exclude each other")
    loaded = options.settings(config, home)
    if engine is not None:
        chosen = msgspec.structs.replace(loaded.settings.search, engine=engine.value)
        settings = msgspec.structs.replace(loaded.settings, search=chosen)
        loaded = msgspec.structs.replace(loaded, settings=settings)
    place = options.corpus_of(loaded, corpus) if index is None else found_index(loaded, index)
    with House(loaded, corpus=place, web=web, say=note) as house:
        found = _found(house, query, limit)
    if as_json:
        print_json(found)
        return
    if not found:
        note("nothing found")
        raise typer.Exit(7)
    for rank, passage in enumerate(found, 1):
        # most providers of the web give an order and no scores
        mark = f"{passage.score:7.3f}" if passage.score else f"{rank:6}."
        print(f"{mark}  {passage.id}\n         {snippet(passage, query, 45)}")


def _found(house: House, query: str, limit: int) -> tuple[Passage, ...]:
    """What is found, and on stderr where, if that may surprise."""
    if not house.sources.on_the_web:
        if demo_only(house):
            note(f"searching the demo's corpus; {ELSEWHERE}")
        return house.complete(house.search.search(query, limit))
    with _told_once():
        answer = house.complete(house.sources.online.answer(query, limit))
    for reason in answer.failed:
        note(reason)
    note(f"answered by {answer.engine or 'nobody: there is no word to search for'}")
    return answer.passages


@contextmanager
def _told_once() -> Generator[None]:
    """A refusal stands in the answer, or in the error; the log would tell it a second time."""
    log = logging.getLogger(online_lane.__name__)
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def demo_only(house: House) -> bool:
    """Whether nothing was named to be searched, so that it is the demo's corpus."""
    return _named(house) is None and not house.sources.on_the_web


def corpus_named(house: House) -> str:
    """The corpus of a house, in words."""
    named = _named(house)
    return "the demo's corpus" if named is None else f"the corpus {named}"


def _named(house: House) -> Path | None:
    """The corpus that was named, by an option or in the settings."""
    chosen = house.settings.search.corpus
    return house.corpus or (Path(chosen) if chosen else None)
