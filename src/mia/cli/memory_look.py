"""The commands of `mia memory` that only look."""

from __future__ import annotations

from typing import Annotated

import typer

from mia.cli import options
from mia.cli.output import console, note, print_json
from mia.datasets.jsonl import question_of
from mia.errors import InputError
from mia.memories.workflow.exposures import STORE, Exposures
from mia.memories.workflow.history import as_of, changes
from mia.memories.workflow.log import Entry
from mia.memories.workflow.recall import FLOOR, Considered
from mia.memories.workflow.records import Source
from mia.memories.workflow.rows import Bucket, Rows
from mia.memories.workflow.store import Store
from mia.memories.workflow.uplift import ENOUGH, Uplift, uplift
from mia.types import Recalled, Workflow

_RECENT = 5
"""Entries of its history that a workflow is shown with."""
_FAR = 2
"""Irrelevant workflows that an explanation shows, so that one sees how far off they are."""
NOTHING_FOUND = 7
"""The exit code of a search that finds nothing."""
Id = Annotated[str, typer.Argument(help="A workflow's id, or the beginning of one.")]
Query = Annotated[str, typer.Argument(help="A question, as you would ask it.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="As it was then: a time, a snapshot, or a number of the log."),
]


def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    failures: Annotated[bool, typer.Option("--failures", help="Only failures.")] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Only what is not trusted.")
    ] = False,
    category: Annotated[str | None, typer.Option("--category")] = None,
    when: AsOf = None,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """The newest workflows."""
    with options.store(config, home) as store:
        everything = store.all() if when is None else as_of(store, when).workflows[::-1]
    wanted = [
        workflow
        for workflow in everything
        if namespace in (None, workflow.namespace)
        and (not failures or workflow.outcome == "failure")
        and (not quarantined or workflow.trust == "quarantined")
        and category in (None, workflow.category)
    ]
    if as_json:
        for workflow in wanted[:limit]:
            print_json(workflow)
        return
    _table(wanted[:limit])
    note(f"{len(wanted[:limit])} of {len(wanted)} workflows")


