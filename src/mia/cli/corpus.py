"""`mia index` and `mia search`: the offline corpus."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.search import corpus as corpora
from mia.search.bm25 import BM25, build
from mia.snippets import snippet
from mia.team import House

app = typer.Typer(help="Search indexes of your own documents.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `build` a command of its own while it is the only one."""


@app.command("build")
def build_index(
    source: Annotated[Path, typer.Argument(help="A JSONL file, or a folder of .md and .txt.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to put the index.")] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Builds the index of a corpus, or builds it again."""
    loaded = options.settings(config, home)
    folder = out or loaded.settings.folder / "indexes" / corpora.identity(source)
    count = build(corpora.passages(source), folder, source=str(source))
    if as_json:
        print_json({"index": str(folder), "passages": count})
    else:
        note(f"indexed {count:,} passages")
        print(folder)


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
