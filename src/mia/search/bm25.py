"""Offline text search: BM25 over a tantivy index on disk, memory-mapped: it opens at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from tantivy import Occur, Query

from mia.search.indexes import Manifest, build, is_index
from mia.search.indexes_reader import Generation, Reader
from mia.search.indexes_schema import SCHEMA, WORDS, whole
from mia.snippets import STOP
from mia.types import Noun, Passage

__all__ = ["BM25", "Ranking", "build", "is_index"]

_WORD = re.compile(r"\w+")
_MAX_TERMS = 64
"""A query of a whole page is cut: BM25 gains nothing from more terms and pays for each."""
_LONGEST_NAME = 8
"""Words of a title that is looked for in a query; longer ones found nothing more."""


class Ranking(Noun, frozen=True):
    """How much the parts of a score weigh beside BM25's own. Measured: docs/decisions/0009."""

    exact: float = 12.0
    """For a query that is the passage's title, or its title without a disambiguation."""
    mentioned: float = 12.0
    """For a title that stands in the query, as written or without a disambiguation."""
    stop: frozenset[str] = STOP
    """Left out of a query that has other words: without them it takes half the time, and finds no
    less."""


class BM25:
    """A corpus on disk. Safe to share between tasks and threads; takes up a new state of the index
    by itself."""

    def __init__(self, folder: Path, ranking: Ranking | None = None) -> None:
        """Raises MissingError where there is no index, StoreError for a damaged one."""
        self._reader = Reader(folder)
        self._ranking = ranking or Ranking()

    @property
    def manifest(self) -> Manifest:
        """What the index holds."""
        return self._reader.now().manifest

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The best passages for a query, best first; none for a query without words."""
        return await asyncio.to_thread(self.search_now, query, limit)

    def search_now(self, query: str, limit: int) -> tuple[Passage, ...]:
        """`search`, for callers that are not async."""
        query = _characters(query)
        terms = self._terms([match[0] for match in _WORD.finditer(query)])
        if not terms:
            return ()
        index = self._reader.now()
        words = [Query.term_query(SCHEMA, "words", term, "freq") for term in terms]
        best = index.find(_any(words), limit)
        named = self._named(query, index)
        if not named:
            return best
        # Two queries, for tantivy skips what cannot be among the best only where all clauses are
        # words; and what the words alone rank too low is there only if it is named.
        names = index.find(_any(words, must=_any(named)), limit)
        found = {passage.id: passage for passage in (*best, *names)}
        return tuple(sorted(found.values(), key=lambda passage: -passage.score)[:limit])

    def _named(self, query: str, index: Generation) -> list[Query]:
        """What a passage gains whose title is the query, or stands in it."""
        exact, mentioned = whole(query), _mentioned(query, index)
        gained = [(_field(title), title, self._ranking.mentioned) for title in mentioned]
        if _known(exact, index):
            gained += [(field, exact, self._ranking.exact) for field in ("title", "name")]
        return [_const(*gain) for gain in gained]

    def _terms(self, words: list[str]) -> list[str]:
        """The stems to look for, each once."""
        telling = [word for word in words if word.lower() not in self._ranking.stop] or words
        return list(
            dict.fromkeys(term for word in telling[:_MAX_TERMS] for term in WORDS.analyze(word))
        )

    async def page(self, address: str) -> Passage | None:
        """The passage with this id, this URL or exactly this title."""
        return await asyncio.to_thread(self._page_now, _characters(address))

    def _page_now(self, address: str) -> Passage | None:
        index = self._reader.now()
        if not address:
            return None
        for field, value in (("id", address), ("url", address), ("title", whole(address))):
            found = index.first(field, value)
            if found is not None:
                return found
        return None


def _any(clauses: list[Query], must: Query | None = None) -> Query:
    """What has one of these, or what has `must`; more of them count for more."""
    parts = [(Occur.Should, clause) for clause in clauses]
    return Query.boolean_query(parts if must is None else [(Occur.Must, must), *parts])


def _field(title: str) -> str:
    """Where a title is looked up: one with a disambiguation is no name."""
    return "title" if title.endswith(")") else "name"


def _known(title: str, index: Generation) -> bool:
    """Whether a passage is called so."""
    return index.searcher.doc_freq(_field(title), title) > 0


def _const(field: str, value: str, weight: float) -> Query:
    return Query.const_score_query(Query.term_query(SCHEMA, field, value, "basic"), weight)


def _mentioned(query: str, index: Generation) -> Iterator[str]:
    """The titles that stand in a query, without those that are part of a longer one."""
    covered = -1
    for end, title in _candidates(query):
        if end > covered and _known(title, index):
            covered = end
            yield title


def _candidates(query: str) -> Iterator[tuple[int, str]]:
    """What in a query may be a title: where it ends, and how the index would hold it; from left to
    right, longer ones first. Where a query has capitals, `the river` in it is no band."""
    words = list(_WORD.finditer(query))[:_MAX_TERMS]
    capitals = any(word[0] != word[0].lower() for word in words[1:])
    for first, begin in enumerate(words):
        for last in reversed(words[first : first + _LONGEST_NAME]):
            title = query[begin.start() : last.end()]
            alone = begin is last and (title.islower() or title.lower() in STOP)
            if alone or (capitals and title == title.lower()):
                continue
            sign = query[last.end() : last.end() + 1]
            if sign and sign in ".!?)":  # Mamma Mia!, or the end of a disambiguation
                yield last.end(), whole(title + sign)
            yield last.end(), whole(title)


def _characters(text: str) -> str:
    """A text as tantivy takes it: half a surrogate pair is no character."""
    return text.encode("utf-8", "ignore").decode().strip()
