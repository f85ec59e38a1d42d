"""Offline text search: BM25 over a tantivy index on disk, memory-mapped: it opens at once."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
import tantivy

from mia.errors import ConfigError, MissingError, SearchError, StoreError
from mia.locks import alone
from mia.titles import name_of
from mia.types import Passage

_TITLE_BOOST = 2.0
_EXACT_BOOST = 12.0
"""A query that is a title, or a title without its disambiguation, finds that title first."""
_WORD = re.compile(r"\w+")
_MAX_TERMS = 64
"""A query of a whole page is cut: BM25 gains nothing from more terms and pays for each."""
_MANIFEST = "mia-index.json"
_LOCK = ".mia-index.lock"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an index was built from."""

    format: int
    passages: int
    source: str


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw")
    builder.add_text_field("title_exact", stored=False, tokenizer_name="raw")
    builder.add_text_field("name_exact", stored=False, tokenizer_name="raw")
    builder.add_text_field("title", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("text", stored=True, tokenizer_name="en_stem")
    builder.add_text_field("url", stored=True, tokenizer_name="raw")
    return builder.build()


def build(passages: Iterable[Passage], folder: Path, source: str = "") -> int:
    """Writes an index of the passages to `folder`, replacing one that is there; returns how many.

    The index appears whole or not at all: it is written beside and renamed into place. Another
    process that builds the same one is waited for. Raises ConfigError when there is something else
    in the folder, which would be lost.
    """
    folder = folder.resolve()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_index(folder)):
        raise ConfigError(f"{folder} is there already and is no index; choose another place")
    with alone(folder.parent / _LOCK):
        fresh = folder.with_name(f".{folder.name}.building")
        shutil.rmtree(fresh, ignore_errors=True)  # what a killed process left
        fresh.mkdir()
        try:
            count = _write(passages, fresh, source)
            _swap(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return count


def _write(passages: Iterable[Passage], fresh: Path, source: str) -> int:
    """Fills an empty folder with an index."""
    index = tantivy.Index(_schema(), path=str(fresh))
    writer = index.writer(heap_size=128_000_000, num_threads=1)
    count = 0
    try:
        for passage in passages:
            writer.add_document(_document(passage))
            count += 1
        writer.commit()
    except ValueError as error:  # what tantivy says of a full disk
        raise StoreError(f"cannot write an index in {fresh.parent}: {error}") from error
    finally:
        writer.wait_merging_threads()
    manifest = Manifest(format=1, passages=count, source=source)
    (fresh / _MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return count


def _document(passage: Passage) -> tantivy.Document:
    return tantivy.Document(
        id=passage.id,
        title_exact=passage.title.casefold(),
        name_exact=name_of(passage.title).casefold(),
        title=passage.title,
        text=passage.text,
        url=passage.url or "",
    )


def _swap(fresh: Path, folder: Path) -> None:
    """Puts a finished index in the place of the old one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def is_index(folder: Path) -> bool:
    """Whether a finished index lies there."""
    return (folder / _MANIFEST).is_file()


def _characters(text: str) -> str:
    """A text as tantivy takes it: half a surrogate pair is no character."""
    return text.encode("utf-8", "ignore").decode().strip()


class BM25:
    """A corpus on disk. Safe to share between tasks and threads."""

    def __init__(self, folder: Path) -> None:
        if not is_index(folder):
            raise MissingError(f"no search index at {folder}; run: mia index build CORPUS")
        try:
            self.manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=Manifest)
            self._index = tantivy.Index(_schema(), path=str(folder))
        except (ValueError, OSError) as error:
            raise StoreError(
                f"cannot open the index at {folder}: {error}; build it again: mia index build"
            ) from error
        self._searcher = self._index.searcher()

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """The best passages for a query, best first; none for a query without words."""
        return await asyncio.to_thread(self.search_now, query, limit)

    def search_now(self, query: str, limit: int) -> tuple[Passage, ...]:
        """`search`, for callers that are not async."""
        query = _characters(query)
        words = _WORD.findall(query)[:_MAX_TERMS]
        if not words:
            return ()
        try:
            # quotes and operators never reach the parser: only word characters do
            parsed = self._index.parse_query(
                " ".join(word.lower() for word in words),
                ["title", "text"],
                field_boosts={"title": _TITLE_BOOST},
            )
        except ValueError as error:
            raise SearchError(f"cannot search for {query[:80]!r}: {error}") from error
        clauses = [(tantivy.Occur.Should, parsed)]
        for field in ("title_exact", "name_exact"):
            exact = tantivy.Query.term_query(_schema(), field, query.casefold())
            boosted = tantivy.Query.boost_query(
                tantivy.Query.const_score_query(exact, 1.0), _EXACT_BOOST
            )
            clauses.append((tantivy.Occur.Should, boosted))
        return self._passages(tantivy.Query.boolean_query(clauses), limit)

    async def page(self, address: str) -> Passage | None:
        """The passage with this id or exactly this title."""
        return await asyncio.to_thread(self._page_now, _characters(address))

    def _page_now(self, address: str) -> Passage | None:
        for field, value in (("id", address), ("title_exact", address.casefold())):
            term = tantivy.Query.term_query(_schema(), field, value)
            found = self._passages(term, 1)
            if found:
                return found[0]
        return None

    def _passages(self, query: tantivy.Query, limit: int) -> tuple[Passage, ...]:
        hits = self._searcher.search(query, limit).hits
        return tuple(self._passage(score, address) for score, address in hits)

    def _passage(self, score: float, address: tantivy.DocAddress) -> Passage:
        document = self._searcher.doc(address).to_dict()
        return Passage(
            id=document["id"][0],
            title=document["title"][0],
            text=document["text"][0],
            url=document["url"][0] or None,
            score=score,
        )
