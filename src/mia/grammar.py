"""Pieces of GBNF, the grammars that llama.cpp decodes under."""

from __future__ import annotations

import re
from collections.abc import Callable

_PIECE = re.compile(r"\w+|[^\w\s]")
_CLOSING = frozenset(")!'\".%")
"""Punctuation that a name or an answer may end in."""


def literal(text: str) -> str:
    """A text as a GBNF terminal."""
    escaped = "".join(
        f"\\{char}" if char in '"\\' else char if char.isprintable() else f"\\U{ord(char):08x}"
        for char in text
    )
    return f'"{escaped}"'


def span_rules(
    text: str, name: str, banned: str = "", may_begin: Callable[[str], bool] = bool
) -> tuple[str, list[str]]:
    """An expression for the spans of a text, and the rules (named `<name><i>`) it refers to.

    A span begins at a word that `may_begin` one, and ends at a word or closing punctuation; white
    space counts as one blank. Characters in `banned` are left out of the text first.
    """
    for char in banned:
        text = text.replace(char, " ")
    pieces = [(match[0], match.start(), match.end()) for match in _PIECE.finditer(text)]
    words = (i for i, (piece, _, _) in enumerate(pieces) if piece[0].isalnum())
    starts = [f"{name}{i}" for i in words if may_begin(pieces[i][0])]
    rules: list[str] = []
    # a span cannot run on to where no piece after it may end
    last = max((i for i, (piece, _, _) in enumerate(pieces) if _may_end(piece)), default=-1)
    for i, (piece, _, end) in enumerate(pieces[: last + 1]):
        rest = ""
        if i < last:
            gap = literal(" ") + " " if pieces[i + 1][1] > end else ""
            rest = f"{gap}{name}{i + 1}"
        body = literal(piece)
        if rest:
            body += f" ({rest})?" if _may_end(piece) else f" {rest}"
        rules.append(f"{name}{i} ::= {body}")
    starts = [start for start in starts if int(start[len(name) :]) <= last]
    return " | ".join(starts) or literal("?"), rules


def _may_end(piece: str) -> bool:
    return piece[0].isalnum() or piece in _CLOSING
