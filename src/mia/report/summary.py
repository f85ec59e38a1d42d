"""All figures of a report, from what was written down. Nothing else in a report computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from mia.errors import InputError
from mia.evaluate import Evaluation, Results
from mia.report.beside import beside
from mia.report.comparison import Comparison, baseline_of, comparisons, seed_comparisons
from mia.report.contamination import Contamination, contamination
from mia.report.curves import Curve, Practice, curves, practice
from mia.report.rows import FamilyRow, Row, family_rows, rows, seed_rows
from mia.report.scores import Score, scores_of
from mia.types import Noun


class Summary(Noun, frozen=True):
    """What a report says."""

    evaluations: tuple[Evaluation, ...]
    """The heads of what is compared, without their arms: the rows name those."""
    questions: int
    """That all of them ask."""
    baseline: str
    rows: tuple[Row, ...]
    seeds: tuple[Row, ...]
    """The same a seed at a time; none where there is only one."""
    comparisons: tuple[Comparison, ...]
    seed_comparisons: tuple[Comparison, ...]
    families: tuple[FamilyRow, ...]
    curves: tuple[Curve, ...]
    practice: tuple[Practice, ...]
    contamination: Contamination
    cautions: tuple[str, ...]
    """What a reader has to know before believing it."""


class Report(NamedTuple):
    """A summary, and the answers it sums up."""

    summary: Summary
    scores: tuple[Score, ...]


def summarise(results: Results, baseline: str | None = None) -> Summary:
    """The figures of one evaluation. Raises InputError for a baseline that did not take part."""
    return report_of(results, (), baseline).summary


def report_of(
    results: Results, others: Sequence[Results] = (), baseline: str | None = None
) -> Report:
    """The figures of an evaluation, and of others beside it. Raises InputError for a baseline that
    did not take part, and for evaluations that share no question."""
    together = beside(results, others)
    scores = scores_of(together)
    every = rows(together, scores)
    if not every:
        raise InputError(f"evaluation {results.evaluation.name!r} has no arms")
    chosen = baseline_of([row.method for row in every], baseline)
    heads = tuple(replace(each.evaluation, arms=()) for each in (results, *others))
    summary = Summary(
        evaluations=heads,
        questions=len(together.questions),
        baseline=chosen,
        rows=every,
        seeds=seed_rows(together, scores),
        comparisons=comparisons(scores, chosen),
        seed_comparisons=seed_comparisons(scores, chosen),
        families=family_rows(scores),
        curves=curves(scores),
        practice=practice(scores),
        contamination=contamination(scores),
        cautions=(*_unfinished(every), *_apart((results, *others))),
    )
    return Report(summary, scores)


def _unfinished(every: Sequence[Row]) -> Iterator[str]:
    for row in every:
        if row.done < row.asked:
            yield (
                f"{row.method} is not at its end: {row.done} of {row.asked} answers are there, and"
                " it is compared over those alone."
            )
    for row in every:
        unjudged = row.accuracy.trials - row.accuracy_judged.trials
        if unjudged:
            yield f"{row.method}: {unjudged} of {row.done} could not be judged; they are not right."


def _apart(every: Sequence[Results]) -> Iterator[str]:
    """In what else than their methods evaluations beside each other differ."""
    known = [results.evaluation for results in every if results.evaluation.settings]
    about = {
        "judges": {judges for results in every if (judges := _judges(results))},
        "settings (models, search, budgets, the questions of the whole)": {
            head.settings for head in known
        },
        "versions of MIA": {head.version for head in known},
        "machines, which matters for seconds": {head.machine for head in known},
    }
    for what, values in about.items():
        if len(values) > 1:
            yield f"The evaluations differ in their {what}."
    runs = [each.evaluation.name for each in every if not each.evaluation.settings]
    if runs and len(every) > 1:
        yield f"Settings, version of MIA and machine are not known of {', '.join(runs)}."


def _judges(results: Results) -> frozenset[str]:
    """Who judged, whatever the settings say: `auto` is several."""
    entries = (entry for done in results.arms for entry in done.entries)
    return frozenset(entry.episode.verdict.judge for entry in entries) - {"none"}