def _table(workflows: list[Workflow]) -> None:
    from rich.table import Table

    table = Table(box=None)
    table.add_column("id", no_wrap=True)
    for name in ("outcome", "category", "uses", "wins", "question"):
        table.add_column(name)
    for workflow in workflows:
        colour = "green" if workflow.outcome == "success" else "red"
        outcome = f"[{colour}]{workflow.outcome}[/]"
        if workflow.trust == "quarantined":
            outcome += " [yellow](quarantined)[/]"
        table.add_row(
            workflow.id, outcome, workflow.category, str(workflow.uses), str(workflow.wins),
            _plain(workflow.question_template),
        )  # fmt: skip
    console().print(table)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def show(
    id: Id,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """One workflow, whole: its steps, how it has done, where it comes from."""
    with options.store(config, home) as store:
        workflow = found(store, id)
        sources = store.read(lambda rows: rows.sources(workflow.id))
        history = changes(store, workflow.id, last=_RECENT)
    if as_json:
        print_json(workflow)
        return
    _show(workflow, sources)
    for number, entry in enumerate(history):
        print(f"{'' if number else 'history':10} {entry.at}  {entry.action}  {entry.reason}")


def _show(workflow: Workflow, sources: tuple[Source, ...]) -> None:
    facts = {
        "question": workflow.question_template,
        "plan": workflow.plan,
        "summary": workflow.summary,
        "lesson": workflow.lesson,
        "judged by": f"{workflow.verdict_kind} ({workflow.confidence:.2f})",
        "used": f"{workflow.uses} times, {workflow.wins} of them well",
        "against": ", ".join(workflow.contradicts),
        "from": f"episode {workflow.source_episode}, {workflow.created}",
        "sites": ", ".join(workflow.source_domains) or "-",
        "merged": f"{len(sources)} episodes in all" if len(sources) > 1 else "",
        "parents": ", ".join(workflow.parents),
        "absorbed": _absorbed(workflow),
    }
    print(f"{workflow.id}  {workflow.outcome}, {workflow.category}, {workflow.trust}")
    for name, text in facts.items():
        if text:
            print(f"{name:10} " + text.replace("\n", "\n" + " " * 11))


def _absorbed(workflow: Workflow) -> str:
    """What a policy's weights have to do with it; empty for nothing."""
    by = workflow.absorbed
    return f"by {by}: stands behind others (mia policy show {by})" if by else ""


def found(store: Store, id: str) -> Workflow:
    """The workflow of an id or of the only one that begins so. Raises InputError."""
    exact = store.get(id)
    if exact is not None:
        return exact
    alike = [workflow for workflow in store.all() if id and workflow.id.startswith(id)]
    if len(alike) == 1:
        return alike[0]
    problem = f"{len(alike)} workflows begin with" if alike else "no workflow"
    raise InputError(f"{problem} {id!r}; see: mia memory list")


def search(
    query: Query,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """What would be recalled for a question."""
    question = question_of(query, "the question")
    with options.opened(config, home, namespace) as house:
        recollection = house.complete(house.memory.explain(question)).recollection
    if as_json:
        print_json(recollection)
        return
    if recollection.empty:
        note("nothing like it is remembered; mia memory explain says why")
        raise typer.Exit(NOTHING_FOUND)
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


def explain(
    query: Query,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Why a recall returns what it does: every workflow it looked at, the parts of its score, and
    what became of it."""
    question = question_of(query, "the question")
    with options.opened(config, home, namespace) as house:
        explained = house.complete(house.memory.explain(question))
        weights = house.settings.memory.weights
    if as_json:
        print_json(explained)
        return
    print(f"looked up as   {explained.template}")
    print(f"in             {explained.category or 'every category'}")
    parts = (
        f"{weights.similarity} similarity + {weights.value} value + {weights.frequency} frequency"
    )
    print(f"score          {parts}; similarity at least {explained.floor:.2f}")
    far = [item for item in explained.considered if item.similarity < FLOOR]
    for item in explained.considered:
        if item not in far[_FAR:]:
            print(_judged(item))
    if far[_FAR:]:
        note(f"\nand {len(far[_FAR:])} more that are not relevant enough; --json lists them")
    if not explained.considered:
        note("memory is empty, or holds nothing of this kind; see: mia memory list")


def _judged(item: Considered) -> str:
    workflow = item.workflow
    absorbed = f"\n    absorbed {told}" if (told := _absorbed(workflow)) else ""
    return (
        f"\n{item.score:.3f} = similarity {item.similarity:.3f}, value {item.value:.3f}, "
        f"frequency {item.frequency:.3f}   {workflow.outcome}  {workflow.id}\n"
        f"    {workflow.question_template}\n    {item.fate}{absorbed}"
    )


def stats(
    with_uplift: Annotated[
        bool, typer.Option("--uplift", help="What memory adds to the share of right answers.")
    ] = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """How much is remembered, and how it has done."""
    loaded = options.settings(config, home, namespace)
    with options.store(config, home) as store:
        if with_uplift:
            _uplifts(store, loaded.settings.namespace, as_json)
            return
        buckets = store.stats(namespace)
    if as_json:
        for bucket in buckets:
            print_json(bucket)
    elif buckets:
        _buckets(buckets)
    else:
        note("nothing is remembered yet")


def _buckets(buckets: tuple[Bucket, ...]) -> None:
    from rich.table import Table

    table = Table("category", "outcome", "workflows", "uses", "wins", box=None)
    for bucket in buckets:
        table.add_row(bucket.category, bucket.outcome, str(bucket.workflows),
                      str(bucket.uses), str(bucket.wins))  # fmt: skip
    console().print(table)


def _uplifts(store: Store, namespace: str, as_json: bool) -> None:
    def known(rows: Rows) -> list[Uplift]:
        counted = Exposures(rows.session).all(namespace, ENOUGH)
        return [uplift(subject, exposure) for subject, exposure in counted]

    known_uplifts = store.read(known)
    if as_json:
        for item in known_uplifts:
            print_json(item)
        return
    if not known_uplifts:
        note(f"no figures yet: they need {ENOUGH} runs; set withhold = 0.1 under [memory] in"
             " mia.toml, so that memory stays out of one run in ten")  # fmt: skip
        raise typer.Exit(NOTHING_FOUND)
    from rich.table import Table

    table = Table("", "shown", "right", "withheld", "right", "uplift", "95 %", box=None)
    for item in known_uplifts:
        seen = item.exposure
        name = "memory as a whole" if item.subject == STORE else item.subject
        table.add_row(
            name, str(seen.shown), _share(seen.shown_won, seen.shown), str(seen.withheld),
            _share(seen.withheld_won, seen.withheld),
            "-" if item.uplift is None else f"{item.uplift:+.3f}",
            f"{item.low:+.3f} to {item.high:+.3f}",
        )  # fmt: skip
    console().print(table)


def _share(won: int, runs: int) -> str:
    return f"{won / runs:.3f}" if runs else "-"


def log(
    id: Annotated[str | None, typer.Argument(help="Only what happened to this workflow.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1)] = 20,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """What was changed in memory, when and why; the newest last."""
    with options.store(config, home) as store:
        entries = changes(store, id, last=limit)
    if id and not entries:
        raise InputError(f"nothing is known of a workflow {id!r}; see: mia memory log")
    for entry in entries:
        if as_json:
            print_json(entry._asdict())
        else:
            print(_told(entry))


def _told(entry: Entry) -> str:
    said = f"{entry.seq:>6}  {entry.at}  {entry.action:8} {entry.workflow or '':26} {entry.reason}"
    return said.rstrip()
