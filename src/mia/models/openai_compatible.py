"""Models and embedders behind any OpenAI-compatible URL."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ModelError
from mia.model import GREEDY, Grammar, Message, Reply, Sampling, Schema, Shape, ToolSpec
from mia.models.openai_server import ErrorBody, OpenAIServer, Refused
from mia.models.openai_wire import Shown, unnamed, wired, wired_tool, with_schema
from mia.retry import Retry
from mia.types import Noun, ToolCall, Usage

if TYPE_CHECKING:
    from openai._legacy_response import LegacyAPIResponse

_log = logging.getLogger(__name__)

_CHAT = "/chat/completions"
_EMBEDDINGS = "/embeddings"
_BATCH = 64
"""Texts in one embedding request: small servers refuse more."""
_NO_SCHEMAS = frozenset({400, 404, 422, 501})
_ABOUT_SCHEMAS = re.compile(r"response_?format|json_?schema|structured|guided", re.IGNORECASE)


class Prices(Noun, frozen=True):
    """US dollars for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class _Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str | dict[str, Any] | None = None
    """A string by the standard; some servers send the object itself."""


class _Call(msgspec.Struct, frozen=True):
    function: _Function
    id: str | None = None


class _Said(msgspec.Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct, frozen=True):
    message: _Said
    finish_reason: str | None = None


class _Counts(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct, frozen=True):
    """The part of a chat completion that is read."""

    choices: list[_Choice] | None = None
    usage: _Counts | None = None
    error: ErrorBody | str | None = None
    """Routers report a failed server behind them with status 200."""


