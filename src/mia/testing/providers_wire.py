"""The real wire formats of search providers: where each one looks for its key and its query, what a
good answer is, and what it says when it refuses."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mia.testing.faults import Fault
from mia.testing.providers_corpus import Doc
from mia.types import Noun

JSON = dict[str, Any]
_WORD = re.compile(r"\w+")
_FORBIDDEN_PAGE = b"<!doctype html><title>403 Forbidden</title><h1>Forbidden</h1>"


class Request(Noun, frozen=True):
    """A request as it came to a stand-in."""

    route: str
    """The provider, or the first part of a page's path."""
    method: str
    path: str
    """Below the route."""
    query: dict[str, str]
    headers: dict[str, str]
    """With names in small letters."""
    body: bytes = b""
    mode: str = "good"

    def json(self) -> JSON:
        """The body as an object; empty for one that is none."""
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except msgspec.DecodeError:
            return {}


class Refused(Exception):
    """A request that the real server would not take."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"status {fault.status}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One provider's API, seen from its server."""

    key: Callable[[Request], str | None]
    """What a request carries as its key."""
    asked: Callable[[Request], str]
    """The words it asks for."""
    count: Callable[[Request], int]
    """How many results it asks for. Raises Refused."""
    answer: Callable[[Request, str, Sequence[Doc]], object]
    """A good answer. Raises Refused for a request that is not in order."""
    errors: Mapping[str, Fault]
    """By mode: no_key, wrong_key, quota, rate, refused_query, error_200."""
    headers: tuple[tuple[str, str], ...] = ()
    """On every good answer."""
    free: bool = False
    """Needs no key."""


def refusal(status: int, body: object, headers: Sequence[tuple[str, str]] = ()) -> Fault:
    """An error with a JSON body."""
    return Fault(status=status, headers=tuple(headers), body=msgspec.json.encode(body))


def not_found() -> Refused:
    """What a server says to a path or a method that it does not know."""
    return Refused(refusal(404, {"message": "Not found", "statusCode": 404}))


def number(text: object, default: int, most: int) -> int:
    """A count as servers read it: the default for none, cut at the most."""
    try:
        return max(0, min(int(str(text)), most)) if text is not None else default
    except ValueError:
        return default


def marked(text: str, query: str, before: str, after: str) -> str:
    """A text as HTML, with the words of a query marked."""
    words = {word.casefold() for word in _WORD.findall(query)}

    def mark(match: re.Match[str]) -> str:
        word = match[0]
        return f"{before}{word}{after}" if word.casefold() in words else word

    return _WORD.sub(mark, html.escape(text, quote=False))


# Serper ---------------------------------------------------------------------------------------


def _serper(request: Request, query: str, docs: Sequence[Doc]) -> object:
    if request.method != "POST":
        raise not_found()
    asked = request.json()
    if request.path == "/lens":
        return _serper_lens(asked, docs)
    if "q" not in asked:
        told = {"message": "Missing query parameter", "statusCode": 400}
        raise Refused(refusal(400, told))
    parameters = {
        "q": query, "gl": asked.get("gl", "us"), "hl": asked.get("hl", "en"),
        "num": asked.get("num", 10), "engine": "google",
    }  # fmt: skip
    if request.path == "/images":
        images = [_serper_image(n, doc) for n, doc in enumerate(docs, 1)]
        return {"searchParameters": {**parameters, "type": "images"}, "images": images,
                "credits": 1}  # fmt: skip
    if request.path != "/search":
        raise not_found()
    organic = [
        {"title": doc.passage.title, "link": doc.passage.url, "snippet": doc.passage.text,
         "date": "Jan 2, 2026", "position": n}
        for n, doc in enumerate(docs, 1)
    ]  # fmt: skip
    credits = 2 if number(asked.get("num"), 10, 100) > 10 else 1
    return {"searchParameters": {**parameters, "type": "search"}, "organic": organic,
            "credits": credits}  # fmt: skip


def _serper_image(position: int, doc: Doc) -> JSON:
    page = doc.passage.url or ""
    return {"title": doc.passage.title, "imageUrl": doc.picture, "imageWidth": 256,
            "imageHeight": 256, "thumbnailUrl": doc.picture, "source": "Stand-in",
            "domain": "stand-in", "link": page, "googleUrl": page,
            "position": position}  # fmt: skip


