"""A trainable policy as a Model, so that planners and executors need not know that it is one.

What it is asked and what it says is kept id by id. A prompt that goes on with an earlier call of
the same episode begins with that call's very ids; only what is new in it is tokenised.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from mia.errors import ModelError
from mia.model import GREEDY, Message, Policy, Reply, Sampling, Shape, ToolSpec
from mia.training.rewards import Said, Stage
from mia.training.samples import Call
from mia.types import Usage


class Chat(Protocol):
    """How messages become the tokens of one model, and its tokens text."""

    @property
    def end(self) -> int:
        """The token that ends a turn."""
        ...

    @property
    def context(self) -> int:
        """Tokens that a prompt and its response may have together."""
        ...

    def opening(self, messages: Sequence[Message]) -> list[int]:
        """A whole conversation, up to where the assistant begins to speak. What a message says
        never becomes a control token."""
        ...

    def further(self, messages: Sequence[Message]) -> list[int]:
        """What follows the token that ended the assistant's turn: more messages, up to where the
        assistant begins again."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """What tokens say; control tokens say nothing."""
        ...

    def ids(self, text: str) -> list[int]:
        """The tokens of what an assistant says."""
        ...


class Transcript:
    """What a policy was asked and said in one episode."""

    def __init__(self, stage: Stage = "plan") -> None:
        self.stage: Stage = stage
        """What it is asked for now."""
        self.calls: list[Call] = []
        self.replies: list[Said] = []
        self._asked: list[tuple[Message, ...]] = []

    def add(self, messages: Sequence[Message], call: Call) -> None:
        """Notes a call."""
        self.calls.append(call)
        self.replies.append(Said(stage=self.stage, text=call.text))
        self._asked.append(tuple(messages))

    def goes_on(self, messages: Sequence[Message], end: int) -> tuple[Call, int] | None:
        """The call that these messages go on from, and how many of them it covers, its reply
        included: the one whose words they have, or else, where a reply stands in them as its
        reader understood it, the only one that was asked the same."""
        asked_same: list[tuple[Call, int]] = []
        for asked, call in zip(reversed(self._asked), reversed(self.calls), strict=True):
            covered = len(asked) + 1
            ended = call.response_ids[-1] == end
            if not ended or len(messages) <= covered or tuple(messages[: len(asked)]) != asked:
                continue
            reply = messages[len(asked)]
            if reply.role != "assistant":
                continue
            if reply.content == call.text:
                return call, covered
            asked_same.append((call, covered))
        return asked_same[0] if len(asked_same) == 1 else None


class PolicyModel:
    """A Model that samples from a policy and writes down each call in a transcript. Shapes are not
    enforced, so that the ids are the policy's own: readers are strict anyway."""

    def __init__(
        self,
        policy: Policy,
        chat: Chat,
        transcript: Transcript,
        *,
        temperature: float,
        seed: int,
    ) -> None:
        """`temperature` is the one to explore with, whatever is asked for; `seed` is of the
        episode."""
        self._policy = policy
        self._chat = chat
        self._transcript = transcript
        self._temperature = temperature
        self._seed = seed

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError for tools, and for a prompt that leaves no room for a reply."""
        if tools:
            raise ModelError("a policy in training has no native tool calls; use the text protocol")
        began = time.monotonic()
        prompt = self._prompt(messages)
        room = self._chat.context - len(prompt)
        if room < 1:
            raise ModelError(
                f"a prompt of {len(prompt)} tokens leaves no room in a context of"
                f" {self._chat.context}"
            )
        drawn = replace(
            sampling,
            temperature=self._temperature,
            max_tokens=min(sampling.max_tokens, room),
        )
        seed = self._seed + len(self._transcript.calls)
        generation = await self._policy.sample(prompt, drawn, seed)
        text = self._chat.text(generation.ids)
        self._transcript.add(
            messages,
            Call(
                prompt_ids=tuple(prompt),
                response_ids=generation.ids,
                logprobs=generation.logprobs,
                version=generation.version,
                truncated=generation.truncated,
                text=text,
            ),
        )
        usage = Usage(
            calls=1,
            prompt_tokens=len(prompt),
            completion_tokens=len(generation.ids),
            seconds=time.monotonic() - began,
        )
        return Reply(
            text=text,
            usage=usage,
            truncated=generation.truncated,
            logprob=math.fsum(generation.logprobs),
        )

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        before = self._transcript.goes_on(messages, self._chat.end)
        if before is None:
            return self._chat.opening(messages)
        call, covered = before
        return [*call.prompt_ids, *call.response_ids, *self._chat.further(messages[covered:])]
