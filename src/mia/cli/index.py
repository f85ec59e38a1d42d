"""`mia index`: search indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.search import corpus as corpora
from mia.search.bm25 import build

app = typer.Typer(
    help="Build search indexes of your own documents.", no_args_is_help=True, add_completion=False
)


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
