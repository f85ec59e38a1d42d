"""`mia index`: search indexes, from their first build to their vectors."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import console, note, print_json, progress
from mia.config import Loaded
from mia.errors import MissingError
from mia.search import corpus as corpora
from mia.search import indexes
from mia.search.dense_vectors import embed, kept
from mia.types import Noun, Passage

app = typer.Typer(
    help="Build and keep search indexes of your own documents.",
    no_args_is_help=True,
    add_completion=False,
)

Index = Annotated[Path, typer.Argument(help="The index: its folder, or its name in the list.")]
Source = Annotated[
    Path,
    typer.Argument(help="A JSONL file, a document, or a folder of Markdown, text, HTML and PDF."),
]
Strict = Annotated[bool, typer.Option("--strict", help="A file that cannot be read is an error.")]
_OFTEN = 0.2
"""Seconds between two looks at how far the work is."""


class Looked(Noun, frozen=True):
    """An index, as it is shown."""

    name: str
    index: str
    passages: int
    bytes: int
    """On the disk, with its vectors."""
    sources: tuple[str, ...]
    engines: tuple[str, ...]
    """bm25, and dense with each embedder that has made its vectors to the end."""
    built: str
    """UTC."""
    seconds: float
    """Since then."""
    stale: bool
    """Whether its sources have changed: `mia index update` applies that."""


@app.command("build")
def build_index(
    source: Source,
    out: Annotated[Path | None, typer.Option("--out", help="Where to put the index.")] = None,
    strict: Strict = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Builds the index of a corpus, or builds it again while others search in it."""
    folder = out or options.indexes(options.settings(config, home)) / corpora.identity(source)
    with _read(source, strict) as passages:
        count = indexes.build(passages, folder, str(source))
    if as_json:
        print_json({"index": str(folder), "passages": count})
    else:
        note(f"indexed {count:,} passages")
        print(folder)