def _serper_lens(asked: JSON, docs: Sequence[Doc]) -> object:
    if "url" not in asked:
        raise Refused(refusal(400, {"message": "Missing url parameter", "statusCode": 400}))
    organic = [
        {"title": doc.passage.title, "source": "Stand-in", "link": doc.passage.url,
         "imageUrl": doc.picture, "thumbnailUrl": doc.picture}
        for doc in docs
    ]  # fmt: skip
    return {"searchParameters": {"url": asked["url"], "type": "lens"}, "organic": organic,
            "credits": 3}  # fmt: skip


def _serper_query(request: Request) -> str:
    asked = request.json()
    return str(asked.get("q", asked.get("url", "")))


_SERPER_KEY = {"message": "Unauthorized.", "statusCode": 403}
SERPER = Wire(
    key=lambda request: request.headers.get("x-api-key"),
    asked=_serper_query,
    count=lambda request: number(request.json().get("num"), 10, 100),
    answer=_serper,
    errors={
        "no_key": refusal(403, _SERPER_KEY),
        "wrong_key": refusal(403, _SERPER_KEY),
        "quota": refusal(400, {"message": "Not enough credits", "statusCode": 400}),
        "rate": refusal(429, {"message": "Too many requests", "statusCode": 429}),
        "refused_query": refusal(400, {"message": "Query is not allowed", "statusCode": 400}),
        "error_200": refusal(200, _SERPER_KEY),
    },
)


# Brave ----------------------------------------------------------------------------------------


def _brave(request: Request, query: str, docs: Sequence[Doc]) -> object:
    kinds = {"/res/v1/web/search": _brave_web, "/res/v1/images/search": _brave_images}
    if request.method != "GET" or request.path not in kinds:
        raise not_found()
    asked = request.query.get("q", "")
    if not asked.strip() or len(asked) > 400 or len(asked.split()) > 50:
        raise Refused(_brave_error(422, "VALIDATION", "Unable to validate request parameter(s)"))
    return kinds[request.path](query, docs)


def _brave_web(query: str, docs: Sequence[Doc]) -> object:
    found: list[JSON] = [
        {"title": marked(doc.passage.title, "", "", ""), "url": doc.passage.url,
         "description": marked(doc.passage.text, query, "<strong>", "</strong>"),
         "age": "2 days ago", "page_age": "2026-01-02T00:00:00", "language": "en",
         "meta_url": {"hostname": "e"}, "extra_snippets": []}
        for doc in docs
    ]  # fmt: skip
    answer: JSON = {"type": "search", "query": {"original": query, "more_results_available": False}}
    return {**answer, "web": {"type": "search", "results": found}} if found else answer


def _brave_images(query: str, docs: Sequence[Doc]) -> object:
    found = [
        {"type": "image_result", "title": html.escape(doc.passage.title), "url": doc.passage.url,
         "source": "stand-in", "thumbnail": {"src": doc.picture},
         "properties": {"url": doc.picture, "placeholder": doc.picture}}
        for doc in docs
    ]  # fmt: skip
    return {"type": "images", "query": {"original": query}, "results": found}


def _rates(remaining: str, reset: str = "1, 1419704") -> tuple[tuple[str, str], ...]:
    return (
        ("X-RateLimit-Limit", "50, 15000"),
        ("X-RateLimit-Policy", "50;w=1, 15000;w=2592000"),
        ("X-RateLimit-Remaining", remaining),
        ("X-RateLimit-Reset", reset),
    )


def _brave_error(
    status: int, code: str, detail: str, headers: Sequence[tuple[str, str]] = ()
) -> Fault:
    error = {"id": "stand-in", "status": status, "code": code, "detail": detail}
    return refusal(status, {"type": "ErrorResponse", "error": error}, headers)


def _brave_count(request: Request) -> int:
    count = number(request.query.get("count"), 20, 200)
    if count > (20 if "/web/" in request.path else 100):
        raise Refused(_brave_error(422, "VALIDATION", "count is too large"))
    return count


