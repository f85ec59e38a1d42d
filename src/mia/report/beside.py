"""Several evaluations as one, over the questions that all of them ask; and a plain run as an
evaluation of one arm."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from mia.errors import InputError
from mia.evaluate import Arm, Done, Evaluation, Results
from mia.journal import Journal
from mia.report.scores import label


def beside(first: Results, others: Sequence[Results]) -> Results:
    """The arms of all, those of the others named after their evaluation as well. Raises InputError
    when an evaluation is named twice, or when there is no question that all ask."""
    every = (first, *others)
    names = [results.evaluation.name for results in every]
    if len(set(names)) < len(names):
        raise InputError(f"an evaluation cannot be compared with itself: {', '.join(names)}")
    asked = [{question.id: question.text for question in results.questions} for results in every]
    shared = tuple(
        question
        for question in first.questions
        if all(texts.get(question.id) == question.text for texts in asked)
    )
    if not shared:
        raise InputError(f"there is no question that all of these ask: {', '.join(names)}")
    taken = {label(done.arm.method) for done in first.arms}
    arms = tuple(_named(done, results, taken) for results in others for done in results.arms)
    return Results(first.evaluation, shared, (*first.arms, *arms))


def _named(done: Done, results: Results, taken: set[str]) -> Done:
    """An arm under a name that tells where it comes from; a plain run has that name already."""
    method, whole = label(done.arm.method), results.evaluation.name
    told = method if method == whole and method not in taken else f"{method} ({whole})"
    return done._replace(arm=replace(done.arm, method=told))


def of_run(journal: Journal, run: str) -> Results:
    """A run of `mia stream` as an evaluation whose only arm has the name of the run. What the run
    was to ask beyond what is done is not known. Raises InputError when there is no such run."""
    entries = tuple(journal.entries(run))
    if not entries:
        raise InputError(
            f"there is neither an evaluation nor a run {run!r}; see: mia eval --list (mia stream"
            " says at its end what it calls its run)"
        )
    questions = tuple(entry.episode.question for entry in entries)
    order = tuple(question.id for question in questions)
    arm = Arm(method=run, seed=0, run=run, order=order)
    judges = {entry.episode.verdict.judge for entry in entries} - {"none"}
    head = Evaluation(
        name=run,
        data="",
        digest="",
        arms=(arm,),
        judge=", ".join(sorted(judges)),
        settings="",
        machine="",
        started=entries[0].episode.started,
        version="",
    )
    return Results(head, questions, (Done(arm, entries),))
