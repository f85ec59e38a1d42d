"""The small web that provider stand-ins search: a seeded corpus with a real ranking, and recorded
result lists for the questions that have one."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from mia.demo import world
from mia.types import Noun, Passage

T = TypeVar("T")

_WORD = re.compile(r"\w+")
_K1, _B = 1.2, 0.75
"""The usual constants of BM25."""
_TITLE_WEIGHT = 3


class Doc(Noun, frozen=True):
    """A page of the small web."""

    number: int
    passage: Passage
    picture: str = ""
    """The address of its picture."""


class _Row(msgspec.Struct, frozen=True):
    question: str
    recorded_results: list[str] = []


class Corpus:
    """Passages, and which of them a question had as results when it was recorded."""

    def __init__(
        self, passages: Iterable[Passage], recorded: Iterable[tuple[str, Sequence[str]]] = ()
    ) -> None:
        """`recorded` are questions with the ids of their results, best first."""
        self.docs = [Doc(number=n, passage=passage) for n, passage in enumerate(passages)]
        numbers = {doc.passage.id: doc.number for doc in self.docs}
        self._recorded = {
            _key(question): [numbers[one] for one in ids if one in numbers]
            for question, ids in recorded
        }
        self._index: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._lengths: list[int] = []
        for doc in self.docs:
            counts = Counter(_words(doc.passage.title) * _TITLE_WEIGHT + _words(doc.passage.text))
            self._lengths.append(counts.total())
            for word, count in counts.items():
                self._index[word].append((doc.number, count))
        self._mean = sum(self._lengths) / max(1, len(self._lengths))

    @classmethod
    def demo(cls) -> Corpus:
        """The demo's passages."""
        return cls(world.passages())

    @classmethod
    def of(cls, recorded: Path) -> Corpus:
        """The demo's passages, and a folder of recorded searches: a corpus.jsonl of passages, and
        other .jsonl files of questions with `recorded_results`."""
        passages = _lines(recorded / "corpus.jsonl", Passage)
        files = sorted(path for path in recorded.glob("*.jsonl") if path.name != "corpus.jsonl")
        rows = [row for path in files for row in _lines(path, _Row)]
        return cls(
            [*world.passages(), *passages], [(row.question, row.recorded_results) for row in rows]
        )

    def search(self, query: str, limit: int) -> list[Doc]:
        """The recorded results of a question that is asked word for word; else by BM25."""
        recorded = self._recorded.get(_key(query))
        if recorded is not None:
            return [self.docs[number] for number in recorded[:limit]]
        scores: dict[int, float] = defaultdict(float)
        for word in set(_words(query)):
            found = self._index.get(word, ())
            rarity = math.log(1 + (len(self.docs) - len(found) + 0.5) / (len(found) + 0.5))
            for number, count in found:
                norm = _K1 * (1 - _B + _B * self._lengths[number] / self._mean)
                scores[number] += rarity * count * (_K1 + 1) / (count + norm)
        best = sorted(scores, key=lambda number: (-scores[number], number))[:limit]
        return [self.docs[number] for number in best]


def addressed(doc: Doc, home: str, own: bool) -> Doc:
    """A page with its address: its own where it has one, unless all are to lie under `home`."""
    picture = f"{home}/picture/{doc.number}.png"
    if doc.passage.url and not own:
        return replace(doc, picture=picture)
    passage = replace(doc.passage, url=f"{home}/page/{doc.number}")
    return replace(doc, passage=passage, picture=picture)


def hostile(docs: Sequence[Doc]) -> list[Doc]:
    """Results as somebody might plant them: addresses that are none, markup, characters that nobody
    sees, the same page twice. The last two can be used."""
    good = list(docs[:2])
    first = good[0].passage if good else Passage(id="x", title="x", text="x", url="http://x.test/")
    unseen = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")
    planted = [
        replace(first, url="javascript:alert(1)"),
        replace(first, url="file:///etc/passwd"),
        replace(first, url="http://[::1"),
        replace(first, url=""),
        replace(first, url="https://planted.test/" + "a" * 5000),
        replace(first, title="", text="", url="https://planted.test/empty"),
        replace(
            first,
            title=f"<script>x</script>{'t' * 5000}{unseen}",
            text=f"<b>bold</b> \u202eesrever\u200b &lt;tag&gt; {unseen}\x00 end",
            url="https://planted.test/markup",
        ),
    ]
    return [Doc(number=0, passage=one) for one in planted] + good + good[:1]


def _key(text: str) -> str:
    return " ".join(text.casefold().split())


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _lines(path: Path, kind: type[T]) -> list[T]:
    with path.open("rb") as file:
        return [msgspec.json.decode(line, type=kind) for line in file if line.strip()]
