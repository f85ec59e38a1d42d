"""The tables of a report as text: the terminal, Markdown and HTML show the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mia.evaluate import Evaluation
from mia.report.comparison import Comparison
from mia.report.curves import Practice
from mia.report.rows import Row
from mia.report.summary import Report, Summary
from mia.statistics import Share

_NONE = "–"
_CURVE_ROWS = 10
"""Points of a learning curve that its table shows."""


class Sheet(NamedTuple):
    """A table. Cells are plain text, some of it from outside: whoever shows them escapes them."""

    name: str
    """Unique in a report, and fit for an address within it."""
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    """How many columns, from the left, are words; the others are numbers."""

    def only(self, *wanted: int) -> Sheet:
        """Some of its columns, for where there is little room."""
        return self._replace(
            columns=tuple(self.columns[at] for at in wanted),
            rows=tuple(tuple(row[at] for at in wanted) for row in self.rows),
        )


def accuracy(summary: Summary) -> Sheet:
    """How right the methods are."""
    return Sheet(
        "accuracy",
        "How right",
        "Right of all that is done, and of what could be judged, each with its 95 % Wilson "
        "interval (over several seeds, of as many independent answers as they are worth); exact "
        "match and token F1 against the gold answers; how the runs ended.",
        ("method", "done", "right", "95 %", "of judged", "95 %", "EM", "F1", "answered",
         "abstained", "failed"),
        tuple((row.method, *_right(row)) for row in summary.rows),
    )  # fmt: skip


def cost(summary: Summary) -> Sheet:
    """What the methods cost."""
    return Sheet(
        "cost",
        "What it cost",
        "Means of one question, recalling and remembering included; seconds are what models "
        "took, not wall time; $ by the prices in the settings; of which "
        "memory: the tokens of remembering; memories and kB at the end of an arm.",
        ("method", "calls", "tokens in", "tokens out", "of which memory", "seconds", "$",
         "$ in all", "memories", "kB"),
        tuple((row.method, *_cost(row)) for row in summary.rows),
    )  # fmt: skip


def differences(summary: Summary) -> Sheet:
    """The methods against the baseline."""
    return Sheet(
        "differences",
        f"Against {summary.baseline}",
        f"Accuracy less that of {summary.baseline} over the questions both answered, with the 95 % "
        "interval of a paired bootstrap over questions (– where no question tells the two apart); "
        "questions on which a method did better and worse; p of McNemar's exact test (over several "
        "seeds the sign test over questions), and the same by Holm for all comparisons together.",
        ("method", "questions", "difference", "95 %", "better", "worse", "p", "p by Holm"),
        tuple((each.method, *_difference(each)) for each in summary.comparisons),
    )


def seeds(summary: Summary) -> Sheet:
    """Each seed by itself."""
    against = {(each.method, each.seed): each for each in summary.seed_comparisons}
    return Sheet(
        "seeds",
        "By seed",
        f"As above, for each order of the questions; the difference is to {summary.baseline}.",
        ("method", "seed", "done", "right", "95 %", "difference", "95 %", "p", "p by Holm"),
        tuple(
            (
                row.method, str(row.seed), _done(row), _share(row.accuracy), _range(row.accuracy),
                *_apart(against.get((row.method, row.seed))),
            )
            for row in summary.seeds
        ),
        words=2,
    )  # fmt: skip


def families(summary: Summary) -> Sheet:
    """Each family by itself."""
    return Sheet(
        "families",
        "By family",
        "Right of all that is done, for each family of questions.",
        ("family", "method", "done", "right", "95 %"),
        tuple(
            (row.family, row.method, str(row.accuracy.trials), *_sure(row.accuracy))
            for row in summary.families
        ),
        words=2,
    )


def curves(summary: Summary) -> Sheet:
    """The learning curves in a few rows each."""
    return Sheet(
        "curves",
        "Along the stream",
        "Right of all questions up to a position, and of the window of questions that ends there.",
        ("method", "position", "right so far", "95 %", "window", "right in it"),
        tuple(
            (
                curve.method, str(point.position), *_sure(point.cumulative), str(curve.window),
                _number(point.window),
            )
            for curve in summary.curves
            for point in curve.points[:: -max(1, len(curve.points) // _CURVE_ROWS)][::-1]
        ),
    )  # fmt: skip


def practice(summary: Summary) -> Sheet:
    """Accuracy by how often the family was met."""
    bins = {str(each): None for method in summary.practice for each in method.bins}
    return Sheet(
        "practice",
        "By how often the family was met",
        "Right of the questions whose family the method meets for the so-manieth time, and how "
        "many they are. Rare families are in the first columns only, so compare within a column.",
        ("method", *bins),
        tuple((each.method, *_practice(each, tuple(bins))) for each in summary.practice),
    )


def exposures(summary: Summary) -> Sheet:
    """Gold answers in recalled memories, counted."""
    beyond = {each.method: each.accuracy for each in summary.contamination.beyond}
    return Sheet(
        "exposures",
        "What answers may owe to leaks",
        "Recalled: runs for which memory returned anything. With the answer: those in which a gold "
        "answer stood in what a planner is shown of a memory. Without them: accuracy over the "
        "other runs. Not known: accuracy over what the closed-book control did not get right.",
        ("method", "done", "recalled", "with the answer", "right of these", "without them",
         "95 %", "not known", "95 %"),
        tuple(
            (
                each.method, str(each.done), str(each.recalled), str(each.leaked),
                str(each.leaked_right), *_sure(each.clean), *_sure(beyond.get(each.method)),
            )
            for each in summary.contamination.exposures
        ),
    )  # fmt: skip


def leaks(summary: Summary) -> Sheet:
    """Gold answers in recalled memories, listed."""
    return Sheet(
        "leaks",
        "Gold answers in recalled memories",
        "Each memory that was recalled with a gold answer in it.",
        ("method", "seed", "position", "question", "asked", "memory", "answer", "where it stands",
         "right"),
        tuple(
            (
                leak.method, str(leak.seed), str(leak.position), leak.question_id, leak.question,
                leak.memory, leak.gold, leak.excerpt, "yes" if leak.right else "no",
            )
            for leak in summary.contamination.leaks
        ),
        words=9,
    )  # fmt: skip


def answers(report: Report) -> Sheet:
    """What each method answered to each question; of several seeds, how many were right."""
    methods = [row.method for row in report.summary.rows]
    asked: dict[str, tuple[str, str]] = {}
    said: dict[tuple[str, str], list[bool | None]] = {}
    for score in report.scores:
        asked[score.question.id] = score.question.text, " / ".join(score.question.answers or ())
        key = score.question.id, score.method
        said.setdefault(key, []).append(score.right if score.judged else None)
    return Sheet(
        "answers",
        "Question by question",
        "+ right, - wrong, ? could not be judged; over several seeds how many were right.",
        ("id", "question", "gold", *methods),
        tuple(
            (id, *texts, *(_mark(said.get((id, method), [])) for method in methods))
            for id, texts in asked.items()
        ),
        words=3,
    )


def facts(head: Evaluation) -> dict[str, str]:
    """What is known of an evaluation, by name."""
    told = {
        "data": head.data,
        "SHA-256": head.digest,
        "judge": head.judge,
        "begun": head.started,
        "machine": head.machine,
        "MIA": head.version,
        "settings": head.settings,
    }
    return {name: value for name, value in told.items() if value}


def sheets(summary: Summary) -> tuple[Sheet, ...]:
    """All tables of a summary that have anything to say, in the order of a report."""
    every = (accuracy, cost, differences, seeds, families, curves, practice, exposures, leaks)
    return tuple(sheet for make in every if (sheet := make(summary)).rows)


def brief(summary: Summary) -> tuple[Sheet, ...]:
    """What fits on a terminal, and leaks where there are any."""
    leaky = any(each.leaked for each in summary.contamination.exposures)
    every = (
        accuracy(summary).only(0, 1, 2, 3, 6, 7, 8, 9, 10),
        cost(summary).only(0, 1, 2, 3, 5, 7, 8, 9),
        differences(summary).only(0, 1, 2, 3, 4, 5, 7),
        *((exposures(summary).only(0, 1, 2, 3, 4, 5, 6),) if leaky else ()),
    )
    return tuple(sheet for sheet in every if sheet.rows)


def _right(row: Row) -> tuple[str, ...]:
    return (
        _done(row), *_sure(row.accuracy), *_sure(row.accuracy_judged), _share(row.exact),
        _number(row.f1), str(row.answered), str(row.abstained), str(row.failed),
    )  # fmt: skip


def _cost(row: Row) -> tuple[str, ...]:
    each, whole = row.each, row.cost
    size = None if row.memory_bytes is None else row.memory_bytes / 1000
    return (
        f"{each(whole.calls):.1f}", f"{each(whole.prompt_tokens):,.0f}",
        f"{each(whole.completion_tokens):,.0f}", f"{each(row.remembering.tokens):,.0f}",
        f"{each(whole.seconds):.1f}", f"{each(whole.money):.5f}", f"{whole.money:.2f}",
        _whole(row.memories), _whole(size),
    )  # fmt: skip


def _difference(each: Comparison) -> tuple[str, ...]:
    apart, interval, p, adjusted = _apart(each)
    questions = str(each.questions)
    return questions, apart, interval, str(each.better), str(each.worse), p, adjusted


def _apart(each: Comparison | None) -> tuple[str, str, str, str]:
    if each is None or each.difference is None:
        return _NONE, _NONE, _NONE, _NONE
    apart = each.better or each.worse  # else the interval is a point, as if one could be so sure
    interval = f"{each.low:+.3f} to {each.high:+.3f}" if apart else _NONE
    return f"{each.difference:+.3f}", interval, chance(each.p), chance(each.p_holm)


def chance(p: float) -> str:
    """A p as people read it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _practice(each: Practice, bins: Sequence[str]) -> tuple[str, ...]:
    known = {str(bin): bin.accuracy for bin in each.bins}
    cells = (known.get(bin) for bin in bins)
    return tuple(_NONE if cell is None else f"{_share(cell)} of {cell.trials}" for cell in cells)


def _mark(rights: Sequence[bool | None]) -> str:
    if len(rights) > 1:
        return f"{sum(right is True for right in rights)}/{len(rights)}"
    return {True: "+", False: "-", None: "?"}[rights[0]] if rights else ""


def _done(row: Row) -> str:
    return str(row.done) if row.done == row.asked else f"{row.done} of {row.asked}"


def _sure(share: Share | None) -> tuple[str, str]:
    return (_NONE, _NONE) if share is None else (_share(share), _range(share))


def _share(share: Share) -> str:
    return _number(share.value)


def _range(share: Share) -> str:
    return f"{share.low:.3f}–{share.high:.3f}" if share.trials else _NONE


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f}"


def _whole(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"
