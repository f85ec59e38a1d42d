"""The search server: a corpus and the web over HTTP, for MIA and for the published clients.

`POST /retrieve` is Search-R1's; `GET /search`, `/image_search` and `/web_scrape` with their
envelope are the published gateway's. `POST /v1/search`, `/v1/open` and `/v1/similar` say of each
request what became of it. Only translation happens here; `search/` does the work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Protocol, TypeVar

import msgspec
from fastapi import FastAPI, Query, Request, Response

from mia.errors import InputError, MIAError, MissingError, SearchError
from mia.pictures import Pictures
from mia.provider import WebImage
from mia.search.online import NotKept, Online
from mia.servers.guard import MIB, App, Guard, Limits
from mia.servers.metrics import CONTENT_TYPE, Metrics
from mia.servers.reference_search import (
    BETWEEN_QUERIES,
    DEFAULT_TOPK,
    Envelope,
    Pictured,
    Retrieve,
    Scraped,
    Searched,
    Stat,
    Tool,
    listed,
    retrieved,
)
from mia.servers.search_wire import (
    MOST_CHARS,
    MOST_QUERIES,
    MOST_TOPK,
    Failure,
    OpenRequest,
    Outcome,
    Outcomes,
    SearchRequest,
    Similar,
    Source,
)
from mia.snippets import snippet
from mia.tool import ImageHit, ImageSearch, Search
from mia.types import Passage

T = TypeVar("T")

PAGE_CHARS = 15_000
"""Of a page as `/web_scrape` gives it."""
EXTRACT_WORDS = 400
PICTURE_BYTES = 10 * MIB
_RETRY_MS = 5000
Thumbnail = Callable[[WebImage], Awaitable[bytes | None]]
"""The picture as a small JPEG; None where it cannot be had."""
_STATUS = {InputError: 422, MissingError: 404, NotKept: 404, SearchError: 502}
VERSION = version("mia")


class Pages(Protocol):
    """Reads addresses of the web."""

    def check(self, address: str) -> None:
        """Raises SearchError for an address that cannot be asked, whoever answers there."""
        ...

    async def page(self, address: str) -> Passage | None:
        """None where there is nothing. Raises SearchError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a search server serves; None for what it has not."""

    corpus: Search | None = None
    web: Online | None = None
    pages: Pages | None = None
    thumbnail: Thumbnail | None = None
    pictures: Pictures | None = None
    similar: ImageSearch | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """How queries are to be answered."""

    limit: int
    engine: str | None
    deterministic: bool


def app(parts: Parts, token: str | None = None, names: frozenset[str] = frozenset()) -> App:
    """The server as an ASGI app."""
    api = FastAPI(title="MIA search", version=VERSION, docs_url=None, redoc_url=None)
    routes = _Routes(parts, Metrics())
    api.add_exception_handler(MIAError, _failed)
    api.get("/health")(_well)
    api.get("/healthz")(_well)
    api.get("/readyz")(_well)
    api.get("/metrics")(routes.metrics)
    if parts.corpus is not None:
        api.post("/retrieve")(routes.retrieve)
    for path in ("/search", "/server/search"):
        api.get(path)(routes.search)
    if parts.web is not None and parts.thumbnail is not None:
        api.get("/image_search")(routes.image_search)
    if parts.pages is not None:
        api.get("/web_scrape")(routes.web_scrape)
    api.post("/v1/search")(routes.v1_search)
    api.post("/v1/open")(routes.v1_open)
    if parts.similar is not None and parts.pictures is not None:
        api.post("/v1/similar")(routes.v1_similar)
    return Guard(api, token, names, Limits(body=PICTURE_BYTES + MIB))


class _Routes:
    """What each route does."""

    def __init__(self, parts: Parts, metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics

    async def metrics(self) -> Response:
        """Counts and times, for Prometheus."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE)

    async def retrieve(self, request: Request) -> Response:
        """Search-R1's: `{queries, topk, return_scores}`, a list of documents for each query."""
        with self._metrics.measured("retrieve"):
            asked = _retrieve(await request.body())
            corpus, limit = _there(self._parts.corpus), asked.topk or DEFAULT_TOPK
            found = await asyncio.gather(*(corpus.search(q, limit) for q in asked.queries))
        return _json(retrieved(found, asked.return_scores))

    async def search(
        self,
        request: Request,
        q: Annotated[list[str], Query(min_length=1, max_length=MOST_QUERIES)],
        max_results: Annotated[int, Query(ge=1, le=10)] = 3,
        deterministic: bool = False,
        engine: str | None = None,
    ) -> Response:
        """The published gateway's: the results of all queries as one text for a model."""
        began = time.perf_counter()
        asked = _Asked(limit=max_results, engine=engine, deterministic=deterministic)
        source = "corpus" if self._parts.web is None else "web"
        with self._metrics.measured("search"):
            outcomes = await self._each([_query(text) for text in q], source, asked)
            if all(outcome.status == "failed" for outcome in outcomes):
                kind = NotKept if deterministic else SearchError
                raise kind(outcomes[0].error)
        engines = dict.fromkeys(outcome.engine for outcome in outcomes if outcome.engine)
        result = Searched(
            success=True,
            engine=", ".join(engines),
            results=BETWEEN_QUERIES.join(listed(o.query, o.passages, o.error) for o in outcomes),
            latency_ms=_since(began),
        )
        caches = {outcome.cache for outcome in outcomes}
        cache = caches.pop() if len(caches) == 1 else "MISS"
        return _wrapped(request, "search", result, cache)

    async def image_search(
        self,
        request: Request,
        q: Annotated[str, Query(max_length=MOST_CHARS)],
        max_results: Annotated[int, Query(ge=1, le=10)] = 5,
        engine: str | None = None,
    ) -> Response:
        """The published gateway's: titles, and small pictures."""
        with self._metrics.measured("image_search"):
            found = await _there(self._parts.web).images(_query(q), max_results, engine=engine)
            thumbnail = _there(self._parts.thumbnail)
            made = await asyncio.gather(*(thumbnail(image) for image in found.images))
        shown = [(image, jpeg) for image, jpeg in zip(found.images, made, strict=True) if jpeg]
        text = "\n".join(f"{n}. {image.title}" for n, (image, _) in enumerate(shown, 1))
        stat = Stat(cache=found.cache)
        result = Pictured(text=text, images=[jpeg for _, jpeg in shown], stat=stat)
        return _wrapped(request, "image_search", result, found.cache)

    async def web_scrape(
        self,
        request: Request,
        url: Annotated[str, Query(min_length=1, max_length=2048)],
        goal: Annotated[str | None, Query(max_length=MOST_CHARS)] = None,
    ) -> Response:
        """The published gateway's: a page as Markdown, and what in it bears on a goal."""
        began = time.perf_counter()
        with self._metrics.measured("web_scrape"):
            page = await _page(_there(self._parts.pages), url)
        result = Scraped(
            success=page is not None,
            url=url,
            markdown_content=page.text[:PAGE_CHARS] if page else "",
            extracted_info=snippet(page, goal, EXTRACT_WORDS) if page and goal else None,
            latency_ms=_since(began),
            error=None if page else "there is no page at this address",
        )
        return _wrapped(request, "web_scrape", result, "DISABLED")

    async def v1_search(self, request: Request, asked: SearchRequest) -> Response:
        """The passages of each query, or why it has none."""
        source = asked.source or ("corpus" if self._parts.corpus is not None else "web")
        how = _Asked(limit=asked.limit, engine=asked.engine, deterministic=asked.deterministic)
        with self._metrics.measured("v1_search"):
            results = await self._each(list(map(_query, asked.queries)), source, how)
        return _json(msgspec.json.encode(Outcomes(request_id=_id(request), results=results)))

    async def v1_open(self, request: Request, asked: OpenRequest) -> Response:
        """A document as a passage; 404 where there is none."""
        corpus, pages = self._parts.corpus, self._parts.pages
        with self._metrics.measured("v1_open"):
            page = await corpus.page(asked.address) if corpus is not None else None
            of_the_web = asked.address.startswith(("http://", "https://"))
            if page is None and pages is not None and of_the_web:
                page = await _page(pages, asked.address)
        if page is None:
            told = Failure(request_id=_id(request), error="there is nothing at this address")
            return _json(msgspec.json.encode(told), 404)
        return _json(msgspec.json.encode(page))

    async def v1_similar(
        self, request: Request, limit: Annotated[int, Query(ge=1, le=10)] = 3
    ) -> Response:
        """The pictures most like the one that is the body of the request."""
        pictures, engine = _there(self._parts.pictures), _there(self._parts.similar)
        raw = await request.body()
        with self._metrics.measured("v1_similar"):
            picture = await asyncio.to_thread(pictures.keep, raw)
            hits = await engine.similar(picture, limit)
        shown = [await asyncio.to_thread(_shown, hit, pictures) for hit in hits]
        return _json(msgspec.json.encode(shown))

    async def _each(
        self, queries: Sequence[str], source: Source, asked: _Asked
    ) -> tuple[Outcome, ...]:
        return tuple(await asyncio.gather(*(self._one(q, source, asked) for q in queries)))

    async def _one(self, query: str, source: Source, asked: _Asked) -> Outcome:
        try:
            if source == "corpus":
                passages = await _there(self._parts.corpus).search(query, asked.limit)
                return Outcome(query=query, source=source, engine=source, passages=passages)
            answer = await _there(self._parts.web).answer(
                query, asked.limit, engine=asked.engine, deterministic=asked.deterministic
            )
        except SearchError as error:
            self._metrics.failed(source)
            return Outcome(query=query, status="failed", source=source, error=str(error))
        if answer.cache == "HIT":
            self._metrics.hit("search")
        return Outcome(
            query=query, source=source, engine=answer.engine or None, cache=answer.cache,
            passages=answer.passages, failed=answer.failed,
        )  # fmt: skip


