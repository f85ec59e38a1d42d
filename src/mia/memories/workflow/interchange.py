"""Memories in and out as JSON Lines: one workflow a line, vectors left out, since the importing
side's embedder makes its own."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from mia.errors import InputError
from mia.memories.workflow.compress import MAX_STEPS
from mia.memories.workflow.store import Store
from mia.types import Noun, Workflow, decode, encode

_MOST_USES = 10**9
"""Larger counts are no counts of ours."""


class Imported(Noun, frozen=True):
    """What an import did."""

    added: int
    skipped: int
    """Workflows whose id was there already, in the store or earlier in the file."""


def export(store: Store, path: Path, namespace: str | None = None) -> int:
    """Writes the workflows of a namespace, or of all, oldest first; returns how many. The file
    appears whole or not at all."""
    workflows = store.all(namespace)[::-1]
    fresh = path.with_name(f"{path.name}.{os.getpid()}.building")
    try:
        with fresh.open("wb") as file:
            file.writelines(encode(workflow) + b"\n" for workflow in workflows)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return len(workflows)


def import_(store: Store, path: Path, namespace: str | None = None) -> Imported:
    """Adds the workflows of a file, all or none, to the namespaces they name or to the one given.

    Raises InputError that lists every line that cannot be read; nothing is added then.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    workflows: list[Workflow] = []
    problems: list[str] = []
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            workflows.append(_workflow(line, namespace))
        except InputError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise InputError(f"nothing was imported from {path}: {'; '.join(problems)}")
    added = store.add(workflows)
    return Imported(added=added, skipped=len(workflows) - added)


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
    uses = min(max(workflow.uses, 0), _MOST_USES)
    return replace(
        workflow,
        uses=uses,
        wins=min(max(workflow.wins, 0), uses),
        namespace=namespace or workflow.namespace,
    )


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
