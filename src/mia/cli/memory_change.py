"""The commands of `mia memory` that correct what is remembered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
import typer
from msgspec.structs import replace

from mia.cli import options
from mia.cli.memory_look import Id, found
from mia.cli.output import note, print_json
from mia.errors import InputError
from mia.memories.workflow.classify import CATEGORIES
from mia.memories.workflow.compact import compact as tidy
from mia.memories.workflow.compress import MAX_WORDS
from mia.memories.workflow.forget import Choice, Forgotten
from mia.memories.workflow.forget import forget as erase
from mia.memories.workflow.remember import Keeping
from mia.team import House
from mia.types import Noun, Workflow, decode, encode


class _Editable(Noun, frozen=True, forbid_unknown_fields=True):
    """What a person may change of a workflow."""

    question_template: str
    plan: str
    summary: str
    lesson: str
    category: str


_EDITABLE = _Editable.__struct_fields__


def edit(
    id: Id,
    plan: Annotated[str | None, typer.Option(help="The new plan.")] = None,
    summary: Annotated[str | None, typer.Option(help="The new summary.")] = None,
    lesson: Annotated[str | None, typer.Option(help="The new lesson.")] = None,
    category: Annotated[str | None, typer.Option(help="The new category.")] = None,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Corrects a workflow: by options, or in your editor when there are none."""
    given = {"plan": plan, "summary": summary, "lesson": lesson, "category": category}
    changes = {name: text for name, text in given.items() if text is not None}
    with options.store(config, home) as store:
        workflow = found(store, id)
        edited = _checked(replace(workflow, **(changes or _by_hand(workflow))))
        if edited == workflow:
            note("nothing was changed")
            return
        store.write(lambda rows: rows.put(edited, reason="edited by hand"))
    note(f"changed {workflow.id}; see: mia memory log {workflow.id}")


def _by_hand(workflow: Workflow) -> dict[str, str]:
    """What the user's editor makes of the editable texts."""
    import click

    texts = _Editable(**{name: getattr(workflow, name) for name in _EDITABLE})
    written = click.edit(msgspec.json.format(encode(texts), indent=2).decode(), extension=".json")
    if written is None:
        return {}
    try:
        return msgspec.structs.asdict(decode(written, _Editable))
    except msgspec.DecodeError as error:
        raise InputError(f"this cannot be read any more, nothing was changed: {error}") from error


def _checked(workflow: Workflow) -> Workflow:
    if workflow.category not in CATEGORIES:
        raise InputError(f"no category {workflow.category!r}; one of: {', '.join(CATEGORIES)}")
    for name in _EDITABLE:
        words = len(getattr(workflow, name).split())
        if words > MAX_WORDS:
            raise InputError(f"the {name} has {words} words; at most {MAX_WORDS}")
    return workflow


def trust(
    id: Id,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="The other way: keep it, but never recall it.")
    ] = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Lets a workflow out of quarantine, or puts it there."""
    with options.store(config, home) as store:
        workflow = found(store, id)
        store.set_trust(workflow.id, "quarantined" if quarantine else "trusted", "by hand")
    note(f"{workflow.id} is {'in quarantine' if quarantine else 'trusted'} now")


def forget(
    id: Annotated[list[str] | None, typer.Argument(help="Ids of workflows.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Everything read on this site.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="Everything a run brought.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Everything since a time (ISO 8601).")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Everything that this judge vouched for.")
    ] = None,
    absorbed: Annotated[
        str | None,
        typer.Option("--absorbed", help="What a version absorbed, as 'planner 12'; or: all."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be forgotten.")
    ] = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Erases workflows for good, and what was written under their influence."""
    with options.opened(config, home, namespace) as house:
        choice = Choice(
            domains=() if source is None else (source,),
            episodes=() if run is None else house.journal.episode_ids(run),
            judges=() if judge is None else (judge,),
            workflows=tuple(found(house.store, one).id for one in id or ()),
            since=None if since is None else _time(since),
            absorbed=None if absorbed is None else _absorbers(house, absorbed),
        )
        report = erase(house.store, house.settings.namespace, choice, dry_run=dry_run)
    if as_json:
        print_json(report)
    else:
        _report(report, dry_run)


def _absorbers(house: House, said: str) -> tuple[str, ...]:
    """The versions that somebody means. Raises InputError for one that absorbed nothing here."""
    there = house.store.read(lambda rows: rows.absorbers(house.settings.namespace))
    if said == "all":
        return there
    version = " ".join(said.split())
    if version not in there:
        told = f"; there are: {', '.join(there)}" if there else "; nothing is absorbed"
        raise InputError(f"no version {said!r} absorbed anything{told}")
    return (version,)


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no time like 2026-11-22 or 2026-11-22T10:30") from error


def _report(report: Forgotten, dry_run: bool) -> None:
    parts = (
        ("forgotten", report.direct),
        ("descended", report.descendants),
        ("changed", report.unmerged),
        ("cleared", report.cleared),
        ("pair", report.pairs),
    )
    for title, gone in parts:
        for item in gone:
            print(f"{title:10} {item.id}  {item.why}")
    count = len(report.direct) + len(report.descendants) + len(report.cleared)
    if dry_run:
        note(f"{count} workflows would be forgotten; nothing was changed")
        return
    note(f"forgot {count} workflows and erased {report.texts} texts")
    if count and not report.scrubbed:
        note("somebody is reading the memory: traces stay in its file until the next"
             " `mia memory compact`")  # fmt: skip
    for copy in report.copies:
        note(f"this copy may still have them: {copy}")


def compact(
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Merges near-duplicates and lets go of what does not fit into the capacity."""
    with options.opened(config, home, namespace) as house:
        settings = house.settings
        keeping = Keeping(
            namespace=settings.namespace,
            embedder="",
            weights=settings.memory.weights,
            capacity=settings.memory.capacity,
        )
        done = house.store.write(lambda rows: tidy(rows, keeping))
        house.store.scrub()
    if as_json:
        print_json(done)
        return
    for merged in done.merged:
        print(f"merged   {merged.id} into {merged.into}")
    for gone in done.evicted:
        print(f"evicted  {gone.id}: {gone.reason}")
    note(f"{done.before} workflows before, {done.after} after")


def reembed(
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Makes all vectors anew, with the embedder of the settings."""
    with options.opened(config, home) as house:
        dropped = house.store.reembed("by hand")
        house.complete(house.memory.catch_up())
        note(f"dropped {dropped} vectors and made new ones with {house.embedder.name}")
