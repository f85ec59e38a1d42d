"""`mia search`: what the corpus says."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.search.bm25 import BM25
from mia.snippets import snippet
from mia.team import House

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option("--limit", "-k", min=1, max=100)] = 5,
    corpus: options.Corpus = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Searches the corpus."""
    loaded = options.settings(config, home)
    with House(loaded, corpus=corpus, say=note) as house:
        found = asyncio.run(BM25(house.index()).search(query, limit))
    if as_json:
        print_json(found)
        return
    if not found:
        note("nothing found")
        raise typer.Exit(7)
    for passage in found:
        print(f"{passage.score:6.1f}  {passage.id}\n        {snippet(passage, query, 45)}")
