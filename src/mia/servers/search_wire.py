"""What the `/v1` routes of the search server are asked and answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mia.types import Noun, Passage

MOST_QUERIES = 256
MOST_CHARS = 2000
"""Of one query."""
MOST_TOPK = 100

Source = Literal["corpus", "web"]
_Words = Annotated[str, Field(max_length=MOST_CHARS)]


class SearchRequest(BaseModel):
    """What `/v1/search` is asked."""

    queries: Annotated[list[_Words], Field(min_length=1, max_length=MOST_QUERIES)]
    limit: Annotated[int, Field(ge=1, le=MOST_TOPK)] = 5
    source: Source | None = None
    """None for the corpus where there is one, else the web."""
    engine: str | None = None
    """The web provider to ask first."""
    deterministic: bool = False
    """Only what was answered before: nothing is asked."""


class OpenRequest(BaseModel):
    """What `/v1/open` is asked: an address of the web, or an id or a title of the corpus."""

    address: Annotated[str, Field(min_length=1, max_length=MOST_CHARS)]


class Outcome(Noun, frozen=True, omit_defaults=False):
    """What became of one query."""

    query: str
    source: Source
    status: Literal["ok", "failed"] = "ok"
    engine: str | None = None
    """Who answered."""
    cache: str = "DISABLED"
    passages: tuple[Passage, ...] = ()
    failed: tuple[str, ...] = ()
    """Why others did not answer before."""
    error: str | None = None


class Outcomes(Noun, frozen=True, omit_defaults=False):
    """What became of all of them, in their order."""

    request_id: str
    results: tuple[Outcome, ...]


class Similar(Noun, frozen=True, omit_defaults=False):
    """One picture that is like the one sent."""

    title: str
    score: float
    url: str | None
    image: bytes | None
    """A JPEG, base64 in JSON."""


class Failure(Noun, frozen=True):
    """Why there is no answer."""

    request_id: str
    error: str
    retry_after: int | None = None
    """Milliseconds."""
