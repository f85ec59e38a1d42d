"""Puts together from settings what finds evidence by asking servers: providers of the web, its
pages, its image searches, a reranker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mia import config
from mia.config import Loaded
from mia.errors import ConfigError
from mia.image_search.lens import SERPAPI, SERPER, SerpApiLens, SerperLens
from mia.image_search.vision import GOOGLE, VisionImages
from mia.pictures import Pictures
from mia.provider import Provider
from mia.providers import brave, exa, serper, tavily
from mia.providers.brave import Brave
from mia.providers.ddgs import DDGS
from mia.providers.exa import Exa
from mia.providers.searxng import SearXNG
from mia.providers.serper import Serper
from mia.providers.tavily import Tavily
from mia.providers.wikipedia import Wikipedia
from mia.retry import Policy
from mia.search.cache import Cache
from mia.search.fetch import PICTURE, PICTURES, Fetcher
from mia.search.online import Online
from mia.search.online_lane import POLICY, Source, Terms
from mia.search.rerank_endpoint import RerankEndpoint
from mia.search.spending import Spending
from mia.search.web import WebPages


@dataclass
class Remote:
    """What settings say of servers, each made when it is first asked for."""

    loaded: Loaded
    pictures: Pictures
    open: ExitStack
    """Closes what is closed without waiting."""
    connections: AsyncExitStack
    """Closes what talks to servers, in the loop that it talked in."""

    @property
    def _settings(self) -> config.Search:
        return self.loaded.settings.search

    @property
    def _folder(self) -> Path:
        return self.loaded.settings.folder

    @cached_property
    def online(self) -> Online:
        """The providers of the web that can be asked, in their order."""
        web = self._settings.web
        spending = Spending(self._folder / "spending.db", dollars_a_run=web.dollars_a_run)
        self.open.callback(spending.close)
        return Online(
            self._asked,
            cache=self.cache,
            spending=spending,
            pages=self.pages.page,
            deadline=web.deadline,
        )

    @cached_property
    def _asked(self) -> list[Source]:
        return [self._source(name) for name in self._settings.web.usable(self.loaded.secrets)]

    @property
    def providers(self) -> list[Provider]:
        """Those that can be asked, each by itself."""
        return [source.provider for source in self._asked]

    def _source(self, name: config.ProviderName) -> Source:
        """A provider with its terms."""
        chosen = self._settings.web.provider(name)
        key = (self.loaded.secrets.key(chosen.key_env) or "") if chosen.key_env else ""
        at: dict[str, Any] = {"base_url": chosen.base_url} if chosen.base_url else {}
        priced: dict[str, Any] = at | ({"price": chosen.price} if chosen.price is not None else {})
        images, price, policy = None, 0.0, POLICY
        match name:
            case "serper":
                provider = images = Serper(key, **priced)
                price = serper.PRICE
            case "brave":
                provider = images = Brave(key, **priced)
                price = brave.PRICE
            case "tavily":
                provider, price = Tavily(key, **priced), tavily.PRICE
            case "exa":
                provider, price = Exa(key, **priced), exa.PRICE
            case "searxng":
                provider = images = SearXNG(chosen.base_url or "")
            case "wikipedia":
                provider = Wikipedia(self._settings.web.contact, **at)
                policy = replace(POLICY, concurrency=1)  # it is asked one thing at a time
            case "ddgs":
                provider = images = DDGS()
        self.connections.push_async_callback(provider.aclose)
        terms = Terms(
            per_second=chosen.per_second,
            burst=chosen.burst,
            dollars=price if chosen.price is None else chosen.price,
            dollars_a_day=chosen.dollars_a_day,
            policy=policy,
        )
        return Source(provider, terms, images)

    @cached_property
    def cache(self) -> Cache | None:
        """What the web answered before; None where the settings want none."""
        if not self._settings.web.cache:
            return None
        cache = Cache(self._folder / "web.db")
        self.open.callback(cache.close)
        return cache

    @cached_property
    def fetcher(self) -> Fetcher:
        """The way out to the web."""
        web = self._settings.web
        fetcher = Fetcher(web.allow, contact=web.contact, seconds=web.page_seconds)
        self.connections.push_async_callback(fetcher.aclose)
        return fetcher

    @cached_property
    def pages(self) -> WebPages:
        """Reads pages of the web."""
        return WebPages(self.fetcher, self.cache)

    async def picture(self, url: str) -> bytes:
        """A picture of the web. Raises FetchError."""
        return (await self.fetcher.get(url, most=PICTURE, kinds=PICTURES)).body

    def image_searches(self) -> Iterator[VisionImages | SerperLens | SerpApiLens]:
        """Those that look pictures up. Raises ConfigError where a key or consent is missing."""
        chosen, secrets = self._settings.images, self.loaded.secrets
        key = secrets.key(chosen.vision_key_env)
        if key is not None:
            at = chosen.vision_url or GOOGLE
            yield VisionImages(key, self.pictures, self.picture, base_url=at)
        if chosen.lens is None:
            return
        lens, at, variable = (
            (SerperLens, SERPER, self._settings.web.serper.key_env)
            if chosen.lens == "serper"
            else (SerpApiLens, SERPAPI, chosen.serpapi_key_env)
        )
        key = secrets.key(variable)
        if key is None:
            raise ConfigError(f"[search.images] lens needs a key: set {variable}")
        consent, at = chosen.lens_consent, chosen.lens_url or at
        yield lens(key, self.pictures, self.picture, consent=consent, base_url=at)

    @cached_property
    def reranker(self) -> RerankEndpoint | None:
        """Who puts what a corpus has found in order; None where the settings name nobody."""
        chosen = self._settings.rerank
        if chosen is None:
            return None
        key = self.loaded.secrets.key(chosen.api_key_env)
        patience = Policy(deadline=chosen.deadline)
        reranker = RerankEndpoint(chosen.base_url, chosen.model, api_key=key, patience=patience)
        self.connections.push_async_callback(reranker.aclose)
        return reranker
