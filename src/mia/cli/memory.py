"""`mia memory`: what is remembered."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.datasets.jsonl import question_of
from mia.errors import InputError
from mia.memories.workflow import interchange
from mia.memories.workflow.store import Store
from mia.team import House
from mia.types import Recalled, Workflow

app = typer.Typer(
    help="Look into memory, take it out, put it in.", no_args_is_help=True, add_completion=False
)


def _store(config: Path | None, home: Path | None) -> Store:
    return Store(options.settings(config, home).settings.folder / "memory.db")


@app.command("list")
def list_workflows(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    failures: Annotated[bool, typer.Option("--failures", help="Only failures.")] = False,
    category: Annotated[str | None, typer.Option("--category")] = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """The newest workflows."""
    with _store(config, home) as store:
        found = store.all(
            namespace, outcome="failure" if failures else None, category=category, limit=limit
        )
        total = store.count(namespace)
    if as_json:
        for workflow in found:
            print_json(workflow)
        return
    _table(found)
    note(f"{len(found)} of {total} workflows")


def _table(workflows: tuple[Workflow, ...]) -> None:
    from rich.table import Table

    table = Table(box=None)
    table.add_column("id", no_wrap=True)
    for name in ("outcome", "category", "uses", "wins", "question"):
        table.add_column(name)
    for workflow in workflows:
        colour = "green" if workflow.outcome == "success" else "red"
        table.add_row(
            workflow.id, f"[{colour}]{workflow.outcome}[/]", workflow.category,
            str(workflow.uses), str(workflow.wins), _plain(workflow.question_template),
        )  # fmt: skip
    console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command("show")
def show(
    id: Annotated[str, typer.Argument(help="A workflow's id.")],
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """One workflow, whole."""
    with _store(config, home) as store:
        workflow = store.get(id)
    if workflow is None:
        raise InputError(f"no workflow {id!r}; see: mia memory list")
    if as_json:
        print_json(workflow)
        return
    print(f"{workflow.id}  {workflow.outcome}, {workflow.category}, {workflow.trust}")
    print(f"question   {workflow.question_template}")
    print("plan       " + workflow.plan.replace("\n", "\n           "))
    print("summary    " + workflow.summary.replace("\n", "\n           "))
    if workflow.lesson:
        print(f"lesson     {workflow.lesson}")
    print(f"judged by  {workflow.verdict_kind} ({workflow.confidence:.2f})")
    print(f"used       {workflow.uses} times, {workflow.wins} of them well")
    print(f"from       episode {workflow.source_episode}, {workflow.created}")
    print(f"sources    {', '.join(workflow.source_domains) or '-'}")


@app.command("search")
def search(
    query: Annotated[str, typer.Argument(help="A question, as you would ask it.")],
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """What would be recalled for a question, and why."""
    question = question_of(query, "the question")
    with House(options.settings(config, home, namespace), say=note) as house:
        recollection = house.complete(house.memory.recall(question))
    if as_json:
        print_json(recollection)
        return
    if recollection.empty:
        note("nothing like it is remembered")
        raise typer.Exit(7)
    for recalled in (*recollection.successes, *recollection.failures):
        print(_why(recalled))


def _why(recalled: Recalled) -> str:
    workflow = recalled.workflow
    plan = workflow.plan.replace("\n", "\n    ")
    return (
        f"{recalled.score:.3f} = similarity {recalled.similarity:.3f}, value {recalled.value:.3f}, "
        f"frequency {recalled.frequency:.3f}   {workflow.outcome}  {workflow.id}\n"
        f"    {workflow.question_template}\n    {plan}"
    )


@app.command("export")
def export(
    path: Annotated[Path, typer.Argument(help="The JSONL file to write.")],
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Writes the workflows to a file."""
    with _store(config, home) as store:
        count = interchange.export(store, path, namespace)
    note(f"wrote {count} workflows to {path}")


@app.command("import")
def import_workflows(
    path: Annotated[Path, typer.Argument(help="A JSONL file that `mia memory export` wrote.")],
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Adds the workflows of a file, all or none."""
    with _store(config, home) as store:
        done = interchange.import_(store, path, namespace)
    note(f"added {done.added} workflows; {done.skipped} were there already")


@app.command("stats")
def stats(
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """How much is remembered, and how it has done."""
    with _store(config, home) as store:
        buckets = store.stats(namespace)
    if as_json:
        for bucket in buckets:
            print_json(bucket)
        return
    from rich.table import Table

    table = Table("category", "outcome", "workflows", "uses", "wins", box=None)
    for bucket in buckets:
        table.add_row(bucket.category, bucket.outcome, str(bucket.workflows),
                      str(bucket.uses), str(bucket.wins))  # fmt: skip
    console().print(table)
    if not buckets:
        print("nothing is remembered yet", file=sys.stderr)
