"""Grammars of spans, read by a small interpreter of GBNF: they allow the spans of a text, all of
them, and nothing else."""

from __future__ import annotations

import re
from itertools import product

from hypothesis import example, given
from hypothesis import strategies as st

from mia.grammar import literal, span_rules

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"|([a-z]+\d+)|([()|?])')
ESCAPE = re.compile(r"\\U([0-9a-f]{8})|\\([\"\\])")
PIECE = re.compile(r"\w+|[^\w\s]")
TEXTS = st.text(max_size=12) | st.text("ab1 .,-_'\"()%\\\n#[]", max_size=16)


class Sentences:
    """Everything that an expression over rules allows."""

    def __init__(self, rules: list[str]) -> None:
        self._rules = dict(rule.split(" ::= ", 1) for rule in rules)
        self._known: dict[str, set[str]] = {}

    def of(self, expression: str) -> set[str]:
        tokens = [match.groups() for match in TOKEN.finditer(expression)]
        said = self._choice(tokens)
        assert not tokens, f"not all was read: {tokens}"
        return said

    def _choice(self, tokens: list[tuple[str | None, ...]]) -> set[str]:
        said = self._sequence(tokens)
        while tokens and tokens[0][2] == "|":
            tokens.pop(0)
            said |= self._sequence(tokens)
        return said

    def _sequence(self, tokens: list[tuple[str | None, ...]]) -> set[str]:
        said = {""}
        while tokens and tokens[0][2] not in ("|", ")"):
            said = {a + b for a, b in product(said, self._one(tokens))}
        return said

    def _one(self, tokens: list[tuple[str | None, ...]]) -> set[str]:
        text, rule, sign = tokens.pop(0)
        if rule is not None:
            if rule not in self._known:
                self._known[rule] = self.of(self._rules[rule])
            said = self._known[rule]
        elif sign == "(":
            said = self._choice(tokens)
            assert tokens.pop(0)[2] == ")"
        else:
            assert text is not None
            said = {ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)}
        if tokens and tokens[0][2] == "?":
            tokens.pop(0)
            said = said | {""}
        return said


def allowed(text: str, banned: str = "") -> set[str]:
    spans, rules = span_rules(text, "w", banned)
    return Sentences(rules).of(spans)


def spans(text: str) -> set[str]:
    """From every word to every word or closing sign at or after it."""
    pieces = list(PIECE.finditer(text))
    begins = [n for n, piece in enumerate(pieces) if piece[0][0].isalnum()]
    ends = [n for n, piece in enumerate(pieces) if piece[0][0].isalnum() or piece[0] in ")!'\".%"]
    return {
        " ".join(text[pieces[begin].start() : pieces[end].end()].split())
        for begin in begins
        for end in ends
        if begin <= end
    }


@given(TEXTS)
@example('He said "Rovigo (Italy)." It\'s 5%!')
@example("a tag \U000e0041 of a flag")
@example("a\u00a0b\u2028c")
def test_the_grammar_allows_the_spans_of_the_text_and_nothing_else(text: str) -> None:
    assert allowed(text) == (spans(text) or {"?"})


@given(TEXTS)
def test_banned_characters_are_in_no_span(text: str) -> None:
    assert allowed(text, "[]#") == (spans(re.sub(r"[\[\]#]", " ", text)) or {"?"})


@given(st.text())
def test_a_literal_says_what_it_was_made_of(text: str) -> None:
    said = literal(text)
    assert said.isprintable() and Sentences([]).of(said) == {text}


def test_a_span_ends_where_a_name_may() -> None:
    assert allowed("St. Gallen, 1999 (CH)") >= {"St.", "St. Gallen", "1999 (CH)", "CH"}
    assert not allowed("St. Gallen, 1999 (CH)") & {"Gallen,", "1999 (", ", 1999", "(CH)", "allen"}
