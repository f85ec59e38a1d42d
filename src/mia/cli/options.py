"""Options that several commands share, and what they open."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from mia.cli.output import note
from mia.config import Loaded, load
from mia.engines import missing_models
from mia.errors import ConfigError, InputError, MissingError
from mia.memories.workflow.store import Store
from mia.models.shared import Replies
from mia.search.indexes import is_index
from mia.team import House

Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file, in place of mia.toml.")
]
Home = Annotated[Path | None, typer.Option("--home", help="Where memory, journal and models live.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="Whose memory.")]
Corpus = Annotated[
    Path | None,
    typer.Option(
        "--corpus",
        help="What to search: a JSONL file, a folder of documents, or an index (its folder, or its"
        " name in the list); default: what the settings name, or the web with a key, or the demo's"
        " corpus.",
    ),
]
Web = Annotated[bool, typer.Option("--web", help="Search the web, whatever the settings say.")]
Image = Annotated[
    list[str] | None,
    typer.Option("--image", help="A picture the question is about: a file or a URL. Repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
NoMemory = Annotated[bool, typer.Option("--no-memory", help="Neither recall nor remember.")]
Record = Annotated[
    Path | None,
    typer.Option("--record", help="Write every model, embedder and search call to this tape."),
]
Replay = Annotated[
    Path | None,
    typer.Option(
        "--replay",
        help="Take every call from this tape, without models. What memory recalls is part of the"
        " prompts: replay over the memory that was recorded over, or record with --no-memory.",
    ),
]


def settings(
    config: Path | None = None, home: Path | None = None, namespace: str | None = None
) -> Loaded:
    """The settings in force, with what the command line says on top."""
    loaded = load(config)
    changed = loaded.settings
    if home is not None:
        changed = msgspec.structs.replace(changed, home=str(home))
    if namespace is not None:
        changed = msgspec.structs.replace(changed, namespace=namespace)
    return msgspec.structs.replace(loaded, settings=changed)


def indexes(loaded: Loaded) -> Path:
    """Where the indexes lie that are called by their names."""
    return loaded.settings.folder / "indexes"


def named(loaded: Loaded, place: Path) -> Path:
    """The index of this name, where nothing lies at the place itself."""
    index = indexes(loaded) / place
    return index if is_index(index) and not place.exists() else place


def corpus_of(loaded: Loaded, given: Path | None) -> Path | None:
    """What `--corpus` means. Raises InputError where there is nothing."""
    found = None if given is None else named(loaded, given)
    if found is not None and not found.exists():
        raise InputError(f"no corpus at {given}, and no index of that name; see mia index list")
    return found


def house(
    loaded: Loaded,
    corpus: Path | None = None,
    record: Path | None = None,
    replay: Path | None = None,
    web: bool = False,
    replies: Replies | None = None,
) -> House:
    """The parts these settings describe. Raises MissingError that says how to fetch a model,
    ConfigError for options that exclude each other, and InputError for a corpus that is not
    there."""
    if web and corpus:
        raise ConfigError("--web and --corpus exclude each other")
    if record and replay:
        raise ConfigError("--record and --replay exclude each other")
    missing = [] if replay else missing_models(loaded)
    if missing:
        raise MissingError(f"{missing[0]} is not here yet; run: mia models get {' '.join(missing)}")
    place = corpus_of(loaded, corpus)
    return House(
        loaded, corpus=place, web=web, say=note, record=record, replay=replay, replies=replies
    )


def opened(
    config: Path | None = None, home: Path | None = None, namespace: str | None = None
) -> House:
    """The parts of these settings, without a look whether their models are there."""
    return House(settings(config, home, namespace), say=note)


@contextmanager
def store(config: Path | None, home: Path | None) -> Generator[Store]:
    """What is remembered."""
    with opened(config, home) as house:
        yield house.store
