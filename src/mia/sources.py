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
from typing import TYPE_CHECKING

from mia import config
from mia.config import Loaded
from mia.demo import world
from mia.errors import InputError
from mia.image_search.cached import CachedImages
from mia.image_search.encoder import Encoder
from mia.image_search.first_of import FirstOf
from mia.image_search.local import LocalImages
from mia.image_search.stored import is_index as is_image_index
from mia.model import Embedder
from mia.pictures import MAX_BYTES, Pictures
from mia.provider import Provider, WebImage
from mia.search import corpus
from mia.search.bm25 import BM25
from mia.search.dense import Dense
from mia.search.fetch_errors import FetchError
from mia.search.hybrid import Hybrid
from mia.search.indexes import is_index, keep
from mia.search.online import Online
from mia.search.rerank import Reranked, Reranker
from mia.tool import ImageSearch, Search
from mia.types import Picture

if TYPE_CHECKING:
    from mia.remote import Remote
    from mia.search.web import WebPages

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
        """A search of the corpus; with a reranker, where the settings name one."""
        engine, reranker = self._corpus_engine(), self.reranker
        return engine if reranker is None else Reranked(engine, reranker)

    def _corpus_engine(self) -> Search:
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
        usable = self._settings.web.usable(self.loaded.secrets)
        return self._settings.corpus is None and bool(set(usable) - {"wikipedia"})

    def index(self) -> Path:
        """The index of the corpus, built or brought up to date where that is due."""
        chosen = self.corpus or (Path(self._settings.corpus) if self._settings.corpus else None)
        if chosen is None:
            chosen = self._demo_corpus()
        if is_index(chosen):
            return chosen
        if not chosen.exists():
            raise InputError(f"no corpus at {chosen}")
        folder = self._folder / "indexes" / corpus.identity(chosen)
        keep(chosen, folder, self.say)
        return folder

    def _demo_corpus(self) -> Path:
        folder = self._folder / "demo"
        world.write(folder)
        return folder / "corpus.jsonl"

    @cached_property
    def remote(self) -> Remote:
        """What asks servers. Imported when it is needed: loading an HTTP client takes longer than
        searching a corpus."""
        from mia.remote import Remote

        return Remote(self.loaded, self.pictures, self.open, self.connections)

    @property
    def online(self) -> Online:
        """The providers of the web that can be asked, in their order."""
        return self.remote.online

    @property
    def providers(self) -> list[Provider]:
        """Those that can be asked, each by itself."""
        return self.remote.providers

    @property
    def pages(self) -> WebPages:
        """Reads pages of the web."""
        return self.remote.pages

    @property
    def reranker(self) -> Reranker | None:
        """Who puts what a corpus has found in order; None where the settings name nobody."""
        return self.remote.reranker if self._settings.rerank else None

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
        for engine in self.remote.image_searches():
            self.connections.push_async_callback(engine.aclose)
            yield engine

    async def picture(self, reference: str, name: str = "", beside: Path | None = None) -> Picture:
        """The picture behind a path, a URL or a data URL. With `beside`, as rows of a data set are
        read, a path stays inside that folder. Raises InputError."""
        if reference.startswith(("http://", "https://")):
            try:
                raw, url = await self.remote.picture(reference), reference
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
                raw = await self.remote.picture(url)
                return await asyncio.to_thread(self.pictures.thumbnail, raw)
            except (FetchError, InputError):
                continue
        return None


def _in_line(reference: str) -> bytes:
    """The bytes of a data URL. Raises InputError."""
    head, _, body = reference.partition(",")
    if not head.endswith(";base64") or len(body) > 2 * MAX_BYTES:
        raise InputError(f"{head[:80]}: not a picture in base64 of at most {MAX_BYTES:,} bytes")
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
