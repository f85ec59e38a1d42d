"""A trainable policy as a Model, so that planners and executors need not know that it is one.

What it is asked and what it says is kept id by id. A prompt that goes on with an earlier call of
the same episode begins with that call's very ids; only what is new in it is tokenised.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from mia.errors import ModelError
from mia.model import (
    GREEDY,
    Generation,
    Message,
    Policy,
    Reply,
    Sampling,
    Shape,
    ToolSpec,
    asked_before,
)
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


class Spoken(NamedTuple):
    """A reply that a conversation may go on from."""

    asked: tuple[Message, ...]
    prompt_ids: tuple[int, ...]
    """Of what was asked, and of nothing else."""
    call: Call


class Transcript:
    """What a policy was asked and said in one episode."""

    def __init__(self, stage: Stage = "plan") -> None:
        self.stage: Stage = stage
        """What it is asked for now."""
        self.calls: list[Call] = []
        self.replies: list[Said] = []
        self._turns: list[Spoken] = []

    def add(self, messages: Sequence[Message], call: Call) -> None:
        """Notes a call. A reply to one that was refused stands in its place from then on."""
        self.calls.append(call)
        self.replies.append(Said(stage=self.stage, text=call.text))
        first = tuple(asked_before(messages))
        if len(first) == len(messages):
            self._turns.append(Spoken(first, call.prompt_ids, call))
            return
        same = [turn for turn in self._turns if turn.asked == first]
        refused = _meant(same, messages[len(first)])
        if refused is not None:
            self._turns.remove(refused)
            self._turns.append(Spoken(first, refused.prompt_ids, call))

    def goes_on(self, messages: Sequence[Message]) -> Spoken | None:
        """The turn that these messages go on from: of those that they begin with, and that were not
        cut off, the one that covers most of them. Where several were asked the same, it is the one
        whose words the messages have; None where that cannot be told."""
        begun = [
            turn
            for turn in self._turns
            if not turn.call.truncated
            and len(messages) > len(turn.asked) + 1
            and tuple(messages[: len(turn.asked)]) == turn.asked
            and messages[len(turn.asked)].role == "assistant"
        ]
        covered = max((len(turn.asked) for turn in begun), default=0)
        longest = [turn for turn in begun if len(turn.asked) == covered]
        return _meant(longest, messages[covered]) if longest else None


def _meant(turns: Sequence[Spoken], shown: Message) -> Spoken | None:
    """Of turns that were asked the same, the latest with the words shown; or else, since a reply
    may be shown as its reader understood it, the only one."""
    quoted = [turn for turn in turns if turn.call.text == shown.content]
    if quoted:
        return quoted[-1]
    return turns[0] if len(turns) == 1 else None


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
        longest: int | None = None,
    ) -> None:
        """`temperature` is the one to explore with, whatever is asked for; `seed` is of the
        episode; `longest` is how many tokens a reply may have, however many are asked for."""
        self._policy = policy
        self._chat = chat
        self._transcript = transcript
        self._temperature = temperature
        self._seed = seed
        self._longest = longest

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
            max_tokens=min(sampling.max_tokens, room, self._longest or room),
        )
        seed = self._seed + len(self._transcript.calls)
        sampled = await self._policy.sample(prompt, drawn, seed)
        generation, text = self._up_to_a_stop(sampled, sampling.stop)
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
        before = self._transcript.goes_on(messages)
        if before is None:
            return self._chat.opening(messages)
        said, further = before.call.response_ids, messages[len(before.asked) + 1 :]
        ended = () if said[-1] == self._chat.end else (self._chat.end,)  # it came to a stop
        return [*before.prompt_ids, *said, *ended, *self._chat.further(further)]

    def _up_to_a_stop(self, sampled: Generation, stops: Sequence[str]) -> tuple[Generation, str]:
        """What was sampled up to the token that completed a stop, and its text before the stop, as
        endpoints give it. Nothing is learned from what a policy made up after it."""

        def stopped(count: int) -> bool:
            text = self._chat.text(sampled.ids[:count])
            return any(stop in text for stop in stops)

        if not stopped(len(sampled.ids)):
            return sampled, self._chat.text(sampled.ids)
        count = bisect_left(range(len(sampled.ids)), True, lo=1, key=stopped)
        kept = replace(
            sampled, ids=sampled.ids[:count], logprobs=sampled.logprobs[:count], truncated=False
        )
        text = self._chat.text(kept.ids)
        return kept, text[: min(text.find(stop) for stop in stops if stop in text)]
