"""What the stepwise executor computes itself: dates, numbers, sameness, and the answer line of a
typed plan. Small models get none of these right, and none of them needs a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from mia.planner import plain, root
from mia.types import Plan

MONTHS: Sequence[str] = (
    "january february march april may june july august september october november december".split()
)
_MONTH = re.compile(rf"\b({'|'.join(MONTHS)})\b", re.IGNORECASE)
_YEAR = re.compile(r"\b(\d{3,4})\b")
_DAY = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)?\b")
_BC = re.compile(r"\bB\.?C", re.IGNORECASE)
_NUMBER = re.compile(
    r"(-?\d[\d,]*(?:\.\d+)?)\s*(million|billion|thousand)?\s*"
    r"(km|kilomet\w+|miles?|mi|metres?|meters?|m|feet|ft|foot)?\b",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    r"\d,\d{3}\b|\d\s*(?:million|billion|thousand|km|kilomet|mile|mi\b|met|m\b|feet|ft|foot)"
)
"""A thousands separator or a unit: what the number counts is not years."""
_SCALE = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_METRES = {"k": 1000.0, "mi": 1609.344, "me": 1.0, "m": 1.0, "f": 0.3048}
_WORD = re.compile(r"\w+")
_FILLER = frozenset({"the", "a", "an", "of", "and", "in", "from"})

Date = tuple[int, int, int]
"""Year (negative before Christ), month and day; 0 for a month or day that is not given."""


def parse_date(text: str) -> Date | None:
    """The first date in a text; None when there is no year."""
    year = _YEAR.search(text)
    if year is None:
        return None
    month = _MONTH.search(text)
    day = _DAY.search(_YEAR.sub(" ", text))
    sign = -1 if _BC.search(text) else 1
    return (
        sign * int(year[1]),
        MONTHS.index(month[1].lower()) + 1 if month else 0,
        int(day[1]) if day and month else 0,
    )


def parse_number(text: str) -> float | None:
    """The first quantity in a text, lengths in metres; None when there is none."""
    match = _NUMBER.search(text)
    if match is None:
        return None
    number = float(match[1].replace(",", ""))
    number *= _SCALE.get((match[2] or "").lower(), 1.0)
    unit = (match[3] or "").lower()
    for prefix, metres in _METRES.items():
        if unit and unit.startswith(prefix):
            return number * metres
    return number


@cache
def _nations() -> dict[str, str]:
    """Demonyms and short names, in lower case, to the country's usual name."""
    table: dict[str, str] = {}
    raw = files("mia.executors.stepwise").joinpath("nations.tsv").read_text(encoding="utf-8")
    for line in raw.splitlines():
        usual, *names = (name.strip() for name in line.split("\t"))
        table.update(dict.fromkeys((name.lower() for name in (usual, *names)), usual))
    return table


def country(name: str) -> str | None:
    """The usual name of the country that a text is the name or the demonym of."""
    return _nations().get(name.strip().lower())


def nations(text: str) -> set[str]:
    """The countries that a text mentions, by name or by demonym."""
    lowered = text.lower()
    return {
        usual
        for name, usual in _nations().items()
        if name in lowered and re.search(rf"\b{re.escape(name)}\b", lowered)
    }


def only_nations(text: str) -> bool:
    """Whether a text names countries and nothing else: British does, British Columbia does not."""
    left = text
    for name in sorted(_nations(), key=len, reverse=True):
        if name in text.lower():
            left = re.sub(rf"\b{re.escape(name)}\b", "", left, flags=re.IGNORECASE)
    return left != text and not re.search(r"[A-Z]\w", left)


def same(left: str, right: str) -> bool:
    """Whether two answers name the same thing: the same country, date, or words."""
    countries = nations(left), nations(right)
    if all(countries):
        return bool(countries[0] & countries[1])
    dates = parse_date(left), parse_date(right)
    if all(dates):
        return dates[0] == dates[1]
    words = _content(left), _content(right)
    return bool(words[0]) and (words[0] <= words[1] or words[1] <= words[0])


def _content(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)} - _FILLER


def before(left: str, right: str) -> bool | None:
    """Whether the left date or number is smaller; None when they cannot be told apart."""
    dates = parse_date(left), parse_date(right)
    measured = any(_MEASURE.search(text) for text in (left, right))
    if dates[0] is not None and dates[1] is not None and not measured:
        return _smaller(*_same_grain(dates[0], dates[1]))
    numbers = parse_number(left), parse_number(right)
    if numbers[0] is None or numbers[1] is None:
        return None
    return _smaller(numbers[0], numbers[1])


def _same_grain(left: Date, right: Date) -> tuple[Date, Date]:
    """Both dates as coarse as the coarser one."""
    grain = min(3 if date[2] else 2 if date[1] else 1 for date in (left, right))
    cut = [tuple(list(date)[:grain] + [0] * (3 - grain)) for date in (left, right)]
    return (cut[0][0], cut[0][1], cut[0][2]), (cut[1][0], cut[1][1], cut[1][2])


def _smaller(left: Date | float, right: Date | float) -> bool | None:
    if left == right:
        return None
    return left < right  # type: ignore[operator]  # both of one kind


def combine(plan: Plan, found: dict[int, str]) -> str | None:
    """The answer that a typed plan's last line makes of its steps' answers (by step number).

    None when a step it needs found nothing, or when what was found cannot be compared.
    """
    if plan.rule is None or any(number not in found for number in plan.rule.steps):
        return None
    op, numbers = plan.rule.op, plan.rule.steps
    values = [found[number] for number in numbers]
    if op == "step":
        return values[0]
    if op == "same":
        return "yes" if same(values[0], values[1]) else "no"
    if op == "longer":
        return _longer(plan, numbers, values)
    smaller = before(values[0], values[1])
    if smaller is None:
        return None
    winner = numbers[0] if smaller == (op == "first") else numbers[1]
    return _began_with(plan, winner)


def _longer(plan: Plan, numbers: tuple[int, ...], values: list[str]) -> str | None:
    dates = [parse_date(value) for value in values]
    spans: list[int] = []
    for start, end in ((dates[0], dates[1]), (dates[2], dates[3])):
        if start is None or end is None:
            return None
        spans.append((end[0] - start[0]) * 372 + (end[1] - start[1]) * 31 + end[2] - start[2])
    if spans[0] == spans[1]:
        return None
    return _began_with(plan, numbers[0] if spans[0] > spans[1] else numbers[2])


def _began_with(plan: Plan, number: int) -> str:
    return root(plan.steps, number) or plain(plan.steps[number - 1].text)