_BRAVE_TOKEN = "The provided subscription token is invalid."
BRAVE = Wire(
    key=lambda request: request.headers.get("x-subscription-token"),
    asked=lambda request: request.query.get("q", ""),
    count=_brave_count,
    answer=_brave,
    errors={
        "no_key": _brave_error(422, "SUBSCRIPTION_TOKEN_INVALID", _BRAVE_TOKEN),
        "wrong_key": _brave_error(401, "SUBSCRIPTION_TOKEN_INVALID", _BRAVE_TOKEN),
        "quota": _brave_error(429, "RATE_LIMITED", "Request limit exceeded.", _rates("49, 0")),
        "rate": _brave_error(429, "RATE_LIMITED", "Request rate limit exceeded.", _rates("0, 9")),
        "refused_query": _brave_error(422, "VALIDATION", "Unable to validate request parameter(s)",
                                      _rates("49, 9")),
        "error_200": _brave_error(200, "SUBSCRIPTION_TOKEN_INVALID", _BRAVE_TOKEN),
    },
    headers=_rates("49, 14999"),
)  # fmt: skip


# Tavily ---------------------------------------------------------------------------------------


def _tavily(request: Request, query: str, docs: Sequence[Doc]) -> object:
    if request.method != "POST" or request.path != "/search":
        raise not_found()
    asked = request.json().get("query")
    if not isinstance(asked, str) or not asked.strip() or len(asked) > 400:
        raise Refused(_detail(400, "Query is missing, or longer than 400 characters."))
    found = [
        {"title": doc.passage.title, "url": doc.passage.url, "content": doc.passage.text,
         "score": round(1 / n, 4), "raw_content": None}
        for n, doc in enumerate(docs, 1)
    ]  # fmt: skip
    return {"query": query, "answer": None, "images": [], "results": found, "response_time": 1.1,
            "request_id": "stand-in"}  # fmt: skip


def _detail(status: int, words: str) -> Fault:
    return refusal(status, {"detail": {"error": words}})


def _bearer(request: Request) -> str | None:
    return request.headers.get("authorization", "").removeprefix("Bearer ") or None


TAVILY = Wire(
    key=_bearer,
    asked=lambda request: str(request.json().get("query", "")),
    count=lambda request: number(request.json().get("max_results"), 5, 20),
    answer=_tavily,
    errors={
        "no_key": _detail(401, "Unauthorized: missing or invalid API key."),
        "wrong_key": _detail(401, "Unauthorized: missing or invalid API key."),
        "quota": _detail(432, "This request exceeds your plan's set usage limit."),
        "rate": _detail(429, "Your request has been blocked due to excessive requests."),
        "refused_query": _detail(400, "Query is invalid."),
        "error_200": refusal(
            200,
            {"error": {"code": "rate_limited", "message": "Rate limit reached.", "window": "hour",
                       "retry_after_seconds": 3, "next_actions": []}},
        ),
    },
)  # fmt: skip


# Exa ------------------------------------------------------------------------------------------


def _exa(request: Request, query: str, docs: Sequence[Doc]) -> object:
    if request.method != "POST" or request.path != "/search":
        raise not_found()
    found = [
        {"id": doc.passage.url, "url": doc.passage.url, "title": doc.passage.title,
         "publishedDate": "2026-01-02T00:00:00.000Z", "author": None, "score": round(0.5 / n, 4),
         "text": doc.passage.text, "highlights": [doc.passage.text[:300]],
         "highlightScores": [0.5]}
        for n, doc in enumerate(docs, 1)
    ]  # fmt: skip
    return {"requestId": "stand-in", "resolvedSearchType": "neural", "results": found,
            "costDollars": {"total": 0.007}}  # fmt: skip


def _exa_key(request: Request) -> str | None:
    return request.headers.get("x-api-key") or _bearer(request)


def _exa_error(status: int, words: str, tag: str) -> Fault:
    return refusal(status, {"requestId": "stand-in", "error": words, "tag": tag})


EXA = Wire(
    key=_exa_key,
    asked=lambda request: str(request.json().get("query", "")),
    count=lambda request: number(request.json().get("numResults"), 10, 100),
    answer=_exa,
    errors={
        "no_key": _exa_error(401, "Missing API key", "INVALID_API_KEY"),
        "wrong_key": _exa_error(401, "Invalid API key", "INVALID_API_KEY"),
        "quota": _exa_error(402, "You have no more credits.", "NO_MORE_CREDITS"),
        "rate": _exa_error(429, "You've exceeded your rate limit.", "RATE_LIMITED"),
        "refused_query": _exa_error(400, "Invalid request body", "INVALID_REQUEST_BODY"),
        "error_200": _exa_error(200, "You have no more credits.", "NO_MORE_CREDITS"),
    },
)
