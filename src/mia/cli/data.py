"""`mia data`: sets of questions, from the hub or from your own files."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.datasets import catalog, files, getting
from mia.datasets.dataset import DataSet, Raw, Split
from mia.datasets.files import Broken
from mia.datasets.getting import Origin
from mia.datasets.jsonl import load
from mia.datasets.kept import About, got, names
from mia.datasets.named import named
from mia.datasets.own import ALL, own
from mia.errors import ConfigError
from mia.types import Noun, Picture, Question

app = typer.Typer(
    help="Get sets of questions, and look into them.", no_args_is_help=True, add_completion=False
)

_OFTEN = 0.2
"""Seconds between two looks at how far the work is."""
_SHOWN = 5
"""Bad rows whose reason is told."""


class Here(Noun, frozen=True):
    """A split that is here."""

    split: str
    path: str
    about: About | None
    """None where the file has changed since it was got."""


class Listed(Noun, frozen=True):
    """A set, as it is listed."""

    name: str
    what: str
    licence: str
    repo: str | None
    """On the hub."""
    needs_token: bool
    splits: tuple[Split, ...]
    here: tuple[Here, ...]


class Fetched(Noun, frozen=True):
    """What `get` has done."""

    name: str
    split: str
    path: str
    about: About


class Shown(Noun, frozen=True):
    """What `show` tells of a file of questions."""

    label: str
    questions: str
    corpus: str | None
    count: int
    gold: int
    """Questions with gold answers."""
    pictures: int
    """Questions with pictures."""
    families: dict[str, int]
    first: tuple[Question, ...]


@app.command("list")
def list_sets(
    as_json: options.Json = False, config: options.Config = None, home: options.Home = None
) -> None:
    """What there is, and what is here."""
    folder = options.settings(config, home).settings.folder
    mine = [own(name) for name in names(folder) if catalog.find(name) is None]
    listed = [_listed(each, folder) for each in (*catalog.KNOWN, *mine)]
    if as_json:
        for each in listed:
            print_json(each)
        return
    from rich.table import Table

    table = Table(box=None)
    for column in ("name", "what", "questions", "licence", "token?", "here"):
        table.add_column(column, no_wrap=column in ("name", "questions"))
    for each in listed:
        table.add_row(
            each.name, each.what, "\n".join(map(_counted, each.splits)), each.licence,
            "yes" if each.needs_token else "", "\n".join(map(_here, each.here)),
        )  # fmt: skip
    console().print(table)
    note("to get one: mia data get NAME")


@app.command("get")
def get(
    name: Annotated[str, typer.Argument(help="A name of the list, or with --from one of yours.")],
    split: Annotated[
        str | None, typer.Option("--split", help="Which part; default: the list's first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first N rows.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="A file or folder you have: Parquet, JSON, JSONL, CSV, TSV."),
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", help="The set whose columns your own file has.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", help="Another repository of the hub, OWNER/NAME.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Of the repository; default: the newest.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that do not fit, and name them.")
    ] = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Gets a set of questions, from the hub or from a file, and keeps it as JSONL.

    What was there before stays until the whole of it is here.
    """
    folder = options.settings(config, home).settings.folder
    if source and (repo or revision):
        raise ConfigError("--from goes without --repo and --revision")
    data_set = _meant(name, source, like, split)
    part = data_set.split(split)
    if source:
        rows, origin = _here_already(source, data_set, part)
    else:
        rows, origin = _from_hub(data_set, part, repo, revision, as_json)
    with _progress(as_json) as progress:
        about = getting.keep(
            folder, data_set, part, rows, origin,
            limit=limit, skip_bad=skip_bad, progress=progress,
        )  # fmt: skip
    label = f"{data_set.name}:{part.name}"
    path = named(label, folder).questions
    if as_json:
        print_json(Fetched(name=data_set.name, split=part.name, path=str(path), about=about))
        return
    _tell(label, about)
    print(path)


