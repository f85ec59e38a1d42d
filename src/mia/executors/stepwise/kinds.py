"""What kind of thing a lookup asks for, and whether a span of text can be one. Pure.

A small reader likes the wrong kind of span: a nationality for a birthplace, a title's number for a
date. Code tells these apart better than it does.
"""

from __future__ import annotations

import re
from typing import Literal

from mia.executors.stepwise.compute import MONTHS, country, only_nations

Kind = Literal["date", "place", "person", "country", "other"]

_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("date", re.compile(r"^(?:when|on what day|in what year)\b|\b(?:date|day|year) of\b", re.I)),
    ("country", re.compile(r"\bnationality\b|\b(?:which|what) country\b|\bcountry of\b", re.I)),
    (
        "place",
        re.compile(
            r"^where\b.*\b(?:born|die|buried|located|based|headquarters)\b"
            r"|^in (?:which|what) (?:city|town|place)\b|\bplace of (?:birth|death|burial)\b",
            re.I,
        ),
    ),
    ("person", re.compile(r"^(?:who|whose|by whom)\b", re.I)),
)
_ADJECTIVE = re.compile(r"(?:an|ish|ese|ch|sh|[^aeiou]i|eek|iss|ic)$", re.I)
_DATED = re.compile(rf"\d{{3}}|\b(?:{'|'.join(MONTHS)})\b", re.I)
"""Holds a year or a month: the pages' own dates are not always well formed."""
_WHICH_COUNTRY = re.compile(r"\b(?:which|what) country\b", re.I)


def kind_of(question: str) -> Kind:
    """What a question of one lookup asks for."""
    for kind, asks in _KINDS:
        if asks.search(question):
            return kind
    return "other"


def may_begin(kind: Kind, word: str) -> bool:
    """Whether an answer of a kind may begin with a word."""
    if kind == "date":
        return word[0].isdigit() or word.lower() in MONTHS
    return kind == "other" or not word[0].islower()


def fits(question: str, answer: str) -> bool:
    """Whether a span can be what a question asks for."""
    kind = kind_of(question)
    if not any(char.isalnum() for char in answer):
        return False
    if kind == "date":
        return _DATED.search(answer) is not None
    if kind == "person":
        return country(answer) is None
    if kind == "place":
        adjective = country(answer) is not None and _ADJECTIVE.search(answer)
        return not adjective or country(answer) == answer
    return True


def names_no_country(question: str, answer: str) -> bool:
    """Whether a country was asked for and something else was found: a town, a region."""
    return kind_of(question) == "country" and not only_nations(answer)


def as_asked(question: str, answer: str) -> str:
    """An answer in the form the question wants: "Which country" wants India, not Indian."""
    if _WHICH_COUNTRY.search(question):
        return country(answer) or answer
    return answer
