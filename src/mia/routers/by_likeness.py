"""Picks the plan that is most like those that worked and least like those that did not; no model.

Plans are compared by what they ask for, never by what they are about. Typed plans are compared
step by step and by their rule, plans in prose by their words. Names are told by their capitals, so
a language without them leaves the names in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from mia.errors import ModelError
from mia.planner import parse_plan
from mia.router import Choice, PlanPair, Router
from mia.types import Plan, Question

_ABOUT = re.compile(r"\[[^\[\]]*\]")
_WORD = re.compile(r"#|[^\W\d_]+")
_DIGITS = 6
"""Of a score: what is less apart is apart by the order of a sum."""


class ByLikeness(Router):
    """Scores each candidate by its agreement with right plans less that with wrong ones. Among
    equals the shorter one is picked, then the one whose text comes first."""

    async def pick(
        self, question: Question, candidates: Sequence[Plan], pairs: Sequence[PlanPair]
    ) -> Choice:
        """Never fails: with nothing to go by, the shortest."""
        scores = [round(likeness(plan, pairs), _DIGITS) for plan in candidates]
        best = max(scores)
        equals = [index for index, score in enumerate(scores) if score == best]
        picked = min(equals, key=lambda index: _length(candidates[index]))
        below = max((score for score in scores if score < best), default=None)
        return Choice(index=picked, reason=_reason(len(pairs), best, below, len(equals)))


def likeness(plan: Plan, pairs: Sequence[PlanPair]) -> float:
    """Agreement with the right plans less agreement with the wrong ones, -1 to 1; a pair counts as
    often as it was seen."""
    seen = sum(pair.seen for pair in pairs)
    if not seen:
        return 0.0
    read = ((pair.seen, _read(pair.right), _read(pair.wrong)) for pair in pairs)
    return sum(n * (agreement(plan, r) - agreement(plan, w)) for n, r, w in read) / seen


def agreement(one: Plan, other: Plan) -> float:
    """How much two plans ask for the same, 0 to 1: what they have in common of all that either
    has."""
    typed = one.rule is not None and other.rule is not None
    first, second = (_asked(one), _asked(other)) if typed else (_words(one), _words(other))
    either = (first | second).total()
    return (first & second).total() / either if either else 0.0


def _read(text: str) -> Plan:
    """A remembered plan: typed where its text is one, in prose otherwise."""
    try:
        return parse_plan(text)
    except ModelError:
        return Plan(text=text)


def _asked(plan: Plan) -> Counter[Hashable]:
    """What the steps of a typed plan ask for, and which of them its rule combines, and how."""
    forms = [_form(step.text) for step in plan.steps]
    asked: Counter[Hashable] = Counter(forms)
    if plan.rule is not None:
        asked[plan.rule.op, *(forms[number - 1] for number in plan.rule.steps)] += 1
    return asked


def _form(step: str) -> tuple[str, ...]:
    """A step without what it is about. Its first word is no name, whatever its capital."""
    first, *rest = _WORD.findall(_ABOUT.sub(" ", step)) or [""]
    return (first.lower(), *_lower(rest))


def _words(plan: Plan) -> Counter[Hashable]:
    return Counter(set(_lower(_WORD.findall(_ABOUT.sub(" ", plan.text)))))


def _lower(words: Sequence[str]) -> Iterator[str]:
    return (word for word in words if word == word.lower())


def _length(plan: Plan) -> tuple[int, str]:
    return len(plan.text.split()), plan.text


def _reason(pairs: int, best: float, below: float | None, equals: int) -> str:
    """What decided."""
    picked = f"the shortest of {equals} plans" if equals > 1 else "this plan"
    if not pairs:
        return f"{picked}: no plans for such a question are known"
    known = "1 known pair" if pairs == 1 else f"{pairs} known pairs"
    if below is None:
        return f"{picked}: by {known}, there is no difference"
    return f"{picked}: by {known}, {best:+.2f} against {below:+.2f} for the next"
