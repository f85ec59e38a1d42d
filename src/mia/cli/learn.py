"""`mia learn`: a stream of questions that are answered and learned from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from msgspec.structs import replace

from mia.cli import options
from mia.cli.output import console, note, print_json, progress
from mia.cli.policy_memory import put_to_use
from mia.cli.train_options import Base, Device, From, Name, Promote, Reward, Set, set_fields
from mia.datasets import jsonl
from mia.datasets.named import named
from mia.datasets.order import read_order
from mia.errors import InputError
from mia.report.learning import Standing, standing
from mia.team import House
from mia.training.bench import Order
from mia.training.buffer import Learned, Outcome
from mia.training.embedded import EMBEDDED
from mia.training.exercises import Exercise
from mia.training.guards import Limits
from mia.training.presets import PRESETS, Preset, Supervision
from mia.training.streams import Course, Judging, Taught, check, has_weights, learn
from mia.training.workshop import Workshop
from mia.types import Noun, Question, encode

if TYPE_CHECKING:
    from rich.table import Table

_JUDGES: tuple[Judging, ...] = get_args(Judging)

Judge = Annotated[
    str,
    typer.Option(
        "--judge",
        help="Who says what was right: gold (right answers), panel (models that see none), vote"
        " (what most attempts answer).",
    ),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="embedded-online, ttrl, ttrl-unsupervised, streaming; default: embedded-online for the"
        " embedded model, else streaming.",
    ),
]
Guard = Annotated[
    list[str] | None,
    typer.Option("--guard", help="A limit of the guards, as kl=0.1; may be repeated."),
]
Canary = Annotated[
    str | None,
    typer.Option(
        "--canary",
        help="Questions with answers that are never learned from: a policy that loses some of them"
        " goes back.",
    ),
]
OrderFile = Annotated[
    Path | None, typer.Option("--order", help="A file of ids: in which order to ask.")
]
NoWeights = Annotated[
    bool, typer.Option("--no-weights", help="Leave the planner's weights as they are.")
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name="learn")
def learn_(
    stream: Annotated[str, typer.Argument(help="A file of questions, or a data set.")],
    order: OrderFile = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N.")] = None,
    judge: Judge = "gold",
    preset: PresetName = None,
    changes: Set = None,
    guards: Guard = None,
    canary: Canary = None,
    no_memory: options.NoMemory = False,
    no_weights: NoWeights = False,
    base: Base = None,
    begins: From = None,
    reward: Reward = "",
    device: Device = "auto",
    name: Name = None,
    promote: Promote = False,
    corpus: options.Corpus = None,
    web: options.Web = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
    namespace: options.Namespace = None,
) -> None:
    """Answers questions in order, and learns from each before the next.

    For each: several plans are drawn, a router picks one, its answer counts; the others are tried
    out afterwards. Memory keeps what worked and what did not, and the planner's weights learn
    whenever a batch of questions is full. Killed or interrupted, the same command goes on where it
    stopped.
    """
    if judge not in _JUDGES:
        raise InputError(f"there is no judge {judge!r}; there are {', '.join(_JUDGES)}")
    judging: Judging = judge
    loaded = options.settings(config, home, namespace)
    data = named(stream, loaded.settings.folder)
    shop = Workshop(
        loaded, options.corpus_of(loaded, None if web else corpus or data.corpus), web, note
    )
    with House(loaded, say=note) as house:
        questions = _asked(data.questions, order, limit, house)
        watched = [] if canary is None else canaries(canary, house)
    supervision = "gold" if judging == "gold" else "judge"
    wished = Order(
        role="planner", preset=preset_of(preset, base, changes or (), supervision, shop), name="",
        data=data.label, base=base or EMBEDDED, begins=begins or "current", reward=reward,
        device=device,
    )  # fmt: skip
    course = Course(
        order=replace(wished, name=name or _called(data.label, questions, wished)),
        questions=questions,
        judging=judging,
        limits=set_fields(Limits(), guards or (), "--guard"),
        canary=watched,
        memory=not no_memory,
        weights=not no_weights,
    )
    _end(shop, course, _run(shop, course, as_json), promote=promote, as_json=as_json)


def _asked(file: Path, order: Path | None, limit: int | None, house: House) -> list[Question]:
    every = jsonl.load(file, house.beside(file))
    asked = (every if order is None else read_order(order, every))[:limit]
    if any(question.pictures for question in asked):
        house.check_sight()
    return list(asked)


def canaries(data: str, house: House) -> list[Exercise]:
    """The questions of `--canary`. Raises InputError where one has no right answer."""
    file = named(data, house.settings.folder).questions
    found = [Exercise(question=each) for each in jsonl.load(file, house.beside(file))]
    lacks = [each.question.id for each in found if not each.question.answers]
    if lacks:
        raise InputError(f"{data}: {len(lacks)} canary questions have no answer, as {lacks[0]!r}")
    return found


def preset_of(
    wanted: str | None,
    base: str | None,
    changes: Sequence[str],
    supervision: Supervision,
    shop: Workshop,
) -> Preset:
    """The numbers to learn by. Raises InputError for a preset that there is not."""
    models = shop.loaded.settings.models
    embedded = base is None and (models.planner or models.default) is None
    name = wanted or ("embedded-online" if embedded else "streaming")
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    return set_fields(replace(PRESETS[name], supervision=supervision), changes, "--set")


def _called(label: str, questions: Sequence[Question], order: Order) -> str:
    """A name by what it is, so that the same command finds the run again."""
    digest = hashlib.sha256(b"\n".join(map(encode, (*questions, order)))).hexdigest()[:8]
    return f"{re.sub('[^a-zA-Z0-9_]+', '-', label)}-{digest}"


def _learns(shop: Workshop, course: Course) -> str:
    """What learns, for people."""
    weights = course.weights and has_weights(shop, course.order)
    parts = [*(["weights"] if weights else []), *(["memory"] if course.memory else [])]
    return " and ".join(parts) or "nothing"


def _run(shop: Workshop, course: Course, as_json: bool) -> Taught:
    check(shop, course)
    learns, name = _learns(shop, course), course.order.name
    note(f"{name}: {len(course.questions)} questions; what learns: {learns}")
    if not has_weights(shop, course.order):
        note("the planner's weights are behind an endpoint: only memory and plan memory learn")
    try:
        if as_json:
            return learn(shop, course, print_json)
        return _shown(shop, course)
    except KeyboardInterrupt:
        note("\nstopped; the same command goes on from there")
        raise


def _shown(shop: Workshop, course: Course) -> Taught:

    total = len(course.questions) * max(1, round(course.order.preset.epochs))
    known: list[bool] = []
    with progress() as bar:
        task = bar.add_task("", total=total)

        def watch(noun: Noun) -> None:
            if isinstance(noun, Outcome):
                known.extend([] if noun.right is None else [noun.right])
                bar.console.print(_line(noun), markup=False)
                share = f"{sum(known) / len(known):.0%} right" if known else ""
                bar.update(task, completed=noun.place + 1, description=share)
            elif isinstance(noun, Learned):
                bar.console.print(_update(noun), markup=False)

        return learn(shop, course, watch)


def _line(one: Outcome) -> str:
    marks = {True: "right", False: "wrong", None: "?"}
    alike = len(set(one.rewards)) == 1
    tried = f"{len(one.rewards)} plans{', all alike' if alike else ''}"
    answer = (one.answer or "no answer")[:60]
    return f"{one.place + 1:>4}  {marks[one.right]:<5}  {answer}  ({tried}, {one.answered:.1f} s)"


def _update(one: Learned) -> str:
    taught = one.questions - one.dropped
    told = f"      update {one.update.version}: {taught} of {one.questions} questions taught"
    if one.canary:
        told += f" · canary {sum(one.canary)} of {len(one.canary)}"
    if one.alarm is not None:
        told += f" · {one.alarm.guard}: {one.alarm.told} ({one.alarm.action})"
    return told


def _end(shop: Workshop, course: Course, taught: Taught, *, promote: bool, as_json: bool) -> None:
    if promote and taught.version is not None:
        put_to_use(shop, "planner", course.order.base, taught.version.number)
    told = _standing(course, taught, _learns(shop, course))
    if as_json:
        print_json(told)
    else:
        _tell(told, taught, promote=promote)


def _standing(course: Course, taught: Taught, learns: str) -> Standing:
    return standing(
        taught.outcomes,
        taught.learned,
        name=course.order.name,
        judge=course.judging,
        learns=learns,
        length=len(course.questions),
        epochs=max(1, round(course.order.preset.epochs)),
    )


def _tell(told: Standing, taught: Taught, *, promote: bool) -> None:
    shown = console()
    shown.print(_passes(told))
    shown.print(_rules(told))
    for alarm in told.alarms:
        shown.print(alarm, markup=False)
    shown.print(
        f"{told.updates} updates, {told.taught - told.alike} of {told.taught} questions taught"
        f" · answers {told.answering.tokens:,} tokens, exploring {told.exploring.tokens:,}"
        f" · {told.answered:.1f} s to an answer (median), {told.seconds / 60:.1f} min in all",
        markup=False,
    )
    if taught.version is not None:
        number = taught.version.number
        then = "is in use" if promote else f"to use it: mia policy promote planner {number}"
        note(f"version {number} of the planner is published; {then}")


def _passes(told: Standing) -> Table:
    from rich.table import Table

    table = Table("pass", "right", "95 %", "unknown", "by how often the family came before")
    for epoch in told.epochs:
        bins = ", ".join(f"{each}: {each.accuracy.value or 0:.0%}" for each in epoch.by_occurrence)
        right = epoch.right
        value = "-" if right.value is None else f"{right.value:.1%} of {right.trials}"
        table.add_row(
            str(epoch.number), value, f"{right.low:.1%} to {right.high:.1%}", str(epoch.unknown),
            bins,
        )  # fmt: skip
    return table


def _rules(told: Standing) -> Table:
    from rich.table import Table

    table = Table("which plan", "right")
    for rule, share in told.rules.items():
        table.add_row(rule, "-" if share.value is None else f"{share.value:.1%}")
    return table
