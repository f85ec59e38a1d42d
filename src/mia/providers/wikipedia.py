"""Wikipedia: no key, no price. Wants to know who asks, and to be asked one thing at a time."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from mia.errors import ConfigError
from mia.provider import Found, Why
from mia.provider_http import AGENT, SECONDS, Api, Refusal
from mia.provider_text import Locale, listed, locale, passage, plain, shortened, tidy
from mia.types import Passage

_MOST = 20
"""As many introductions as Wikipedia gives at once."""
_CHARACTERS, _WORDS = 300, 50
_INTRODUCTION = 1500
"""Characters; some are pages long."""
_ABOUT_THE_QUERY = ("search", "srsearch", "gsrsearch", "bad", "missing", "toolong", "cirrussearch")
_TOO_OFTEN = ("ratelimited", "maxlag", "toomany")
_CONTACT = "say who asks: set `contact` to an e-mail address or a web page of yours"


class _Page(msgspec.Struct, frozen=True):
    title: str | None = None
    index: int | None = None
    """The place among the results: the pages themselves come in no order."""
    extract: str | None = None
    fullurl: str | None = None
    pageid: int | None = None


class _Hit(msgspec.Struct, frozen=True):
    title: str | None = None
    snippet: str | None = None
    pageid: int | None = None


class _Query(msgspec.Struct, frozen=True):
    pages: list[_Page] | dict[str, _Page] = []
    search: list[_Hit] = []


class Answer(msgspec.Struct, frozen=True):
    """Has no `query` where nothing was found."""

    query: _Query | None = None
    batchcomplete: Any = None

    def __post_init__(self) -> None:
        if self.query is None and self.batchcomplete is None:
            raise ValueError("neither results nor an end of them")


class Wikipedia:
    """A Provider over the edition in the query's language.

    A result's text is how the article begins, and then the place where the words of the query
    stand in it.
    """

    name = "wikipedia"

    def __init__(
        self,
        contact: str,
        *,
        base_url: str = "https://{language}.wikipedia.org",
        seconds: float = SECONDS,
    ) -> None:
        """`contact` is an e-mail address or a web page of whoever asks: Wikimedia's policy for
        user agents. Raises ConfigError when there is none, or one that no header can hold."""
        if not (contact.strip() and contact.isascii() and contact.isprintable()):
            raise ConfigError(f"wikipedia: {_CONTACT}")
        agent = f"{AGENT} ({contact.strip()}) httpx2/{httpx2.__version__}"
        self._agent, self._base, self._seconds = agent, base_url, seconds
        self._editions: dict[str, Api] = {}
        self._one = asyncio.Lock()
        self._edition(locale(""))  # says here what is wrong with an address

    async def aclose(self) -> None:
        """Closes the connections."""
        for api in self._editions.values():
            await api.aclose()

    async def search(self, query: str, limit: int) -> Found:
        """Raises ProviderError."""
        where = locale(query)
        async with self._one:
            answer = await self._edition(where).get(
                "/w/api.php", _asked(query, min(limit, _MOST)), Answer
            )
        return Found(passages=listed(read(answer, self._site(where)), limit))

    def _site(self, where: Locale) -> str:
        return self._base.replace("{language}", where.short)

    def _edition(self, where: Locale) -> Api:
        site = self._site(where)
        if site not in self._editions:
            self._editions[site] = Api(
                self.name,
                site,
                {"User-Agent": self._agent},
                why=why_of,
                advice={"key": _CONTACT},
                seconds=self._seconds,
            )
        return self._editions[site]


def _asked(query: str, limit: int) -> dict[str, str | int]:
    words = shortened(query, _CHARACTERS, _WORDS)
    return {
        "action": "query",
        "format": "json",
        "formatversion": 2,
        "generator": "search",
        "gsrsearch": words,
        "gsrlimit": limit,
        "prop": "extracts|info",
        "exintro": 1,
        "explaintext": 1,
        "exlimit": "max",
        "inprop": "url",
        "list": "search",
        "srsearch": words,
        "srlimit": limit,
        "srprop": "snippet",
    }


def read(answer: Answer, site: str) -> list[Passage | None]:
    """The articles in the order of the search; by their snippets alone where there is no more."""
    query = answer.query or _Query()
    pages = list(query.pages.values() if isinstance(query.pages, dict) else query.pages)
    snippets = {hit.pageid: plain(hit.snippet) for hit in query.search}
    if not pages:
        pages = [_Page(title=hit.title, pageid=hit.pageid) for hit in query.search]
    return [
        passage(
            page.fullurl or f"{site}/wiki/{quote((page.title or '').replace(' ', '_'))}",
            tidy(page.title),
            _text(tidy(page.extract, _INTRODUCTION), snippets.get(page.pageid, "")),
        )
        for page in sorted(pages, key=lambda page: page.index or 0)
    ]


def _text(introduction: str, snippet: str) -> str:
    if not snippet or snippet in introduction:
        return introduction
    return f"{introduction} … {snippet}" if introduction else snippet


def why_of(refusal: Refusal) -> Why | None:
    """Wikipedia's errors come with status 200 and a code."""
    if refusal.status != 200 or not refusal.code:
        return None
    if refusal.code.startswith(_TOO_OFTEN):
        return "rate"
    if refusal.code.startswith(_ABOUT_THE_QUERY):
        return "query"
    return "down"
