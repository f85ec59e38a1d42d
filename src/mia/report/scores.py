"""One answer of one method to one question, as reports count it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from mia.evaluate import Done, Results
from mia.journal import Entry
from mia.judges.exact_match import exact, f1
from mia.statistics import Share, share
from mia.types import Question, Usage, VerdictValue


class Score(NamedTuple):
    """An episode, and where in its arm it stands."""

    method: str
    seed: int
    position: int
    """In the arm's order, counted from 1."""
    question: Question
    """With its gold answers, whatever the episode was shown of them."""
    occurrence: int | None
    """Its number among the questions of its family in this arm; None for one of no family."""
    entry: Entry
    exact: bool | None
    """Whether the answer is a gold answer; None where there is none."""
    f1: float | None
    """Token overlap with the nearest gold answer; None where there is none."""

    @property
    def judged(self) -> bool:
        return self.entry.episode.verdict.value is not VerdictValue.UNKNOWN

    @property
    def right(self) -> bool:
        """What could not be judged is not right."""
        return self.entry.episode.verdict.value is VerdictValue.CORRECT

    @property
    def remembering(self) -> Usage:
        """What remembering the episode cost."""
        remembered = self.entry.remembered
        return Usage() if remembered is None else remembered.usage


def label(method: str) -> str:
    """What a report calls a method: a file of somebody's own goes by its name alone."""
    return PurePath(method).stem if method.endswith(".py") else method


def scores_of(results: Results) -> tuple[Score, ...]:
    """Every answer to the questions of the results, by arm, in the order in which they were asked.
    An arm may have more questions; they count for positions and occurrences only."""
    by_id = {question.id: question for question in results.questions}
    return tuple(score for done in results.arms for score in _arm(done, by_id))


def _arm(done: Done, by_id: Mapping[str, Question]) -> Iterator[Score]:
    place = {id: position for position, id in enumerate(done.arm.order, 1)}
    seen: Counter[str] = Counter()
    for entry in done.entries:
        asked = entry.episode.question
        if asked.family is not None:
            seen[asked.family] += 1
        if asked.id in by_id:
            gold, answer = by_id[asked.id].answers, entry.episode.answer or ""
            yield Score(
                method=label(done.arm.method),
                seed=done.arm.seed,
                position=place[asked.id],
                question=by_id[asked.id],
                occurrence=None if asked.family is None else seen[asked.family],
                entry=entry,
                exact=exact(answer, gold) if gold else None,
                f1=f1(answer, gold) if gold else None,
            )


def by_method(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """The scores of each method, in the order in which methods first appear."""
    grouped: dict[str, list[Score]] = {}
    for score in scores:
        grouped.setdefault(score.method, []).append(score)
    return grouped


def accuracy(scores: Sequence[Score]) -> Share:
    """How many are right. Answers of several seeds to one question count as one cluster."""
    return share([s.right for s in scores], [s.question.id for s in scores])
