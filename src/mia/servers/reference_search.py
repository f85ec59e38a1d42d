"""The published search formats, byte by byte as their clients read them.

Search-R1's `/retrieve` and the published Tool Gateway's envelope with its one formatted string of
results. Where the published servers answered wrongly (scores that were not asked for, failures
told as success) the shape stays and the content is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from mia.types import Noun, Passage

DEFAULT_TOPK = 3
BETWEEN_QUERIES = "\n=======\n"


class Retrieve(msgspec.Struct, frozen=True):
    """What `/retrieve` is asked."""

    queries: list[str]
    topk: int | None = None
    return_scores: bool = False


class Document(Noun, frozen=True):
    """A passage as Search-R1 has it: a quoted title, a line break, the text."""

    id: str
    contents: str


class Scored(Noun, frozen=True, omit_defaults=False):
    """A document with its score."""

    document: Document
    score: float


class Retrieved(Noun, frozen=True, omit_defaults=False):
    """What `/retrieve` answers: a list for each query, of documents, with scores where asked."""

    result: list[list[Scored]] | list[list[Document]]


def retrieved(found: Sequence[Sequence[Passage]], scores: bool) -> bytes:
    """The body of an answer."""
    if scores:
        rows = [[Scored(document=document(p), score=p.score) for p in each] for each in found]
        return msgspec.json.encode(Retrieved(result=rows))
    return msgspec.json.encode(Retrieved(result=[[document(p) for p in each] for each in found]))


def document(passage: Passage) -> Document:
    """A passage in the form of the published corpora."""
    return Document(id=passage.id, contents=f'"{passage.title}"\n{passage.text}')


def listed(query: str, passages: Sequence[Passage], error: str | None = None) -> str:
    """The results of one query as the published gateway writes them for a model."""
    if error is not None:
        return f"The search for '{query}' failed: {error}"
    if not passages:
        return f"No results found for '{query}'. Try a less specific query."
    head = f"A search for '{query}' found {len(passages)} results:\n\n## Web Results\n"
    return head + "\n\n".join(_result(n, passage) for n, passage in enumerate(passages, 1))


def _result(number: int, passage: Passage) -> str:
    lines = [f"{number}. [{passage.title}]({passage.url or passage.id})"]
    if passage.published:
        lines.append(f"Date published: {passage.published}")
    host = urlsplit(passage.url or "").hostname
    if host:
        lines.append(f"Source: {host}")
    lines.append(passage.text)
    return "\n".join(lines)


class Tool(Noun, frozen=True, omit_defaults=False):
    """Which tool answered."""

    name: str
    version: str


class Stat(Noun, frozen=True, omit_defaults=False):
    """Where the answer came from: HIT, MISS or DISABLED."""

    cache: str


class Searched(Noun, frozen=True, omit_defaults=False):
    """The result of `/search`."""

    success: bool
    engine: str
    results: str
    latency_ms: float
    error: str | None = None


class Pictured(Noun, frozen=True, omit_defaults=False):
    """The result of `/image_search`; images are base64 JPEGs of 256 by 256 pixels."""

    text: str
    images: list[bytes]
    stat: Stat


class Scraped(Noun, frozen=True, omit_defaults=False):
    """The result of `/web_scrape`."""

    success: bool
    url: str
    markdown_content: str
    extracted_info: str | None
    latency_ms: float
    error: str | None = None


class Envelope(Noun, frozen=True, omit_defaults=False):
    """What the published gateway wraps its results in."""

    request_id: str
    tool: Tool
    result: Searched | Pictured | Scraped
    stat: Stat
