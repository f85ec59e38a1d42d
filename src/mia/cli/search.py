"""`mia search`: what the corpus says."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mia.cli import options
from mia.cli.index import found_index
from mia.cli.output import note, print_json
from mia.errors import ConfigError
from mia.snippets import snippet
from mia.team import House

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Engine(StrEnum):
    """How a corpus is searched."""

    BM25 = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=100)] = 5,
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
    place = corpus if index is None else found_index(index, config, home)
    with House(loaded, corpus=place, web=web, say=note) as house:
        found = house.complete(house.search.search(query, limit))
    if as_json:
        print_json(found)
        return
    if not found:
        note("nothing found")
        raise typer.Exit(7)
    for passage in found:
        print(f"{passage.score:7.3f}  {passage.id}\n        {snippet(passage, query, 45)}")
