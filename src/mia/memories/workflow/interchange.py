"""Memories in and out as JSON Lines: one workflow a line, vectors left out, since the importing
side's embedder makes its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia.errors import InputError
from mia.memories.workflow import published
from mia.memories.workflow.compress import MAX_STEPS
from mia.memories.workflow.files import counts, refused, write_whole
from mia.memories.workflow.store import Store
from mia.types import Noun, Workflow, decode, encode


class Imported(Noun, frozen=True):
    """What an import did."""

    added: int
    skipped: int
    """Workflows whose id was there already, in the store or earlier in the file."""


def write(workflows: Iterable[Workflow], path: Path) -> None:
    """Writes workflows to a file that appears whole or not at all."""
    write_whole(path, (encode(workflow) + b"\n" for workflow in workflows))


def import_(store: Store, path: Path, namespace: str | None = None) -> Imported:
    """Adds the workflows of a file, all or none, to the namespaces they name or to the one given.
    The file may be in the published layout as well.

    Raises InputError that lists what cannot be read; nothing is added then.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    raw = path.read_bytes()
    if published.is_published(raw):
        workflows = published.read(path, namespace or "default")
    else:
        workflows = _lines(path, raw, namespace)
    added = store.add(workflows, f"imported from {path.name}")
    return Imported(added=added, skipped=len(workflows) - added)


def _lines(path: Path, raw: bytes, namespace: str | None) -> tuple[Workflow, ...]:
    workflows: list[Workflow] = []
    problems: list[str] = []
    for number, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            workflows.append(_workflow(line, namespace))
        except InputError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise refused(path, problems)
    return tuple(workflows)


def _workflow(line: bytes, namespace: str | None) -> Workflow:
    """One line. Raises InputError that says what is wrong with it."""
    try:
        workflow = decode(line, Workflow)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(str(error)) from error
    if not workflow.id.strip():
        raise InputError("a workflow needs an id")
    if len(workflow.steps) > MAX_STEPS:
        raise InputError(f"{len(workflow.steps)} steps; a workflow has at most {MAX_STEPS}")
    uses, wins = counts(workflow.uses, workflow.wins)
    return replace(workflow, uses=uses, wins=wins, namespace=namespace or workflow.namespace)
