"""Small helpers that turn facts into English, the same way on every machine."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import date
from hashlib import sha256

# Spelled out, since strftime follows the machine's locale.
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
# Letters that Unicode does not decompose into an ASCII letter and an accent.
PLAIN_LETTERS = str.maketrans({"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae"})


def stable(text: str) -> int:
    """A number that depends on the text alone, for choices that look arbitrary."""
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def pick(name: str, patterns: Sequence[str]) -> str:
    """The pattern that belongs to a name."""
    return patterns[stable(name) % len(patterns)]


def slug(text: str) -> str:
    """The text in lower-case ASCII letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN_LETTERS))
    letters = plain.encode("ascii", "ignore").decode().lower().replace("'", "")
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")


def day(when: date) -> str:
    """A date as the passages write it: 7 November 1867."""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def day_forms(when: date) -> tuple[str, ...]:
    """The ways in which an answer may write a date; the passages' own comes first."""
    american = f"{MONTHS[when.month - 1]} {when.day}, {when.year}"
    return (day(when), american, when.isoformat())


def age(born: date, at: date) -> int:
    """Full years from a birth to a later day."""
    return at.year - born.year - ((at.month, at.day) < (born.month, born.day))


def an(noun: str) -> str:
    """The noun behind the indefinite article that its first letter asks for."""
    # "Ukrainian" and "University" start with a vowel letter but not with a vowel sound.
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(("uk", "uni", "eu"))
    return f"{'an' if vowel else 'a'} {noun}"


def the(article: str | None, name: str) -> str:
    """A name together with its article, if it has one."""
    return f"{article} {name}" if article else name


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it stands."""
    return text[0].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence: one, two and three."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
