"""`mia search`: what the corpus says."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.index import found_index
from mia.cli.output import note, print_json
from mia.errors import ConfigError
from mia.search.bm25 import BM25
from mia.search.dense import Dense
from mia.search.hybrid import Hybrid
from mia.snippets import snippet
from mia.team import House
from mia.tool import Search

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Engine(StrEnum):
    """How passages are found."""

    BM25 = "bm25"
    DENSE = "dense"
    HYBRID = "hybrid"


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=100)] = 5,
    corpus: options.Corpus = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="An index: its folder, or its name in the list.")
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="By words, by meaning (`mia index embed` first), or both."),
    ] = Engine.BM25,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Searches the corpus."""
    if corpus is not None and index is not None:
        raise ConfigError("--corpus and --index exclude each other")
    loaded = options.settings(config, home)
    with House(loaded, corpus=corpus, say=note) as house:
        folder = house.sources.index() if index is None else found_index(index, config, home)
        found = house.complete(_engine(engine, folder, house).search(query, limit))
    if as_json:
        print_json(found)
        return
    if not found:
        note("nothing found")
        raise typer.Exit(7)
    places = 1 if engine is Engine.BM25 else 3
    for passage in found:
        print(f"{passage.score:6.{places}f}  {passage.id}\n        {snippet(passage, query, 45)}")


def _engine(engine: Engine, folder: Path, house: House) -> Search:
    if engine is Engine.BM25:
        return BM25(folder)
    dense = Dense(folder, house.embedder)
    if not dense.complete:
        note(f"some passages have no vector yet; run: mia index embed {folder}")
    return dense if engine is Engine.DENSE else Hybrid(BM25(folder), dense)