class _Row(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Rows(msgspec.Struct, frozen=True):
    data: list[_Row]


class OpenAICompatible:
    """A Model behind an OpenAI-compatible URL.

    `extra_body` is merged into every request, over what MIA sets; a value of None takes a field
    out (`{"max_tokens": None, "max_completion_tokens": 2000}`). `grammars` says that the server
    takes llama.cpp grammars; `shown` gives pictures as data URLs, to a model that sees. Models that
    share a `retry` share its slots and its breaker.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
        prices: Prices | None = None,
        extra_body: Mapping[str, object] | None = None,
        grammars: bool = False,
        shown: Shown | None = None,
    ) -> None:
        self._server = OpenAIServer(base_url, api_key, retry)
        self._model = model
        self._shown = shown
        self._prices = prices or Prices()
        self._extra_body = dict(extra_body or {})
        self._grammars = grammars
        self._schemas = True

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError when there is no complete reply within the deadline, and for one that
        says nothing: no choices, no text, a refusal."""
        began, calls = time.monotonic(), 0

        async def attempt() -> _Completion:
            nonlocal calls
            raw = await self._send(messages, sampling, shape, tools)
            calls += 1  # a reply that cannot be read was paid for all the same
            completion = self._server.read(_CHAT, raw, _Completion)
            self._check(completion.error)
            return completion

        completion = await self._server.retry.call(self._server.where(_CHAT), attempt)
        usage = Usage(calls=calls, seconds=time.monotonic() - began)
        return self._read(completion, usage, sampling)

    async def _send(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        shape: Shape | None,
        tools: Sequence[ToolSpec],
    ) -> bytes:
        """One request. A server that refuses schemas is asked again at once, and then always, with
        the schema in words."""
        constrained = isinstance(shape, Schema) and self._schemas
        if not constrained:
            worded = with_schema(messages, shape)
            return await self._post(worded, self._body(sampling, shape, tools))
        try:
            return await self._post(messages, self._body(sampling, shape, tools))
        except Refused as refusal:
            if refusal.status not in _NO_SCHEMAS or not _ABOUT_SCHEMAS.search(refusal.words):
                raise
            _log.warning("%s; from here on schemas go into the prompt", refusal)
        self._schemas = False
        worded = with_schema(messages, shape)
        return await self._post(worded, self._body(sampling, shape, tools))

    async def _post(self, messages: Sequence[Message], body: dict[str, object]) -> bytes:
        async def request() -> LegacyAPIResponse[object]:
            response = await self._server.client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=cast(Any, wired(messages, self._shown)),
                extra_body=body,
            )
            return cast("LegacyAPIResponse[object]", response)

        return await self._server.send(_CHAT, request)

    def _body(
        self, sampling: Sampling, shape: Shape | None, tools: Sequence[ToolSpec]
    ) -> dict[str, object]:
        """The request beside its messages, as it goes on the wire."""
        body: dict[str, object] = {
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "tools": [wired_tool(tool) for tool in tools] or None,
        }
        if isinstance(shape, Schema) and self._schemas:
            schema = {"name": shape.name, "schema": shape.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if isinstance(shape, Grammar) and self._grammars:
            body["grammar"] = shape.gbnf
        merged = body | self._extra_body
        return {name: value for name, value in merged.items() if value is not None}

    def _check(self, error: ErrorBody | str | None) -> None:
        """Raises for an error that came with status 200."""
        if error is None:
            return
        body = ErrorBody(message=error) if isinstance(error, str) else error
        status = body.code if isinstance(body.code, int) and body.code >= 400 else 200
        raise self._server.failure(_CHAT, status, body.message or "an error without a message")

    def _read(self, completion: _Completion, usage: Usage, sampling: Sampling) -> Reply:
        where = self._server.where(_CHAT)
        counts = completion.usage or _Counts()
        prompt, written = counts.prompt_tokens or 0, counts.completion_tokens or 0
        usage = replace(
            usage,
            prompt_tokens=prompt,
            completion_tokens=written,
            money=self._prices.of(prompt, written),
        )
        if not completion.choices:
            raise ModelError(f"{where} answered without choices; is {self._model!r} a chat model?")
        choice = completion.choices[0]
        said, truncated = choice.message, choice.finish_reason == "length"
        if said.refusal:
            raise ModelError(f"{where}: the model refused: {said.refusal[:300]!r}")
        if not said.content and not said.tool_calls:
            spent = f"; all {sampling.max_tokens} tokens went before it began: allow more"
            raise ModelError(
                f"{where}: an empty reply (finish_reason {choice.finish_reason})"
                + (spent if truncated else "")
            )
        return Reply(
            text=said.content or "",
            calls=tuple(_call(call, n) for n, call in enumerate(said.tool_calls or ())),
            usage=usage,
            truncated=truncated,
        )


def _call(call: _Call, n: int) -> ToolCall:
    """A tool call as the model wrote it; one whose arguments are no JSON object says so, so that
    the executor can tell the model."""
    name, id, given = call.function.name, call.id or unnamed(n), call.function.arguments
    if isinstance(given, dict):
        return ToolCall(name=name, arguments=given, id=id)
    if not given:  # how some servers write a call without arguments
        return ToolCall(name=name, arguments={}, id=id)
    try:
        arguments = msgspec.json.decode(given, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return ToolCall(name=name, arguments={}, id=id, malformed=given)
    return ToolCall(name=name, arguments=arguments, id=id)


class OpenAIEmbeddings:
    """An Embedder behind an OpenAI-compatible URL."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        retry: Retry | None = None,
    ) -> None:
        self._server = OpenAIServer(base_url, api_key, retry)
        self._model = model
        self._dimensions: int | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self._model

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._server.aclose()

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row a text, and zeros for an empty one. Raises ModelError."""
        asked = [n for n, text in enumerate(texts) if text.strip()]
        rows = [
            await self._rows([texts[n] for n in asked[start : start + _BATCH]])
            for start in range(0, len(asked), _BATCH)
        ]
        if self._dimensions is None:  # only a vector tells how long the rows of zeros must be
            await self._rows(["dimensions"])
        matrix = np.zeros((len(texts), self._dimensions or 0), dtype=np.float32)
        if rows:
            matrix[asked] = np.concatenate(rows)
        return matrix

    async def _rows(self, texts: list[str]) -> NDArray[np.float32]:
        async def request() -> LegacyAPIResponse[object]:
            response = await self._server.client.embeddings.with_raw_response.create(
                model=self._model, input=texts, encoding_format="float"
            )
            return cast("LegacyAPIResponse[object]", response)

        async def attempt() -> _Rows:
            raw = await self._server.send(_EMBEDDINGS, request)
            return self._server.read(_EMBEDDINGS, raw, _Rows)

        rows = await self._server.retry.call(self._server.where(_EMBEDDINGS), attempt)
        return self._unit(rows, len(texts))

    def _unit(self, rows: _Rows, texts: int) -> NDArray[np.float32]:
        where = self._server.where(_EMBEDDINGS)
        data = sorted(rows.data, key=lambda row: row.index)
        if [row.index for row in data] != list(range(texts)):
            raise ModelError(f"{where} answered {len(data)} vectors to {texts} texts")
        lengths = {len(row.embedding) for row in data}
        known = self._dimensions or len(data[0].embedding)
        if lengths != {known}:
            raise ModelError(f"{where} answered vectors of lengths {sorted(lengths)}, not {known}")
        matrix = np.array([row.embedding for row in data], dtype=np.float64)
        norms = np.linalg.norm(matrix, axis=1, keepdims=True)
        if not (np.isfinite(norms).all() and (norms > 0).all()):
            raise ModelError(f"{where} answered a vector without a direction")
        self._dimensions = known
        return (matrix / norms).astype(np.float32)