@app.command("show")
def show(
    data: Annotated[
        str, typer.Argument(help="NAME or NAME:SPLIT of the list, a JSONL file, or a folder.")
    ],
    n: Annotated[int, typer.Option("--n", "-n", min=0, help="How many questions.")] = 3,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """The first questions of a set, and of which families it is."""
    found = named(data, options.settings(config, home).settings.folder)
    questions = load(found.questions, _unopened)
    families = Counter(q.family for q in questions if q.family is not None)
    shown = Shown(
        label=found.label,
        questions=str(found.questions),
        corpus=None if found.corpus is None else str(found.corpus),
        count=len(questions),
        gold=sum(question.answers is not None for question in questions),
        pictures=sum(bool(question.pictures) for question in questions),
        families=dict(families.most_common()),
        first=questions[:n],
    )
    if as_json:
        print_json(shown)
        return
    print(f"{shown.label}: {shown.count:,} questions, {shown.gold:,} with gold answers,"
          f" {shown.pictures:,} with pictures")  # fmt: skip
    print(f"{shown.questions}{'' if shown.corpus is None else f'  with {shown.corpus}'}")
    for question in shown.first:
        print(f"\n{question.id}  {question.family or ''}".rstrip())
        print(f"  {question.text}")
        for picture in question.pictures:
            print(f"  picture: {picture.name}")
        if question.answers is not None:
            print(f"  = {' | '.join(question.answers)}")
    if families:
        print(f"\n{len(families)} families:")
    for family, count in families.most_common():
        print(f"{count:7,}  {family}")


def _listed(data_set: DataSet, folder: Path) -> Listed:
    return Listed(
        name=data_set.name,
        what=data_set.what,
        licence=data_set.licence,
        repo=data_set.repo,
        needs_token=data_set.gated,
        splits=data_set.splits,
        here=tuple(
            Here(split=one.split, path=str(one.path), about=one.about)
            for one in got(folder, data_set.name)
        ),
    )


def _counted(split: Split) -> str:
    return split.name if split.questions is None else f"{split.name} {split.questions:,}"


def _here(one: Here) -> str:
    if one.about is None:
        return f"{one.split} (changed since)"
    return f"{one.split} {one.about.questions:,}, {one.about.bytes / 1e6:,.1f} MB"


def _meant(name: str, source: Path | None, like: str | None, split: str | None) -> DataSet:
    """The set of the list, or one of the person's own. Raises ConfigError."""
    found = catalog.find(name)
    if found is not None:
        if like:
            raise ConfigError(f"--like is for names of your own; {name} is in the list")
        return found
    if source is None:
        catalog.known(name)
        raise AssertionError(name)
    return own(name, catalog.known(like) if like else None, split)


def _here_already(
    source: Path, data_set: DataSet, split: Split
) -> tuple[Iterable[Raw | Broken], Origin]:
    found = files.find(source, None if split is ALL else split.name, data_set.config)
    beside = source if source.is_dir() else source.parent
    return files.rows(found), Origin(source=str(source.resolve()), beside=beside)


def _from_hub(
    data_set: DataSet, split: Split, repo: str | None, revision: str | None, quiet: bool
) -> tuple[Iterable[Raw | Broken], Origin]:
    from mia.datasets.hub import Hub  # with an HTTP client that nothing else here needs

    hub = Hub(data_set, repo)
    commit = hub.commit(revision)
    if not quiet:
        note(f"getting {split.name} of {hub.repo}, {data_set.licence} ...")
    return hub.rows(split, commit), Origin(source=hub.repo, revision=commit)


def _tell(label: str, about: About) -> None:
    """What has been got, and what of it was no question."""
    note(f"{label}: {about.questions:,} questions of {about.rows:,} rows, {about.licence}")
    for apart in about.left_out:
        note(f"left out {apart.rows:,} rows: {apart.why}")
    if about.bad:
        numbers = ", ".join(str(bad.row) for bad in about.bad)
        note(f"left out {len(about.bad):,} rows that do not fit: {numbers}")
        for bad in about.bad[:_SHOWN]:
            note(f"  row {bad.row}: {bad.why}")


def _unopened(reference: str, name: str) -> Picture:
    """A picture that is only named: decoding them all would take minutes."""
    return Picture(id=reference, width=0, height=0, name=reference)


@contextmanager
def _progress(quiet: bool) -> Generator[Callable[[int], None]]:
    """Who shows on a terminal how many rows have gone through."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    began = last = time.monotonic()
    with console(err=True).status("reading ...") as status:

        def show(rows: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > _OFTEN:
                last = now
                status.update(f"{rows:,} rows, {rows / (now - began):,.0f}/s")

        yield show
