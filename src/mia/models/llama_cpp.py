"""The embedded engine: llama.cpp in this process (xllamacpp), on the CPU, with LoRA adapters.

One engine holds the base model once. `role(adapter)` gives a Model that speaks through one of the
adapters, or through the bare base model; each has a slot of its own, so that the part of the prompt
that stays the same is kept in that slot's cache.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mia.errors import MissingError, ModelError
from mia.model import GREEDY, Grammar, Message, Reply, Sampling, Schema, Shape, ToolSpec
from mia.types import Usage

_CONTEXT = 2048
"""Tokens a slot holds; a prompt of the stepwise executor has about 200."""
_CONTROL = re.compile(r"<\|(?=[a-z_]+\|>)")


class _Token(msgspec.Struct, frozen=True):
    logprob: float


class _Logprobs(msgspec.Struct, frozen=True):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct, frozen=True):
    text: str
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Counts(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Failure(msgspec.Struct, frozen=True):
    message: str


class _Completion(msgspec.Struct, frozen=True):
    """The part of the engine's answer that is read."""

    choices: list[_Choice] = []
    usage: _Counts = _Counts()
    error: _Failure | None = None


class _Server(Protocol):
    """The part of `xllamacpp.Server` that is used."""

    def handle_completions(self, request: dict[str, Any], /) -> object: ...


def _xllamacpp() -> Any:
    """The native library, loaded by the first engine: it has no types, and takes a while."""
    import xllamacpp  # pyright: ignore[reportMissingTypeStubs]

    return xllamacpp


class Engine:
    """A llama.cpp server inside this process, without its sockets being used."""

    def __init__(
        self,
        model: Path,
        adapters: dict[str, Path] | None = None,
        threads: int | None = None,
    ) -> None:
        for path in (model, *(adapters or {}).values()):
            if not path.is_file():
                raise MissingError(f"no model file at {path}; run: mia models get smollm2-135m")
        native = _xllamacpp()
        self._adapters = list(adapters or {})
        params = native.CommonParams()
        params.model.path = str(model)
        params.n_parallel = len(self._adapters) + 1
        params.n_ctx = _CONTEXT * params.n_parallel
        params.n_gpu_layers = 0
        params.cpuparams.n_threads = threads or max(1, (os.cpu_count() or 2))
        params.cache_ram_mib = 0  # by default it keeps up to 8 GiB of prompts that are over
        params.warmup = False
        params.verbosity = -1
        params.lora_adapters = [
            native.CommonAdapterLoraInfo(str(path), 1.0) for path in (adapters or {}).values()
        ]
        params.lora_init_without_apply = True
        try:
            self._server: _Server = native.Server(params)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp cannot load {model}: {error}") from error
        self._slots = [asyncio.Lock() for _ in range(params.n_parallel)]

    def role(self, adapter: str | None = None) -> LlamaCpp:
        """The engine speaking through one adapter; None for the bare model."""
        return LlamaCpp(self, self._adapters.index(adapter) if adapter else None)

    async def complete(
        self, prompt: str, sampling: Sampling, grammar: str | None, adapter: int | None
    ) -> Reply:
        """One completion. Adapters that are not asked for are scaled to nothing: an empty list
        would leave the engine's own scales in force."""
        slot = len(self._adapters) if adapter is None else adapter
        request: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "cache_prompt": True,
            "id_slot": slot,
            "logprobs": 1,
            "lora": [
                {"id": index, "scale": 1.0 if index == adapter else 0.0}
                for index in range(len(self._adapters))
            ],
        }
        if sampling.stop:
            request["stop"] = list(sampling.stop)
        if grammar:
            request["grammar"] = grammar
        began = time.monotonic()
        async with self._slots[slot]:
            raw = await asyncio.to_thread(self._server.handle_completions, request)
        return _read(raw, time.monotonic() - began)


def _read(raw: object, seconds: float) -> Reply:
    answer = msgspec.convert(raw, _Completion)
    if answer.error is not None or not answer.choices:
        raise ModelError(f"llama.cpp refused: {answer.error.message if answer.error else raw}")
    choice = answer.choices[0]
    usage = Usage(
        calls=1,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        seconds=seconds,
    )
    tokens = (choice.logprobs.content if choice.logprobs else None) or ()
    return Reply(
        text=choice.text,
        usage=usage,
        truncated=choice.finish_reason == "length",
        logprob=sum(token.logprob for token in tokens),
    )


class LlamaCpp:
    """A Model on the embedded engine. Knows ChatML and grammars; it has no native tool calls."""

    def __init__(self, engine: Engine, adapter: int | None) -> None:
        self._engine = engine
        self._adapter = adapter

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError for tools, and for a prompt that does not fit."""
        if tools:
            raise ModelError("the embedded model has no native tool calls; use the text protocol")
        return await self._engine.complete(
            chatml(messages), sampling, _grammar_of(shape), self._adapter
        )


def _grammar_of(shape: Shape | None) -> str | None:
    match shape:
        case Grammar(gbnf=gbnf):
            return gbnf
        case Schema(schema=schema):
            return str(_xllamacpp().json_schema_to_grammar(schema))
        case None:
            return None


def chatml(messages: Sequence[Message]) -> str:
    """Messages as ChatML, ready for the assistant's turn.

    Control tokens inside a message are broken up, so that a document cannot open a turn.
    """
    turns = (
        f"<|im_start|>{message.role}\n{_CONTROL.sub('<¦', message.content)}<|im_end|>\n"
        for message in messages
    )
    return "".join(turns) + "<|im_start|>assistant\n"
