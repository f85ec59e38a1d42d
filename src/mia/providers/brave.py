"""Brave: an index of its own for a key. Says in headers how much may still be asked."""

from __future__ import annotations

from typing import Any

import msgspec

from mia.provider import Found, FoundImages, WebImage, Why
from mia.provider_http import SECONDS, Api, Refusal
from mia.provider_text import address, listed, locale, passage, plain, shortened

PRICE = 0.005
"""US dollars a request."""
_MOST = 20
_MOST_IMAGES = 100
_CHARACTERS, _WORDS = 400, 50
"""Longer queries are refused; the words behind the fiftieth decide nothing."""
_HOUR = 3600
_LANGUAGES = {"zh-cn": "zh-hans", "ja": "jp"}
"""Those that Brave names in its own way."""


class _Result(msgspec.Struct, frozen=True):
    url: str | None = None
    title: str | None = None
    description: str | None = None
    age: str | None = None
    page_age: str | None = None
    extra_snippets: list[str | None] | None = None


class _Web(msgspec.Struct, frozen=True):
    results: list[_Result] = []


class Answer(msgspec.Struct, frozen=True):
    """Has no `web` where nothing was found."""

    web: _Web | None = None
    query: Any = None

    def __post_init__(self) -> None:
        if self.web is None and self.query is None:
            raise ValueError("neither results nor what was asked")


class _Source(msgspec.Struct, frozen=True):
    src: str | None = None
    url: str | None = None


class _Image(msgspec.Struct, frozen=True):
    title: str | None = None
    url: str | None = None
    thumbnail: _Source | None = None
    properties: _Source | None = None


class _Images(msgspec.Struct, frozen=True):
    results: list[_Image]


class Brave:
    """A Provider and an ImageProvider."""

    name = "brave"

    def __init__(
        self,
        key: str,
        *,
        base_url: str = "https://api.search.brave.com",
        price: float = PRICE,
        seconds: float = SECONDS,
    ) -> None:
        self._price = price
        headers = {"X-Subscription-Token": key}
        self._api = Api(self.name, base_url, headers, key=key, why=why_of, seconds=seconds)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        asked = {**_asked(query, min(limit, _MOST)), "text_decorations": "false"}
        answer = await self._api.get("/res/v1/web/search", asked, Answer)
        results = (
            passage(found.url, plain(found.title), _text(found), found.page_age or found.age)
            for found in (answer.web.results if answer.web else ())
        )
        return Found(passages=listed(results, limit), cost=self._price)

    async def images(self, query: str, limit: int) -> FoundImages:
        """Raises ProviderError."""
        asked = _asked(query, min(limit, _MOST_IMAGES))
        answer = await self._api.get("/res/v1/images/search", asked, _Images)
        images = tuple(
            WebImage(
                title=plain(found.title),
                url=url,
                thumbnail=address(found.thumbnail.src) if found.thumbnail else None,
                page=address(found.url),
            )
            for found in answer.results
            if found.properties and (url := address(found.properties.url)) is not None
        )
        return FoundImages(images=images[:limit], cost=self._price)


def _asked(query: str, count: int) -> dict[str, str | int]:
    where = locale(query)
    return {
        "q": shortened(query, _CHARACTERS, _WORDS),
        "count": count,
        "country": where.country,
        "search_lang": _LANGUAGES.get(where.language, where.language),
    }


def _text(found: _Result) -> str:
    return " ".join(filter(None, map(plain, [found.description, *(found.extra_snippets or ())])))


def why_of(refusal: Refusal) -> Why | None:
    """Brave answers 422 to a wrong token and to a plan that is used up as well as to a query that
    it does not take, and 429 to a month that is over as well as to a second."""
    code = refusal.code.upper()
    if "TOKEN" in code:
        return "key"
    if "QUOTA" in code or "USAGE" in code:
        return "quota"
    if refusal.status == 429 and _month_is_over(refusal.headers):
        return "quota"
    if refusal.status == 422 and not code and "x-ratelimit-limit" not in refusal.headers:
        return "quota"
    return None


def _month_is_over(headers: dict[str, str]) -> bool:
    """Whether a limit over more than an hour has nothing left. A limit of 0 is none."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    columns = [_numbers(headers.get(name, "")) for name in names]
    return any(
        limit > 0 and left <= 0 and reset > _HOUR
        for limit, left, reset in zip(*columns, strict=False)
    )


def _numbers(header: str) -> list[int]:
    return [int(part) for part in header.replace(" ", "").split(",") if part.isdecimal()]
