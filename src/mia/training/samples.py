"""From the calls of a trainable policy to what a learner reads: token-in, token-out.

The ids that were sampled are the ids that are learned from. No text is tokenised here, and where
two calls do not continue each other id by id nothing is guessed: another sample begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from mia.errors import InputError
from mia.types import Noun, decode, encode


class Call(Noun, frozen=True):
    """One call of a trainable policy. Raises ValueError when ids and logprobs do not match."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    """What the policy sampled, with the end of turn where it came to one."""
    logprobs: tuple[float, ...]
    """Natural logarithm of each response token's probability under the policy that sampled it."""
    version: int
    """Of the policy."""
    truncated: bool = False
    """The response ran into its token limit."""
    text: str = ""
    """The response as its reader got it; nothing is learned from it."""

    def __post_init__(self) -> None:
        _check_aligned(self.response_ids, logprobs=self.logprobs)
        _check_finite(*self.logprobs)


class Sample(Noun, frozen=True):
    """One conversation of a policy: the prompt of its first call, then everything up to the end of
    its last response. Raises ValueError when its columns do not match."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    mask: tuple[int, ...]
    """For each response token: 1 where the policy sampled it, 0 where others wrote it."""
    logprobs: tuple[float, ...]
    """For each response token: its logprob when it was sampled; 0.0 where the mask is 0."""
    reward: float
    """Of the whole episode."""
    group: str
    """Attempts at one question, to be compared with each other."""
    episode: str
    version: int
    """Of the policy that sampled all of it."""

    def __post_init__(self) -> None:
        _check_aligned(self.response_ids, mask=self.mask, logprobs=self.logprobs)
        _check_finite(self.reward, *self.logprobs)
        if not set(self.mask) <= {0, 1}:
            raise ValueError("a mask consists of 0 and 1")
        if any(logprob for bit, logprob in zip(self.mask, self.logprobs, strict=True) if not bit):
            raise ValueError("the logprob of a token that the policy did not sample is 0.0")


def samples_of(
    calls: Iterable[Call], reward: float, group: str, episode: str
) -> tuple[Sample, ...]:
    """The samples of one episode, from its calls in their order.

    A call continues the one before it when both are of the same version and its prompt begins with
    exactly the prompt and the response of that call; what the prompt has beyond them is others'
    words, masked 0. Any other call begins a new sample. A conversation in which the policy said
    nothing at all gives none.
    """
    talks: list[_Conversation] = []
    for call in calls:
        if not (talks and talks[-1].goes_on_with(call)):
            talks.append(_Conversation(call))
        talks[-1].add(call)
    return tuple(talk.sample(reward, group, episode) for talk in talks if 1 in talk.mask)


class _Conversation:
    """Calls that continue each other."""

    def __init__(self, first: Call) -> None:
        self.ids = list(first.prompt_ids)
        self.mask: list[int] = []
        self._logprobs: list[float] = []
        self._prompt = len(first.prompt_ids)
        self._version = first.version

    def goes_on_with(self, call: Call) -> bool:
        begins = call.prompt_ids[: len(self.ids)]
        return call.version == self._version and list(begins) == self.ids

    def add(self, call: Call) -> None:
        between = call.prompt_ids[len(self.ids) :]
        self.ids += (*between, *call.response_ids)
        self.mask += [0] * len(between) + [1] * len(call.response_ids)
        self._logprobs += (*(0.0 for _ in between), *call.logprobs)

    def sample(self, reward: float, group: str, episode: str) -> Sample:
        return Sample(
            prompt_ids=tuple(self.ids[: self._prompt]),
            response_ids=tuple(self.ids[self._prompt :]),
            mask=tuple(self.mask),
            logprobs=tuple(self._logprobs),
            reward=reward,
            group=group,
            episode=episode,
            version=self._version,
        )


def write_samples(samples: Iterable[Sample]) -> bytes:
    """Samples as JSON lines; `read_samples` reads them back, number for number."""
    return b"".join(encode(sample) + b"\n" for sample in samples)


def read_samples(raw: bytes) -> tuple[Sample, ...]:
    """Samples from JSON lines. Raises InputError, which names the line that is no sample."""
    samples: list[Sample] = []
    for number, line in enumerate(raw.splitlines(), 1):
        try:
            samples.append(decode(line, Sample))
        except msgspec.DecodeError as error:  # of which a wrong type is one kind
            raise InputError(f"line {number} is no sample: {error}") from error
    return tuple(samples)


def _check_aligned(ids: Sequence[int], **columns: Sequence[float]) -> None:
    for name, column in columns.items():
        if len(column) != len(ids):
            raise ValueError(f"{len(ids)} response tokens, but {name} has {len(column)}")


def _check_finite(*numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ValueError("rewards and logprobs are finite")
