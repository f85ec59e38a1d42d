"""A chat of single characters and a policy that says what it is told to, for tests of training."""

from __future__ import annotations

from collections.abc import Sequence

from mia.model import Generation, Message, Sampling

END = 0
TURN = 1


class LetterChat:
    """One token a character; a turn opens with 1 and ends with 0."""

    end = END

    def __init__(self, context: int = 1000) -> None:
        self.context = context

    def opening(self, messages: Sequence[Message]) -> list[int]:
        return [id for m in messages for id in (TURN, *self.ids(m.content), END)] + [TURN]

    def further(self, messages: Sequence[Message]) -> list[int]:
        return self.opening(messages)

    def text(self, ids: Sequence[int]) -> str:
        return "".join(chr(id) for id in ids if id > TURN)

    def ids(self, text: str) -> list[int]:
        return [ord(char) for char in text if ord(char) > TURN]


class Says:
    """A Policy that says one thing after the other, and ends its turns."""

    def __init__(self, *texts: str, ends: bool = True, version: int = 7) -> None:
        self.asked: list[tuple[tuple[int, ...], Sampling, int]] = []
        self._texts = list(texts)
        self._ends = ends
        self._version = version

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        self.asked.append((tuple(prompt_ids), sampling, seed))
        said = tuple(map(ord, self._texts.pop(0)))
        ids = (*said, END) if self._ends else said
        logprobs = tuple(-0.25 * (place + 1) for place in range(len(ids)))
        return Generation(
            ids=ids, logprobs=logprobs, version=self._version, truncated=not self._ends
        )