def _there(part: T | None) -> T:
    """A part that a request needs. Raises MissingError for one that this server has not."""
    if part is None:
        raise MissingError("this server has no such source: its settings name none")
    return part


async def _page(pages: Pages, address: str) -> Passage | None:
    """A page of the web. Raises InputError for an address that it is no use to ask again for."""
    try:
        pages.check(address)
    except SearchError as error:
        raise InputError(str(error)) from error
    return await pages.page(address)


def _id(request: Request) -> str:
    return request.scope["state"]["request_id"]


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _wrapped(
    request: Request, tool: str, result: Searched | Pictured | Scraped, cache: str
) -> Response:
    told = Envelope(
        request_id=_id(request), tool=Tool(name=tool, version=VERSION), result=result,
        stat=Stat(cache=cache),
    )  # fmt: skip
    return _json(msgspec.json.encode(told))


def _retrieve(body: bytes) -> Retrieve:
    """What `/retrieve` is asked. Raises InputError."""
    try:
        asked = msgspec.json.decode(body, type=Retrieve)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"this is not {{queries, topk, return_scores}}: {error}") from error
    if not 1 <= len(asked.queries) <= MOST_QUERIES:
        raise InputError(f"queries should be a list of 1 to {MOST_QUERIES}")
    if asked.topk is not None and not 0 <= asked.topk <= MOST_TOPK:
        raise InputError(f"topk should be from 0 to {MOST_TOPK}; {DEFAULT_TOPK} for 0 or without")
    if any(len(query) > MOST_CHARS for query in asked.queries):
        raise InputError(f"a query has at most {MOST_CHARS:,} characters")
    return asked


def _query(text: str) -> str:
    """A query on one line. One without words is none to refuse: it finds nothing. Raises
    InputError."""
    words = " ".join(text.split())
    if len(words) > MOST_CHARS:
        raise InputError(f"a query has at most {MOST_CHARS:,} characters")
    return words


def _since(began: float) -> float:
    """Milliseconds."""
    return round((time.perf_counter() - began) * 1000, 1)


def _shown(hit: ImageHit, pictures: Pictures) -> Similar:
    raw = pictures.bytes(hit.picture) if hit.picture is not None else None
    return Similar(title=hit.title, score=hit.score, url=hit.url, image=raw)


async def _well() -> Response:
    return _json(b'{"status":"ok"}')


async def _failed(request: Request, error: Exception) -> Response:
    """An error of ours as the published gateway tells one."""
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    retry = _RETRY_MS if status >= 500 else None
    told = Failure(request_id=_id(request), error=str(error), retry_after=retry)
    return _json(msgspec.json.encode(told), status)
