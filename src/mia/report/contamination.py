"""Whether answers come from where they should not: from the model's own knowledge (the closed-book
control), or from memory, which is to say how and not what.

A gold answer counts as recalled when it stands, as whole words, in what a planner is shown of one
memory. Short answers and yes or no would be found anywhere, and what the question says itself tells
nothing: those are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mia import render
from mia.judges.exact_match import normalise
from mia.report.scores import Score, accuracy, by_method
from mia.statistics import Share
from mia.types import Noun, Question, Recollection

CLOSED = "closed"
"""The method that may look nothing up."""
_SHORT = 3
"""Characters; an answer that is no longer is passed over."""
_SAYING_LITTLE = frozenset({"yes", "no", "true", "false", "noanswer"})
_AROUND = 40
"""Characters that are shown on either side of an answer that was found."""
_BETWEEN_WORDS = re.compile(r"[^\w\s]|_")


class Leak(Noun, frozen=True):
    """A gold answer in a recalled memory."""

    method: str
    seed: int
    position: int
    question_id: str
    question: str
    memory: str
    """The id of the memory, or its title where it has none."""
    gold: str
    excerpt: str
    """Where it stands, normalised."""
    right: bool
    """Whether the question was answered rightly."""


class Exposure(Noun, frozen=True):
    """How often a method was shown gold answers, and how it does without those questions."""

    method: str
    done: int
    recalled: int
    """Episodes for which memory returned anything."""
    leaked: int
    """Episodes in whose recollection a gold answer stood."""
    leaked_right: int
    clean: Share
    """Accuracy over the other episodes."""


class Beyond(Noun, frozen=True):
    """How a method does on what the model does not know by itself."""

    method: str
    accuracy: Share


class Contamination(Noun, frozen=True):
    """All that was found."""

    closed: Share | None
    """Accuracy of the closed-book control; None where it did not take part."""
    known: tuple[str, ...]
    """Ids of the questions that it answered rightly, with any seed."""
    beyond: tuple[Beyond, ...]
    """On the questions that it answered and did not know."""
    exposures: tuple[Exposure, ...]
    leaks: tuple[Leak, ...]


def contamination(scores: Sequence[Score]) -> Contamination:
    """What these answers may owe to the model's own knowledge and to recalled answers."""
    grouped = by_method(scores)
    control = grouped.get(CLOSED, [])
    known = {score.question.id for score in control if score.right}
    unknown = {score.question.id for score in control} - known
    leaks = {method: [_leaks(score) for score in of] for method, of in grouped.items()}
    return Contamination(
        closed=accuracy(control) if control else None,
        known=tuple(sorted(known)),
        beyond=tuple(
            Beyond(method=method, accuracy=accuracy([s for s in of if s.question.id in unknown]))
            for method, of in grouped.items()
            if control and method != CLOSED
        ),
        exposures=tuple(_exposure(method, of, leaks[method]) for method, of in grouped.items()),
        leaks=tuple(leak for of in leaks.values() for each in of for leak in each),
    )


def _exposure(method: str, scores: list[Score], leaks: list[tuple[Leak, ...]]) -> Exposure:
    leaked = [score for score, found in zip(scores, leaks, strict=True) if found]
    return Exposure(
        method=method,
        done=len(scores),
        recalled=sum(not score.entry.episode.recollection.empty for score in scores),
        leaked=len(leaked),
        leaked_right=sum(score.right for score in leaked),
        clean=accuracy([s for s, found in zip(scores, leaks, strict=True) if not found]),
    )


def _leaks(score: Score) -> tuple[Leak, ...]:
    """The gold answers that stand in what was recalled, at most one a memory."""
    golds = tuple(_telling(score.question))
    return tuple(
        Leak(
            method=score.method,
            seed=score.seed,
            position=score.position,
            question_id=score.question.id,
            question=score.question.text,
            memory=memory,
            gold=gold,
            excerpt=excerpt,
            right=score.right,
        )
        for memory, text in (_shown(score.entry.episode.recollection) if golds else ())
        for gold, excerpt in _found(golds, text)[:1]
    )


def _telling(question: Question) -> Iterator[str]:
    """The gold answers whose mention would give the answer away."""
    said = _words(f"{question.text} {question.caption or ''}")
    for gold in question.answers or ():
        wanted = _words(gold)
        tells = len(wanted) > _SHORT and wanted not in _SAYING_LITTLE
        if tells and f" {wanted} " not in f" {said} ":
            yield gold


def _shown(found: Recollection) -> Iterator[tuple[str, str]]:
    """Each memory by its id, as a planner sees it."""
    for item in found.successes:
        yield item.workflow.id, render.recollection(Recollection(successes=(item,)))
    for item in found.failures:
        yield item.workflow.id, render.recollection(Recollection(failures=(item,)))
    for item in found.notes:
        yield item.id or item.title, render.recollection(Recollection(notes=(item,)))


def _found(golds: Sequence[str], text: str) -> list[tuple[str, str]]:
    """The answers that stand in a text, each with its surroundings."""
    said = f" {_words(text)} "
    places = [(gold, said.find(f" {_words(gold)} ")) for gold in golds]
    return [
        (gold, said[max(0, at - _AROUND) : at + len(_words(gold)) + 2 + _AROUND].strip())
        for gold, at in places
        if at >= 0
    ]


def _words(text: str) -> str:
    """Normalised, and with a space wherever words meet at a hyphen or a slash."""
    return normalise(_BETWEEN_WORDS.sub(" ", text))
