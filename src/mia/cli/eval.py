"""`mia eval`: methods beside each other on the same questions."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer

from mia import evaluate
from mia.cli import options
from mia.cli.eval_progress import Progress
from mia.cli.output import console, note, print_json
from mia.cli.search import ELSEWHERE, demo_only
from mia.config import Loaded
from mia.datasets import jsonl
from mia.datasets.named import Data, named
from mia.datasets.order import read_order
from mia.errors import ConfigError, InputError
from mia.evaluate import Arm, Evaluation, Folder
from mia.memories import own
from mia.methods import ABLATION, BASELINES, METHODS, Field, check, method
from mia.models.shared import Replies
from mia.report.scores import label
from mia.team import House
from mia.types import Noun, Question, encode

JUDGES = ("auto", "exact", "reference", "panel")
_GROUPS = {"baselines": BASELINES, "ablation": ABLATION}
_COMMAND = "command.json"


class Command(Noun, frozen=True):
    """What was asked for, so that `--resume` can ask for the same."""

    data: str
    methods: tuple[str, ...] = BASELINES
    limit: int | None = None
    seeds: tuple[int, ...] = (0,)
    order: str = "file"
    """`file`, or the path of a stream file; shuffled by each seed but 0."""
    warm: int | None = None
    judge: str | None = None
    corpus: str | None = None
    web: bool = False


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


_Data = Annotated[
    str | None,
    typer.Option("--data", help="A data set (mia data list), a JSONL file, or a folder."),
]
_Methods = Annotated[
    str, typer.Option("--methods", help="Names, groups (baselines, ablation), files.")
]
_Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N.")]
_Seeds = Annotated[str, typer.Option("--seed", help="Seeds of orders, as 0,1,2.")]
_Order = Annotated[
    str,
    typer.Option(
        "--order", help="file, or a stream file. Seed 0 asks in this order, others shuffle it."
    ),
]
_Warm = Annotated[
    int | None,
    typer.Option(
        "--warm",
        min=0,
        help="The warm-up: the first N questions stay first in every order, and the method"
        " `frozen` learns from them only.",
    ),
]
_Concurrency = Annotated[
    int, typer.Option("--concurrency", min=1, help="Questions at a time, over all arms.")
]
_Dollars = Annotated[
    float | None, typer.Option("--budget", min=0, help="US dollars for all of it.")
]
_Judge = Annotated[str | None, typer.Option("--judge", help=", ".join(JUDGES))]
_Name = Annotated[str | None, typer.Option("--name", help="What to call it.")]
_Resume = Annotated[
    str | None, typer.Option("--resume", help="Go on with an evaluation, as it was asked for.")
]
_List = Annotated[bool, typer.Option("--list", help="Evaluations and methods there are.")]


@app.command(name="eval")
def eval_(
    data: _Data = None,
    methods: _Methods = "baselines",
    limit: _Limit = None,
    seeds: _Seeds = "0",
    order: _Order = "file",
    warm: _Warm = None,
    concurrency: _Concurrency = 4,
    budget: _Dollars = None,
    judge: _Judge = None,
    corpus: options.Corpus = None,
    web: options.Web = False,
    name: _Name = None,
    resume: _Resume = None,
    list_: _List = False,
    as_json: options.Json = False,
    config: options.Config = None,
    home: options.Home = None,
) -> None:
    """Asks the same questions of several methods, and says how they compare.

    Killed or interrupted, the same command goes on where it stopped. While a memory grows, its
    questions are asked in order, one at a time; methods and seeds go on side by side.
    """
    loaded = options.settings(config, home)
    shelf = loaded.settings.folder / "evaluations"
    if list_:
        _list(shelf, as_json)
        return
    command = Command(
        data=_absolute(data) if data else "", methods=_methods(methods), limit=limit,
        seeds=_seeds(seeds), order=order if order == "file" else str(Path(order).resolve()),
        warm=warm, judge=judge, corpus=_absolute(str(corpus)) if corpus else None, web=web,
    )  # fmt: skip
    if resume is not None:
        kept = _command(Folder(shelf / resume))
        if name or command != Command(data=""):
            raise InputError(
                f"--resume goes on with {resume!r} as it was asked for; to add methods or seeds to"
                " it, give the whole command with --name"
            )
        command = kept
    elif not data:
        raise InputError(
            "say what to ask: --data questions.jsonl (or --resume NAME); see: mia eval --list"
        )
    _run(loaded, shelf, command, resume or name, concurrency, budget, as_json)


def _run(
    loaded: Loaded,
    shelf: Path,
    command: Command,
    name: str | None,
    concurrency: int,
    budget: float | None,
    as_json: bool,
) -> None:
    loaded = _judged(loaded, command.judge)
    data = named(command.data, loaded.settings.folder)
    corpus = Path(command.corpus) if command.corpus else data.corpus
    replies, corpus = Replies(), None if command.web else corpus
    with options.house(loaded, corpus, web=command.web, replies=replies) as house:
        check(command.methods, house, warm=command.warm)
        asking = _asked(command, data, house)
        questions, evaluation = asking.questions, _evaluation(command, asking, house, name)
        folder = Folder(shelf / evaluation.name)
        _check_files(folder, evaluation)
        if demo_only(house):
            note(f"searching the demo's corpus; {ELSEWHERE}")
        with closing(folder.journal()) as journal, journal.alone(evaluation.name):
            evaluation = _begun(folder, evaluation, command, questions)
            with (
                _stoppable(evaluation.name),
                Field(house, folder.memories, questions) as field,
                Progress(evaluation, folder, budget, replies, shown=not as_json) as progress,
            ):
                house.complete(
                    evaluate.evaluate(
                        evaluation, questions, field.contestant, folder, journal,
                        concurrency=concurrency, answered=progress.answered,
                    )
                )  # fmt: skip
    _tell(folder, progress, as_json)


@contextmanager
def _stoppable(name: str) -> Generator[None]:
    """Tells how to go on when somebody interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\nstopped; mia eval --resume {name} goes on from there")
        raise


