"""Titles of passages, and the names of what they are about."""

from __future__ import annotations

import re
import unicodedata

_DISAMBIGUATION = re.compile(r" \([^()]*\)$")
_WORD = re.compile(r"\w+")
_SAME_NAME = 0.5
"""Two names that share fewer of their words are taken for different things."""


def name_of(title: str) -> str:
    """A title without its disambiguation: `Emma (novel)` is called `Emma`."""
    return _DISAMBIGUATION.sub("", title)


def titled(title: str, about: str) -> float:
    """How well a title names a thing: 3 for the very title, 2 for the title without its
    disambiguation, and up to 1.5 for a name with words more or fewer (Jacobo Árbenz Guzmán)."""
    wanted, name = _folded(about), _folded(name_of(title))
    if wanted == _folded(title):
        return 3.0
    if name in (wanted, _folded(name_of(about))):
        return 2.0
    left, right = set(_WORD.findall(wanted)), set(_WORD.findall(name))
    shared = len(left & right) / max(1, len(left | right))
    return 1.5 * shared if shared >= _SAME_NAME else 0.0


def _folded(text: str) -> str:
    """Letter case and accents aside."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().strip())
    return "".join(char for char in decomposed if not unicodedata.combining(char))
