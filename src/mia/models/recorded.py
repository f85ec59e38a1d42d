"""Recording of every model and search call, and their replay without a model or a network.

A tape is a JSONL file, one answer a line. A line is found by the hash of what was asked and of how
often that had been asked before, so calls of the same words replay in their order, and calls of
different words in any order. Failures are on the tape too: a replay fails where the original did.
Requests hold messages and queries only; keys and headers live below this layer.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from mia.errors import InputError, MIAError, ModelError, SearchError
from mia.model import GREEDY, Embedder, Message, Model, Reply, Sampling, Shape, ToolSpec
from mia.tool import ImageHit, ImageSearch, Search
from mia.types import Noun, Passage, Picture

T = TypeVar("T")

Kind = Literal["model", "search", "page", "image", "embed"]

_SUMMARY = 200
"""Characters of a request that a tape shows to people."""


class Request(Noun, frozen=True):
    """One call, as its key is computed from it."""

    kind: Kind
    name: str
    """Of the model or the embedder; empty for a search."""
    asked: str
    """All that was asked, as canonical JSON."""
    summary: str
    """What it was about, for people."""


class Entry(Noun, frozen=True):
    """One line of a tape. Has a reply, or an error."""

    key: str
    kind: Kind
    name: str
    request: str
    """A summary: the key is what is compared."""
    reply: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None


class Vectors(Noun, frozen=True):
    """A matrix, bit by bit."""

    rows: int
    dimensions: int
    data: bytes
    """Little-endian 32-bit floats, row by row."""


class Tape:
    """Answers by request, in a file that grows by a line with every recorded call."""

    def __init__(self, path: Path) -> None:
        """The tape at `path`, empty when there is no such file. A last line that was torn by a
        crash is left out, and cut off by the next recording; any other bad line is an
        InputError."""
        self._path = path
        self._entries: dict[str, Entry] = {}
        self._recorded: Counter[str] = Counter()
        self._replayed: Counter[str] = Counter()
        raw = path.read_bytes() if path.exists() else b""
        *lines, torn = raw.split(b"\n")
        self._torn = len(torn)
        for number, line in enumerate(lines, start=1):
            self._load(line, number)

    @classmethod
    def existing(cls, path: Path) -> Tape:
        """The tape at `path`. Raises InputError when there is none."""
        if not path.is_file():
            raise InputError(f"there is no tape at {path}")
        return cls(path)

    def __len__(self) -> int:
        return len(self._entries)

    def _load(self, line: bytes, number: int) -> None:
        try:
            entry = msgspec.json.decode(line.decode(), type=Entry)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            raise InputError(f"{self._path}, line {number}: {error}") from error
        if entry.key in self._entries:
            raise InputError(f"{self._path}, line {number}: its key was on an earlier line")
        self._entries[entry.key] = entry

    def record(self, request: Request, reply: object = None, error: str | None = None) -> None:
        """Adds an answer; it is in the file when this returns."""
        entry = Entry(
            key=self._next_free(request),
            kind=request.kind,
            name=request.name,
            request=request.summary,
            reply=msgspec.Raw(msgspec.json.encode(reply)),
            error=error,
        )
        if self._torn:
            os.truncate(self._path, self._path.stat().st_size - self._torn)
            self._torn = 0
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")
        self._entries[entry.key] = entry

    def play(self, request: Request, kind: type[T], error: type[MIAError]) -> T:
        """The next answer to a request. Raises `error` when there is none, and when the answer was
        a failure."""
        asked = _digest(request)
        entry = self._entries.get(_key(asked, self._replayed[asked]))
        if entry is None:
            what = f"{request.kind} {request.name}".rstrip()
            times = self._replayed[asked] + 1
            raise error(
                f"not on the tape {self._path}: {what}, asked for the time no. {times}: "
                f"{request.summary!r}"
            )
        self._replayed[asked] += 1
        if entry.error is not None:
            raise error(entry.error)
        try:
            return msgspec.json.decode(entry.reply, type=kind)
        except msgspec.ValidationError as bad:
            raise InputError(f"{self._path}, the reply of {entry.key}: {bad}") from bad

    def _next_free(self, request: Request) -> str:
        asked = _digest(request)
        while (key := _key(asked, self._recorded[asked])) in self._entries:
            self._recorded[asked] += 1
        return key


def _digest(request: Request) -> str:
    parts = (request.kind, request.name, request.asked)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _key(digest: str, occurrence: int) -> str:
    return hashlib.sha256(f"{digest} {occurrence}".encode()).hexdigest()


def _request(kind: Kind, name: str, summary: str, *asked: object) -> Request:
    canonical = msgspec.json.encode(asked, order="deterministic").decode()
    return Request(kind=kind, name=name, asked=canonical, summary=summary[:_SUMMARY])


def _model_request(
    name: str,
    messages: Sequence[Message],
    sampling: Sampling,
    shape: Shape | None,
    tools: Sequence[ToolSpec],
) -> Request:
    summary = messages[-1].content if messages else ""
    return _request("model", name, summary, tuple(messages), sampling, shape, tuple(tools))


def _search_request(query: str, limit: int) -> Request:
    return _request("search", "", query, query, limit)


def _page_request(address: str) -> Request:
    return _request("page", "", address, address)


def _image_request(picture: Picture, limit: int) -> Request:
    return _request("image", "", picture.name or picture.id, picture, limit)


def _embed_request(name: str, texts: Sequence[str]) -> Request:
    return _request("embed", name, " | ".join(texts), tuple(texts))


class RecordedModel:
    """A Model that puts what it is asked and answers on a tape, under a name."""

    def __init__(self, model: Model, tape: Tape, name: str) -> None:
        self._model = model
        self._tape = tape
        self._name = name

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """What the model says."""
        request = _model_request(self._name, messages, sampling, shape, tools)
        try:
            reply = await self._model.reply(messages, sampling=sampling, shape=shape, tools=tools)
        except ModelError as error:
            self._tape.record(request, error=str(error))
            raise
        self._tape.record(request, reply)
        return reply


class ReplayModel:
    """A Model that answers from a tape, as the recorded model of that name did."""

    def __init__(self, tape: Tape, name: str) -> None:
        self._tape = tape
        self._name = name

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError for a call that is not on the tape."""
        request = _model_request(self._name, messages, sampling, shape, tools)
        return self._tape.play(request, Reply, ModelError)


