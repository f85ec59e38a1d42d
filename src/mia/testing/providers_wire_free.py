"""The wire formats of providers without a key, and of those that search by picture."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec

from mia.testing.faults import Fault
from mia.testing.providers_corpus import Doc
from mia.testing.providers_wire import (
    JSON,
    Refused,
    Request,
    Wire,
    marked,
    not_found,
    number,
    refusal,
)

# SearXNG --------------------------------------------------------------------------------------

_FORBIDDEN = b"<!doctype html><html lang=en><title>403 Forbidden</title><h1>Forbidden</h1>"
_SEARXNG_PAGE = 20


def _page(status: int, body: bytes) -> Fault:
    return Fault(status=status, body=body, media_type="text/html; charset=utf-8")


def _searxng(request: Request, query: str, docs: Sequence[Doc]) -> object:
    if request.path != "/search":
        raise Refused(_page(404, b"<!doctype html><title>404</title>"))
    if request.query.get("format") != "json":
        raise Refused(_page(200, b"<!doctype html><title>SearXNG</title>"))
    if not request.query.get("q"):
        raise Refused(refusal(400, {"error": "No query"}))
    images = request.query.get("categories") == "images"
    return {
        "query": query, "number_of_results": 0,
        "results": [_searxng_result(n, doc, images) for n, doc in enumerate(docs, 1)],
        "answers": [], "corrections": [], "infoboxes": [], "suggestions": [],
        "unresponsive_engines": [["google", "CAPTCHA"]] if docs else [],
    }  # fmt: skip


def _searxng_result(position: int, doc: Doc, image: bool) -> JSON:
    common = {
        "url": doc.passage.url, "title": doc.passage.title, "content": doc.passage.text,
        "engine": "mojeek", "engines": ["mojeek"], "positions": [position],
        "score": round(1 / position, 4), "publishedDate": None,
        "parsed_url": ["https", "e", "/", "", "", ""],
    }  # fmt: skip
    if image:
        return {**common, "category": "images", "template": "images.html",
                "img_src": doc.picture, "thumbnail_src": doc.picture}  # fmt: skip
    return {**common, "category": "general", "template": "default.html"}


SEARXNG = Wire(
    key=lambda _: None,
    asked=lambda request: request.query.get("q", ""),
    count=lambda _: _SEARXNG_PAGE,
    answer=_searxng,
    errors={
        "no_key": _page(403, _FORBIDDEN),
        "wrong_key": _page(403, _FORBIDDEN),
        "quota": refusal(429, {"error": "monthly quota exceeded"}),
        "rate": _page(429, b"<!doctype html><title>Too Many Requests</title>"),
        "refused_query": refusal(400, {"error": "No query"}),
        "error_200": refusal(200, {"error": "search error: rate limit"}),
    },
    free=True,
)


# Wikipedia ------------------------------------------------------------------------------------


def _wikipedia(request: Request, query: str, docs: Sequence[Doc]) -> object:
    asked = request.query
    if request.path != "/w/api.php" or asked.get("action") != "query":
        raise not_found()
    agent = request.headers.get("user-agent", "")
    if "@" not in agent and "://" not in agent:
        raise Refused(_page(403, b"Please set a user-agent and respect our robot policy."))
    listing, generator = asked.get("list") == "search", asked.get("generator") == "search"
    words = [name for name, on in (("srsearch", listing), ("gsrsearch", generator)) if on]
    for name in words:
        if not asked.get(name, "").strip():
            raise Refused(_wikipedia_error("missingparam", f'The "{name}" parameter must be set.'))
        if len(asked[name]) > 300:
            raise Refused(_wikipedia_error("cirrussearch-query-too-long", "Search request is long"))
    modern = asked.get("formatversion") == "2"
    answer: JSON = {"batchcomplete": True if modern else ""}
    found: JSON = {}
    if listing:
        found["searchinfo"] = {"totalhits": len(docs)}
        found["search"] = [_wikipedia_hit(doc, query) for doc in docs]
    if generator and docs:
        # pages come by id, as a map keeps them, not by rank
        pages = sorted((_wikipedia_page(n, doc) for n, doc in enumerate(docs, 1)), key=_pageid)
        found["pages"] = pages if modern else {str(page["pageid"]): page for page in pages}
    return {**answer, "query": found} if found else answer


def _pageid(page: JSON) -> int:
    return int(page["pageid"])


def _id(doc: Doc) -> int:
    return 1000 + doc.number


def _wikipedia_hit(doc: Doc, query: str) -> JSON:
    snippet = marked(doc.passage.text[-150:], query, '<span class="searchmatch">', "</span>")
    return {"ns": 0, "title": doc.passage.title, "pageid": _id(doc), "size": 1, "wordcount": 1,
            "snippet": snippet, "timestamp": "2026-01-02T00:00:00Z"}  # fmt: skip


def _wikipedia_page(position: int, doc: Doc) -> JSON:
    return {"pageid": _id(doc), "ns": 0, "title": doc.passage.title, "index": position,
            "extract": doc.passage.text, "fullurl": doc.passage.url, "touched":
            "2026-01-02T00:00:00Z", "lastrevid": 1, "length": 1}  # fmt: skip


def _wikipedia_error(code: str, info: str) -> Fault:
    return refusal(200, {"error": {"code": code, "info": info}, "servedby": "stand-in"})


def _wikipedia_asked(request: Request) -> str:
    return request.query.get("gsrsearch") or request.query.get("srsearch", "")


def _wikipedia_count(request: Request) -> int:
    counts = [request.query[name] for name in ("gsrlimit", "srlimit") if name in request.query]
    return number(counts[0] if counts else None, 10, 50)


WIKIPEDIA = Wire(
    key=lambda _: None,
    asked=_wikipedia_asked,
    count=_wikipedia_count,
    answer=_wikipedia,
    errors={
        "no_key": _page(403, b"Please set a user-agent and respect our robot policy."),
        "wrong_key": _page(403, b"Please set a user-agent and respect our robot policy."),
        "quota": refusal(429, {"error": "monthly quota exceeded"}),
        "rate": _wikipedia_error("ratelimited", "You've exceeded your rate limit."),
        "refused_query": _wikipedia_error("srsearch-badquery", "The search query is not valid."),
        "error_200": _wikipedia_error("internal_api_error_DBQueryError", "Database query error."),
    },
    free=True,
)


# Google Vision --------------------------------------------------------------------------------


def pick(seed: bytes, count: int) -> int:
    """Which of so many pages a picture is taken to show."""
    return int.from_bytes(hashlib.sha256(seed).digest()[:8], "big") % max(1, count)


def _vision(request: Request, _: str, docs: Sequence[Doc]) -> object:
    if request.method != "POST" or request.path != "/v1/images:annotate":
        raise not_found()
    asked = request.json().get("requests")
    if not isinstance(asked, list) or not asked:
        raise Refused(_google(400, "Request must contain at least one image.", "INVALID_ARGUMENT"))
    return {"responses": [_vision_one(one, docs) for one in msgspec.convert(asked, list[JSON])]}


def _vision_one(asked: JSON, docs: Sequence[Doc]) -> JSON:
    try:
        image = base64.b64decode(asked["image"]["content"], validate=True)
    except (KeyError, TypeError, binascii.Error):
        image = b""
    if not image:
        return {"error": {"code": 3, "message": "Bad image data."}}
    if not docs:
        return {"webDetection": {}}
    pages = [
        {"url": doc.passage.url, "pageTitle": f"<b>{doc.passage.title}</b>",
         "fullMatchingImages": [{"url": doc.picture}]}
        for doc in docs
    ]  # fmt: skip
    entities = [
        {"entityId": f"/m/{doc.number}", "score": 1 / n, "description": doc.passage.title}
        for n, doc in enumerate(docs, 1)
    ]
    pictures = [{"url": doc.picture} for doc in docs]
    detection = {
        "webEntities": entities, "fullMatchingImages": pictures[:1],
        "partialMatchingImages": pictures[1:2], "pagesWithMatchingImages": pages,
        "visuallySimilarImages": pictures,
        "bestGuessLabels": [{"label": docs[0].passage.title.lower(), "languageCode": "en"}],
    }  # fmt: skip
    return {"webDetection": detection}


def _google(status: int, message: str, name: str) -> Fault:
    error = {"code": status, "message": message, "status": name}
    return refusal(status, {"error": error})


_VISION_KEY = "API key not valid. Please pass a valid API key."
VISION = Wire(
    key=lambda request: request.headers.get("x-goog-api-key"),
    asked=lambda _: "",
    count=lambda _: 3,
    answer=_vision,
    errors={
        "no_key": _google(403, "Method doesn't allow unregistered callers.", "PERMISSION_DENIED"),
        "wrong_key": _google(400, _VISION_KEY, "INVALID_ARGUMENT"),
        "quota": _google(429, "Quota exceeded for quota metric 'Requests'.", "RESOURCE_EXHAUSTED"),
        "rate": _google(429, "Too many requests per minute.", "RESOURCE_EXHAUSTED"),
        "refused_query": _google(400, "Request is invalid.", "INVALID_ARGUMENT"),
        "error_200": refusal(200, {"responses": [{"error": {"code": 3, "message": "Bad image"}}]}),
    },
)


# SerpApi --------------------------------------------------------------------------------------


def _serpapi(request: Request, _: str, docs: Sequence[Doc]) -> object:
    if request.method != "GET" or request.path not in {"/search", "/search.json"}:
        raise not_found()
    if request.query.get("engine") != "google_lens":
        raise Refused(refusal(400, {"error": "Unsupported engine in stand-in."}))
    if not request.query.get("url"):
        raise Refused(refusal(400, {"error": "Missing query `url` parameter."}))
    matches = [
        {"position": n, "title": doc.passage.title, "link": doc.passage.url, "source": "Stand-in",
         "thumbnail": doc.picture, "image": doc.picture}
        for n, doc in enumerate(docs, 1)
    ]  # fmt: skip
    return {"search_metadata": {"id": "stand-in", "status": "Success"}, "visual_matches": matches}


_SERPAPI_KEY = "Invalid API key. Your API key should be here: https://serpapi.com/manage-api-key"
SERPAPI = Wire(
    key=lambda request: request.query.get("api_key"),
    asked=lambda request: request.query.get("url", ""),
    count=lambda _: 20,
    answer=_serpapi,
    errors={
        "no_key": refusal(401, {"error": _SERPAPI_KEY}),
        "wrong_key": refusal(401, {"error": _SERPAPI_KEY}),
        "quota": refusal(429, {"error": "Your account has run out of searches."}),
        "rate": refusal(429, {"error": "Your account has exceeded its hourly rate limit."}),
        "refused_query": refusal(400, {"error": "Unsupported `url` parameter."}),
        "error_200": refusal(200, {"error": "Google Lens hasn't returned any results."}),
    },
)