@app.command("add")
def add_to_index(
    index: Index,
    source: Source,
    strict: Strict = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Adds the passages of another source; one with the id of another takes its place."""
    folder = found_index(options.settings(config, home), index)
    with _read(source, strict) as passages:
        change = indexes.add(folder, passages, str(source))
    _changed(change, as_json)


@app.command("delete")
def delete_from_index(
    index: Index,
    ids: Annotated[list[str], typer.Argument(help="Ids of passages, as `mia search` shows them.")],
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Deletes passages; what still stands in a source comes back with the next update."""
    change = indexes.delete(found_index(options.settings(config, home), index), ids)
    _changed(change, as_json)
    if change.deleted < len(set(ids)):
        note(f"{len(set(ids)) - change.deleted} of the ids were not there")
        raise typer.Exit(7)


@app.command("update")
def update_index(
    index: Index,
    strict: Strict = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Reads the sources of an index again, and applies what has changed."""
    folder = found_index(options.settings(config, home), index)
    with _left_out(strict) as unreadable:
        change = indexes.update(folder, unreadable)
    _changed(change, as_json)


@app.command("embed")
def embed_index(
    index: Index,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Makes the vectors that `--engine dense` and `hybrid` search by. Goes on where it was killed.

    A large corpus takes long: of passages of 90 words, MiniLM makes about 13 a second on a core.
    """
    folder = found_index(options.settings(config, home), index)
    with options.opened(config, home) as house:
        try:
            with _counted("vectors", as_json) as progress:
                done = house.complete(embed(folder, house.embedder, progress))
        except KeyboardInterrupt:
            name = house.embedder.name
            made = sum(each.rows for each in kept(folder) if each.embedder == name)
            note(f"\nstopped; {made:,} vectors are kept, and the same command goes on from there")
            raise
    _told(done, as_json, f"made {done.made:,} of {done.passages:,} vectors by {done.embedder}")


@app.command("list")
def list_indexes(
    as_json: options.Json = False, config: options.Config = None, home: options.Home = None
) -> None:
    """The indexes of this home."""
    room = options.indexes(options.settings(config, home))
    found = [_looked(path) for path in sorted(room.glob("*")) if indexes.is_index(path)]
    if as_json:
        for looked in found:
            print_json(looked)
        return
    from rich.table import Table

    table = Table(box=None)
    table.add_column("name", no_wrap=True)
    for column in ("passages", "MB"):
        table.add_column(column, justify="right")
    for column in ("engines", "age", "source"):
        table.add_column(column)
    for looked in found:
        table.add_row(
            looked.name, f"{looked.passages:,}", f"{looked.bytes / 1e6:,.1f}",
            ", ".join(looked.engines), _age(looked), ", ".join(looked.sources),
        )  # fmt: skip
    console().print(table)
    note(f"{len(found)} indexes in {room}")


@app.command("show")
def show_index(
    index: Index,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """What an index holds, and whether it is still what its sources say."""
    looked = _looked(found_index(options.settings(config, home), index))
    if as_json:
        print_json(looked)
        return
    for name, value in (
        ("index", looked.index),
        ("passages", f"{looked.passages:,}"),
        ("size", f"{looked.bytes / 1e6:,.1f} MB"),
        ("sources", ", ".join(looked.sources) or "none: it was built from Python"),
        ("engines", ", ".join(looked.engines)),
        ("age", _age(looked)),
    ):
        print(f"{name:10}{value}")


def found_index(loaded: Loaded, index: Path) -> Path:
    """The folder of an index that is called by it or by its name in the list. Raises MissingError
    that says how to find one."""
    found = index if indexes.is_index(index) else options.indexes(loaded) / index
    if not indexes.is_index(found):
        raise MissingError(f"no index at {index}; mia index list shows which there are")
    return found


def _looked(folder: Path) -> Looked:
    found = indexes.manifest(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    dense = tuple(f"dense ({made.embedder})" for made in kept(folder) if made.generation)
    return Looked(
        name=folder.name,
        index=str(folder),
        passages=found.passages,
        bytes=size,
        sources=tuple(source.place for source in found.sources),
        engines=("bm25", *dense),
        built=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.built)),
        seconds=round(time.time() - found.built, 1),
        stale=indexes.stale(found),
    )


def _age(looked: Looked) -> str:
    minutes = int(looked.seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    age = f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"
    return f"{age}, the sources have changed since" if looked.stale else age


def _changed(change: indexes.Change, as_json: bool) -> None:
    counts = f"added {change.added:,}, changed {change.changed:,}, deleted {change.deleted:,}"
    _told(change, as_json, f"{counts}; {change.passages:,} passages")


def _told(done: Noun, as_json: bool, words: str) -> None:
    if as_json:
        print_json(done)
    else:
        note(words)


@contextmanager
def _left_out(strict: bool) -> Generator[Callable[[str], None] | None]:
    """Who names the files that cannot be read, and at the end how many they are; nobody where each
    is an error."""
    if strict:
        yield None
        return
    told: list[str] = []

    def tell(reason: str) -> None:
        told.append(reason)
        note(f"left out: {reason}")

    yield tell
    if told:
        note(f"{len(told)} files were left out")


@contextmanager
def _counted(what: str, quiet: bool) -> Generator[Callable[[int, int], None]]:
    """Who shows on a terminal how far a long work is, and how fast it goes."""

    hidden = quiet or not sys.stderr.isatty()
    with progress(not hidden) as bar:
        task = bar.add_task(what, total=None)
        began, first = time.monotonic(), -1

        def show(done: int, total: int) -> None:
            nonlocal first
            first = done if first < 0 else first
            rate = (done - first) / max(1e-9, time.monotonic() - began)
            bar.update(task, completed=done, total=total, description=f"{what}, {rate:,.0f}/s")

        yield show


@contextmanager
def _read(source: Path, strict: bool) -> Generator[Iterable[Passage]]:
    """The passages of a source, counted on a terminal while they go through."""
    with _left_out(strict) as unreadable:
        passages = corpora.passages(source, unreadable)
        if not sys.stderr.isatty():
            yield passages
            return
        with console(err=True).status("reading ...") as status:
            yield _counted_by(status.update, passages)


def _counted_by(show: Callable[[str], None], passages: Iterable[Passage]) -> Iterator[Passage]:
    began = last = time.monotonic()
    for count, passage in enumerate(passages, 1):
        yield passage
        now = time.monotonic()
        if now - last > _OFTEN:
            last = now
            show(f"{count:,} passages, {count / (now - began):,.0f}/s")