class RecordedSearch:
    """A Search that puts what it is asked and answers on a tape."""

    def __init__(self, search: Search, tape: Tape) -> None:
        self._search = search
        self._tape = tape

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """What the engine finds."""
        request = _search_request(query, limit)
        try:
            passages = await self._search.search(query, limit)
        except SearchError as error:
            self._tape.record(request, error=str(error))
            raise
        self._tape.record(request, passages)
        return passages

    async def page(self, address: str) -> Passage | None:
        """What the engine has there."""
        request = _page_request(address)
        try:
            page = await self._search.page(address)
        except SearchError as error:
            self._tape.record(request, error=str(error))
            raise
        self._tape.record(request, (page,) if page else ())
        return page


class ReplaySearch:
    """A Search that answers from a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def search(self, query: str, limit: int) -> tuple[Passage, ...]:
        """Raises SearchError for a query that is not on the tape."""
        return self._tape.play(_search_request(query, limit), tuple[Passage, ...], SearchError)

    async def page(self, address: str) -> Passage | None:
        """Raises SearchError for an address that is not on the tape."""
        pages = self._tape.play(_page_request(address), tuple[Passage, ...], SearchError)
        return pages[0] if pages else None


class RecordedImageSearch:
    """An ImageSearch that puts what it is asked and answers on a tape."""

    def __init__(self, search: ImageSearch, tape: Tape) -> None:
        self._search = search
        self._tape = tape

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """What the engine finds."""
        request = _image_request(picture, limit)
        try:
            hits = await self._search.similar(picture, limit)
        except SearchError as error:
            self._tape.record(request, error=str(error))
            raise
        self._tape.record(request, hits)
        return hits


class ReplayImageSearch:
    """An ImageSearch that answers from a tape."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def similar(self, picture: Picture, limit: int) -> tuple[ImageHit, ...]:
        """Raises SearchError for a picture that is not on the tape."""
        return self._tape.play(_image_request(picture, limit), tuple[ImageHit, ...], SearchError)


class RecordedEmbedder:
    """An Embedder that puts its vectors on a tape."""

    def __init__(self, embedder: Embedder, tape: Tape) -> None:
        self._embedder = embedder
        self._tape = tape

    @property
    def name(self) -> str:
        """The embedder's name."""
        return self._embedder.name

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the embedder makes of the texts."""
        request = _embed_request(self.name, texts)
        try:
            matrix = await self._embedder.embed(texts)
        except ModelError as error:
            self._tape.record(request, error=str(error))
            raise
        rows, dimensions = matrix.shape
        data = matrix.astype("<f4").tobytes()
        self._tape.record(request, Vectors(rows=rows, dimensions=dimensions, data=data))
        return matrix


class ReplayEmbedder:
    """An Embedder that answers from a tape, as the recorded embedder of that name did."""

    def __init__(self, tape: Tape, name: str) -> None:
        self._tape = tape
        self._name = name

    @property
    def name(self) -> str:
        """The recorded embedder's name."""
        return self._name

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises ModelError for texts that are not on the tape."""
        vectors = self._tape.play(_embed_request(self._name, texts), Vectors, ModelError)
        flat = np.frombuffer(vectors.data, dtype="<f4").astype(np.float32)
        return flat.reshape(vectors.rows, vectors.dimensions)
