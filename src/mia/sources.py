"""Puts together from settings where evidence comes from: the corpus, the web, and pictures."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mia import config
from mia.config import Loaded
from mia.demo import world
from mia.errors import ConfigError, InputError, MissingError
from mia.image_search.cached import CachedImages
from mia.image_search.encoder import Encoder
from mia.image_search.first_of import FirstOf
from mia.image_search.lens import SERPAPI, SERPER, SerpApiLens, SerperLens
from mia.image_search.local import LocalImages
from mia.image_search.stored import is_index as is_image_index
from mia.image_search.vision import GOOGLE, VisionImages
from mia.model import Embedder
from mia.pictures import Pictures
from mia.provider import Provider, WebImage
from mia.providers import brave, exa, serper, tavily
from mia.providers.brave import Brave
from mia.providers.ddgs import DDGS
from mia.providers.exa import Exa
from mia.providers.searxng import SearXNG
from mia.providers.serper import Serper
from mia.providers.tavily import Tavily
from mia.providers.wikipedia import Wikipedia
from mia.search import corpus
from mia.search.bm25 import BM25
from mia.search.cache import Cache
from mia.search.dense import Dense
from mia.search.fetch import PICTURE, PICTURES, Fetcher
from mia.search.fetch_errors import FetchError
from mia.search.hybrid import Hybrid
from mia.search.indexes import is_index, keep
from mia.search.online import Online
from mia.search.online_lane import POLICY, Source, Terms
from mia.search.spending import Spending
from mia.search.web import WebPages
from mia.tool import ImageSearch, Search
from mia.types import Picture

Say = Callable[[str], None]


@dataclass
class Sources:
    """The searches that settings describe, each made when it is first asked for."""

    loaded: Loaded
    corpus: Path | None
    """A corpus or an index; None for the one in the settings, or the demo's."""
    web_only: bool
    """Whether the web is searched whatever the settings say."""
    embedder: Callable[[], Embedder]
    """What passages are found by where they are not found by words."""
    say: Say
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
    def search(self) -> Search:
        """What the `search` tool asks."""
        return self.online if self.on_the_web else self.in_corpus

    @cached_property
    def in_corpus(self) -> Search:
        """A search of the corpus."""
        folder, engine = self.index(), self._settings.engine
        if engine == "bm25":
            return BM25(folder)
        dense = Dense(folder, self.embedder())
        if not dense.complete:
            self.say(f"some passages have no vector yet; run: mia index embed {folder}")
        return dense if engine == "dense" else Hybrid(BM25(folder), dense)

    @property
    def on_the_web(self) -> bool:
        """Whether the web is searched, and not a corpus."""
        chosen = self._settings.source
        if self.web_only or self.corpus is not None:
            return self.web_only
        if chosen != "auto":
            return chosen == "web"
        return self._settings.corpus is None and bool(set(self._named) - {"wikipedia"})

    def index(self) -> Path:
        """The index of the corpus, built or brought up to date where that is due."""
        chosen = self.corpus or (Path(self._settings.corpus) if self._settings.corpus else None)
        if chosen is None:
            chosen = self._demo_corpus()
        if is_index(chosen):
            return chosen
        if not chosen.exists():
            raise MissingError(f"no corpus at {chosen}")
        folder = self._folder / "indexes" / corpus.identity(chosen)
        keep(chosen, folder, self.say)
        return folder

    def _demo_corpus(self) -> Path:
        folder = self._folder / "demo"
        world.write(folder)
        return folder / "corpus.jsonl"

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
        return [self._source(name) for name in self._named]

    @property
    def providers(self) -> list[Provider]:
        """Those that can be asked, each by itself."""
        return [source.provider for source in self._asked]

    @property
    def _named(self) -> tuple[config.ProviderName, ...]:
        """Those of the settings' order that can be asked."""
        return tuple(name for name in self._settings.web.order if self._usable(name))

    def _usable(self, name: config.ProviderName) -> bool:
        chosen = self._chosen(name)
        if name == "searxng":
            return chosen.base_url is not None
        return not chosen.key_env or self.loaded.secrets.key(chosen.key_env) is not None

    def _chosen(self, name: config.ProviderName) -> config.Provider:
        web = self._settings.web
        return {
            "serper": web.serper, "brave": web.brave, "tavily": web.tavily, "exa": web.exa,
            "searxng": web.searxng, "wikipedia": web.wikipedia, "ddgs": web.ddgs,
        }[name]  # fmt: skip

    def _source(self, name: config.ProviderName) -> Source:
        """A provider with its terms."""
        chosen = self._chosen(name)
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

    @cached_property
    def pictures(self) -> Pictures:
        """The picture folder."""
        return Pictures(self._folder / "pictures")

    @property
    def _image_index(self) -> Path | None:
        chosen = self._settings.images.index
        place = Path(chosen) if chosen else self._folder / "indexes" / "images"
        return place if chosen or is_image_index(place) else None

    @property
    def knows_pictures(self) -> bool:
        """Whether there is anything in which pictures can be looked up."""
        chosen = self._settings.images
        named = (chosen.caches, chosen.lens, self._image_index)
        return any(named) or self.loaded.secrets.key(chosen.vision_key_env) is not None

    @cached_property
    def similar(self) -> ImageSearch:
        """Where pictures are looked up: what lies here first, the web after that."""
        return FirstOf(list(self._image_searches()))

    def _image_searches(self) -> Iterator[ImageSearch]:
        chosen, index = self._settings.images, self._image_index
        if chosen.caches:
            yield CachedImages([Path(root) for root in chosen.caches], self.pictures)
        if index is not None:
            encoder = Encoder(Path(chosen.encoder)) if chosen.encoder else None
            yield LocalImages(index, self.pictures, encoder)
        for engine in self._web_image_searches():
            self.connections.push_async_callback(engine.aclose)
            yield engine

    def _web_image_searches(self) -> Iterator[VisionImages | SerperLens | SerpApiLens]:
        chosen, secrets = self._settings.images, self.loaded.secrets
        key = secrets.key(chosen.vision_key_env)
        if key is not None:
            at = chosen.vision_url or GOOGLE
            yield VisionImages(key, self.pictures, self._bytes, base_url=at)
        if chosen.lens is None:
            return
        consent = chosen.lens_consent
        if not consent:
            raise ConfigError(
                "[search.images] lens sends addresses of pictures to Google by way of a reseller;"
                " where that is wanted, set lens_consent = true"
            )
        if chosen.lens == "serper":
            key = self._lens_key(self._settings.web.serper.key_env)
            at = chosen.lens_url or SERPER
            yield SerperLens(key, self.pictures, self._bytes, consent=consent, base_url=at)
        else:
            key = self._lens_key(chosen.serpapi_key_env)
            at = chosen.lens_url or SERPAPI
            yield SerpApiLens(key, self.pictures, self._bytes, consent=consent, base_url=at)

    def _lens_key(self, variable: str) -> str:
        key = self.loaded.secrets.key(variable)
        if key is None:
            raise ConfigError(f"[search.images] lens needs a key: set {variable}")
        return key

    async def _bytes(self, url: str) -> bytes:
        """A picture of the web. Raises FetchError."""
        return (await self.fetcher.get(url, most=PICTURE, kinds=PICTURES)).body

    async def picture(self, reference: str, name: str = "", beside: Path | None = None) -> Picture:
        """The picture behind a path, a URL or a data URL. With `beside`, as rows of a data set are
        read, a path stays inside that folder. Raises InputError."""
        if reference.startswith(("http://", "https://")):
            try:
                raw, url = await self._bytes(reference), reference
            except FetchError as error:
                raise InputError(str(error)) from error
        elif reference.startswith("data:"):
            raw, url = _in_line(reference), None
        else:
            raw, url = _read(reference, beside), None
        named = name or ("" if reference.startswith("data:") else Path(reference).name)
        return await asyncio.to_thread(self.pictures.keep, raw, name=named, url=url)

    async def thumbnail(self, image: WebImage) -> bytes | None:
        """A picture that a search found, as a small JPEG; None where it cannot be had."""
        for url in filter(None, (image.thumbnail, image.url)):
            try:
                return await asyncio.to_thread(self.pictures.thumbnail, await self._bytes(url))
            except (FetchError, InputError):
                continue
        return None


def _in_line(reference: str) -> bytes:
    """The bytes of a data URL. Raises InputError."""
    head, _, body = reference.partition(",")
    if not head.endswith(";base64") or len(body) > 2 * PICTURE:
        raise InputError(f"{head[:80]}: not a picture in base64 of at most {PICTURE:,} bytes")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise InputError(f"{head[:80]}: {error}") from error


def _read(reference: str, beside: Path | None) -> bytes:
    """The bytes of a file. Raises InputError."""
    path = Path(reference)
    if beside is not None:
        path = beside / reference
        if not path.resolve().is_relative_to(beside.resolve()):
            raise InputError(f"{reference} lies outside of {beside}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {error.strerror or error}") from error
