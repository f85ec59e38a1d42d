"""The commands of `mia memory` that take it out, put it in, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import note, print_json
from mia.errors import InputError
from mia.memories.workflow import history, interchange, published


def export(
    path: Annotated[Path, typer.Argument(help="The file to write.")],
    as_published: Annotated[
        bool, typer.Option("--published", help="In the layout of the published MIA.")
    ] = False,
    when: Annotated[
        str | None, typer.Option("--as-of", help="As it was: a time, a snapshot, a log number.")
    ] = None,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Writes the workflows to a file, one a line."""
    with options.store(config, home) as store:
        past = store.all()[::-1] if when is None else history.as_of(store, when).workflows
    workflows = [w for w in past if namespace in (None, w.namespace)]
    if as_published:
        workflows = [w for w in workflows if w.trust == "trusted"]
        published.write(workflows, path)
    else:
        interchange.write(workflows, path)
    note(f"wrote {len(workflows)} workflows to {path}")


def import_(
    path: Annotated[
        Path, typer.Argument(help="What `mia memory export` or the published MIA wrote.")
    ],
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Adds the workflows of a file, all or none."""
    with options.opened(config, home, namespace) as house:
        done = interchange.import_(house.store, path, namespace)
    note(f"added {done.added} workflows; {done.skipped} were there already")


def backup(
    path: Annotated[Path, typer.Argument(help="The file to write.")],
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Copies the whole memory to a file, while it is in use."""
    with options.store(config, home) as store:
        store.backup(path)
    note(f"wrote {path}; to go back to it: mia memory restore {path}")


def snapshot(
    name: Annotated[str | None, typer.Argument(help="Its name; none to list them.")] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Names the present state, so that one can look at it or go back to it."""
    with options.store(config, home) as store:
        taken = history.snapshots(store) if name is None else (history.snapshot(store, name),)
    for one in taken:
        if as_json:
            print_json(one)
        else:
            print(f"{one.at}  {one.seq:>6}  {one.name}")
    if not taken:
        note("there are no snapshots yet; mia memory snapshot NAME takes one")


def restore(
    what: Annotated[str, typer.Argument(help="A backup's file, a snapshot, a time, a log number.")],
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Goes back to a backup, or to a moment of the past."""
    with options.store(config, home) as store:
        if Path(what).is_file():
            kept = store.restore(Path(what))
            note(f"restored {store.count()} workflows; what was there before is in {kept}")
            return
        try:
            done = history.restore(store, what)
        except InputError as error:
            raise InputError(f"{error}, and no file; see: mia memory snapshot") from error
    if as_json:
        print_json(done)
        return
    note(
        f"brought back {done.brought_back} workflows, recounted {done.recounted}, removed"
        f" {done.removed}"
    )
    if done.erased:
        note(f"{done.erased} more had been forgotten, and stay so")


def verify(
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Reads everything, and compares it with its checksums and with the log."""
    with options.store(config, home) as store:
        count = store.check()
        where = store.where
    note(f"{where}: {count} workflows, all whole, and the log's chain unbroken")
