"""`mia images`: what a picture shows, by an index of pictures of one's own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.config import Loaded
from mia.errors import ConfigError, InputError
from mia.image_search import building
from mia.image_search.encoder import Encoder
from mia.image_search.local import SURE, LocalImages
from mia.image_search.stored import Manifest, Stored, is_index
from mia.pictures import Pictures
from mia.types import Noun

app = typer.Typer(
    help="Find what a picture shows, in a folder of labelled pictures.",
    no_args_is_help=True,
    add_completion=False,
)

Index = Annotated[
    Path | None, typer.Option("--index", help="An index; default: the one in the home.")
]
WithEncoder = Annotated[
    Path | None,
    typer.Option("--encoder", help="An ONNX model that makes a vector of a picture."),
]


class _Shown(Noun, frozen=True):
    """What `show` prints."""

    index: str
    manifest: Manifest
    titles: int


@app.command("build")
def build(
    folder: Annotated[
        Path,
        typer.Argument(help="Pictures, labelled by index.jsonl in it or beside it, or by name."),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where to put the index.")] = None,
    encoder: WithEncoder = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Builds the index of a folder, or builds it again with what has changed."""
    loaded = options.settings(config, home)
    place = out or _default(loaded)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of pictures")
    if out is None and is_index(place):
        held = Stored(place).manifest.source
        given = folder.resolve()
        if not (given.is_relative_to(held) or Path(held).is_relative_to(given)):
            raise ConfigError(f"{place} holds the pictures of {held}; choose a place with --out")
    built = building.build(folder, place, _encoder(encoder, loaded), note)
    if as_json:
        print_json({"index": str(place), **msgspec.to_builtins(built)})
        return
    for skipped in built.skipped:
        note(f"left out: {skipped}")
    note(f"indexed {built.pictures:,} pictures, {built.new:,} of them new or changed")
    print(place)


@app.command("search")
def search(
    image: Annotated[Path, typer.Argument(help="A picture's file.")],
    index: Index = None,
    limit: Annotated[
        int, typer.Option("--limit", "-k", min=1, max=12, help="How many pictures, at most.")
    ] = 3,
    encoder: WithEncoder = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Says what a picture shows."""
    loaded = options.settings(config, home)
    pictures = Pictures(loaded.settings.folder / "pictures")
    place = index or _default(loaded)
    engine = LocalImages(place, pictures, _encoder(encoder, loaded))
    if not image.is_file():
        raise InputError(f"no picture at {image}")
    try:
        picture = pictures.keep(image.read_bytes(), name=image.name)
    except InputError as error:
        raise InputError(f"{image}: {error}") from error
    hits = asyncio.run(engine.similar(picture, limit))
    if as_json:
        print_json(hits)
        return
    if not hits:
        note("nothing like it found")
        raise typer.Exit(7)
    for hit in hits:
        print(f"{hit.score:5.2f}  {hit.title}")


@app.command("show")
def show(
    index: Index = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Says what an index holds."""
    place = index or _default(options.settings(config, home))
    stored = Stored(place)
    titles = len({row.title for row in stored.rows})
    if as_json:
        print_json(_Shown(index=str(place), manifest=stored.manifest, titles=titles))
        return
    manifest = stored.manifest
    print(f"{place}: {manifest.pictures:,} pictures with {titles:,} titles, of {manifest.source}")
    print(
        f"nothing below a score of {SURE} is shown: one search in ten for something else gets"
        f" there ({manifest.strangers} were tried)"
    )
    print(f"encoder: {manifest.encoder or 'none'}")


def _default(loaded: Loaded) -> Path:
    chosen = loaded.settings.search.images.index
    return Path(chosen) if chosen else loaded.settings.folder / "indexes" / "images"


def _encoder(model: Path | None, loaded: Loaded) -> Encoder | None:
    chosen = model or loaded.settings.search.images.encoder
    return Encoder(Path(chosen)) if chosen else None
