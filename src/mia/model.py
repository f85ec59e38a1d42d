"""The contracts of models: chat models, trainable policies and embedders, and the one way to ask
for a typed reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mia.errors import JudgeError, ModelError
from mia.types import Noun, Picture, ToolCall, Usage

T = TypeVar("T")


class Message(Noun, frozen=True):
    """One message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    pictures: tuple[Picture, ...] = ()
    """Shown before the text, by models that see; others leave them out."""
    calls: tuple[ToolCall, ...] = ()
    """Tool calls of an assistant message."""
    call_id: str | None = None
    """For a tool message: the call it answers."""


class ToolSpec(Noun, frozen=True):
    """How a model is told of a tool."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema."""


class Schema(Noun, frozen=True):
    """The reply should be JSON of this schema."""

    name: str
    schema: dict[str, Any]


class Grammar(Noun, frozen=True):
    """The reply should be a sentence of this grammar (GBNF, rule `root`)."""

    gbnf: str


Shape = Schema | Grammar
"""A hint for constrained decoding. A model that cannot constrain ignores it, so whoever asks reads
the reply with a strict parser all the same."""


class Sampling(Noun, frozen=True):
    """How to decode."""

    temperature: float = 0.0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()


class Reply(Noun, frozen=True):
    """What a model said."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    truncated: bool = False
    """The reply ran into its token limit."""
    logprob: float | None = None
    """Natural logarithm of the probability of the text under the unconstrained model, where the
    model tells it."""


GREEDY = Sampling()


class Model(Protocol):
    """Messages in, reply out."""

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError when there is no complete reply within the model's deadline."""
        ...


class Generation(Noun, frozen=True):
    """What a policy sampled."""

    ids: tuple[int, ...]
    """With the end of turn, where it came to one."""
    logprobs: tuple[float, ...]
    """Natural logarithm of each token's probability, temperature included, when it was sampled."""
    version: int
    """Of the policy."""
    truncated: bool = False
    """It ran into its token limit."""


class Policy(Protocol):
    """A trainable model: token ids in, token ids out. What was sampled is what is learned from, so
    no text stands between."""

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        """At least one token. Equal seeds draw equally; `sampling.stop` need not be looked at:
        whoever asks cuts. Raises ModelError when nothing could be sampled."""
        ...


class Embedder(Protocol):
    """Texts in, unit vectors out."""

    @property
    def name(self) -> str:
        """Names the vectors: those of differently named embedders are never compared."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row a text, [texts, dimensions]; an empty text is a row of zeros."""
        ...


_REFUSED = "That cannot be used: "


def asked_before(messages: Sequence[Message]) -> Sequence[Message]:
    """What was asked at first, where messages send back a reply that was refused."""
    again = len(messages) > 2 and messages[-1].content.startswith(_REFUSED)
    return messages[:-2] if again and messages[-2].role == "assistant" else messages


async def ask(
    model: Model,
    messages: Sequence[Message],
    read: Callable[[str], T],
    *,
    sampling: Sampling = GREEDY,
    shape: Shape | None = None,
) -> tuple[T, Usage]:
    """The reply as `read` understands it. A reply that `read` refuses (ModelError or JudgeError) is
    sent back once with the reason; a second refusal is raised."""
    reply = await model.reply(messages, sampling=sampling, shape=shape)
    try:
        return read(reply.text), reply.usage
    except (ModelError, JudgeError) as error:
        repair = (
            *messages,
            Message(role="assistant", content=reply.text),
            Message(role="user", content=f"{_REFUSED}{error}. Reply again, as asked."),
        )
    second = await model.reply(repair, sampling=sampling, shape=shape)
    return read(second.text), reply.usage + second.usage