def _tell(folder: Folder, progress: Progress, as_json: bool) -> None:
    from mia.cli.report import table
    from mia.report.summary import summarise

    results = folder.results()
    summary = summarise(results)
    if as_json:
        print_json(summary)
        return
    console().print(table(summary))
    name = folder.path.name
    if progress.broke and any(len(done.entries) < len(done.arm.order) for done in results.arms):
        note(f"the budget is spent; mia eval --resume {name} --budget MORE goes on from there")
    note(f"figures, and every answer: mia report {name}")


class Asking(NamedTuple):
    """The questions, in the order of seed 0."""

    label: str
    questions: tuple[Question, ...]


def _asked(command: Command, data: Data, house: House) -> Asking:
    every = jsonl.load(data.questions, house.beside(data.questions))
    if command.order == "file":
        asking = Asking(data.label, every[: command.limit])
    else:
        kept = read_order(Path(command.order), every)[: command.limit]
        asking = Asking(f"{data.label}, {Path(command.order).stem}", kept)
    if any(question.pictures for question in asking.questions):
        house.check_sight()
    return asking


def _evaluation(command: Command, asking: Asking, house: House, name: str | None) -> Evaluation:
    """The head of what was asked for. Named by what it is, so that the same command finds it."""
    raw = b"\n".join(map(encode, asking.questions))
    settings = house.fingerprint(raw, memory=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    called = name or f"{re.sub('[^a-zA-Z0-9_]+', '-', asking.label)}-{digest}"
    if Path(called).name != called:
        raise InputError(f"{called!r} is no name: it has to do as the name of a folder")
    return Evaluation(
        name=called,
        data=asking.label,
        digest=hashlib.sha256(raw).hexdigest(),
        arms=tuple(_arms(command, asking)),
        judge=house.settings.judge,
        settings=settings,
        machine=f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, "
        f"Python {platform.python_version()}",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("mia"),
    )


def _arms(command: Command, asking: Asking) -> Iterator[Arm]:
    ids = tuple(question.id for question in asking.questions)
    ends = () if command.warm is None else (min(command.warm, len(ids)),)
    for seed in command.seeds:
        order = evaluate.shuffled(ids, seed, ends) if seed else ids
        for name in command.methods:
            run = f"{Path(name).stem}-{seed}"
            warm = command.warm if method(name).warms_up else None
            yield Arm(method=name, seed=seed, run=run, order=order, warm=warm)


def _check_files(folder: Folder, evaluation: Evaluation) -> None:
    """Raises ConfigError for a file of somebody's own that cannot be run, before its arm is written
    down: what is, is gone on with ever after."""
    known = {arm.run for arm in folder.head().arms} if folder.begun else set[str]()
    fresh = (arm.method for arm in evaluation.arms if arm.run not in known)
    for file in dict.fromkeys(each for each in fresh if each.endswith(".py")):
        own.check(Path(file))


def _joined(before: Evaluation, evaluation: Evaluation) -> Evaluation:
    """An evaluation that was begun before, with new arms. Raises ConfigError for what cannot join
    those that it has."""
    if before.digest != evaluation.digest:
        raise _other(before, "questions")
    if before.settings != evaluation.settings:
        raise _other(before, "settings (models, search, budgets, judge)")
    known = {arm.run: arm for arm in before.arms}
    orders = {arm.seed: arm.order for arm in before.arms}
    for arm in evaluation.arms:
        if orders.get(arm.seed, arm.order) != arm.order:
            raise _other(before, f"orders of seed {arm.seed}, by --warm")
        if known.get(arm.run, arm) != arm:
            raise _other(before, f"{label(arm.method)}, by its file or --warm")
    fresh = (arm for arm in evaluation.arms if arm.run not in known)
    return msgspec.structs.replace(before, arms=(*before.arms, *fresh))


def _other(before: Evaluation, what: str) -> ConfigError:
    return ConfigError(
        f"evaluation {before.name!r} was begun with other {what}; go on with those, or choose"
        " another --name"
    )


def _begun(
    folder: Folder, evaluation: Evaluation, command: Command, questions: Sequence[Question]
) -> Evaluation:
    """The evaluation as it is on the disk from here on; tells what it will ask."""
    joined = _joined(folder.head(), evaluation) if folder.begun else evaluation
    folder.keep(_COMMAND, command)
    folder.begin(joined, questions)
    every, asked = ([label(arm.method) for arm in each.arms] for each in (joined, evaluation))
    note(f"{joined.name}: {len(questions)} questions, methods {', '.join(dict.fromkeys(every))}")
    if earlier := list(dict.fromkeys(each for each in every if each not in asked)):
        note(f"{', '.join(earlier)}: asked for before; for the others alone, choose another --name")
    return joined


def _command(folder: Folder) -> Command:
    folder.head()
    return folder.kept(_COMMAND, Command)


def _judged(loaded: Loaded, judge: str | None) -> Loaded:
    if judge is None:
        return loaded
    if judge not in JUDGES:
        raise InputError(f"there is no judge {judge!r}; there are {', '.join(JUDGES)}")
    changed = msgspec.structs.replace(loaded.settings, judge=judge)
    return msgspec.structs.replace(loaded, settings=changed)


def _absolute(said: str) -> str:
    """A path that holds from everywhere, or the name as it was said."""
    return str(Path(said).resolve()) if Path(said).exists() else said


def _methods(said: str) -> tuple[str, ...]:
    names = [name.strip() for name in said.split(",") if name.strip()]
    every = [_absolute(each) if each.endswith(".py") else each
             for name in names for each in _GROUPS.get(name, (name,))]  # fmt: skip
    if not every:
        raise InputError("--methods names none; see: mia eval --list")
    return tuple(dict.fromkeys(every))


def _seeds(said: str) -> tuple[int, ...]:
    try:
        seeds = tuple(dict.fromkeys(int(seed) for seed in said.split(",")))
    except ValueError:
        raise InputError(f"--seed takes numbers, as 0,1,2; not {said!r}") from None
    return seeds


def _list(shelf: Path, as_json: bool) -> None:
    names = sorted(path.name for path in shelf.glob("*") if Folder(path).begun)
    about = {name: method.about for name, method in METHODS.items()}
    if as_json:
        print_json({"evaluations": names, "methods": about})
        return
    from rich.table import Table

    table = Table("method", "what it is", title="methods", title_justify="left")
    for name, said in about.items():
        table.add_row(name, said)
    table.add_row("./mine.py", "a file of yours with recall(question) and remember(episode)")
    console().print(table)
    print(f"evaluations: {', '.join(names) or 'none yet'}")
