"""A model whose weights are not ours in the place of a policy: it is asked at a temperature, and
what it says is in the transcript, for rewards; there are no samples to learn from."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from mia.model import GREEDY, Message, Model, Reply, Sampling, Shape, ToolSpec
from mia.training.policy_model import Transcript
from mia.training.rewards import Said
from mia.training.rollouts import Voice


def asked(model: Model) -> Voice:
    """The voice of a model behind an endpoint. It has no seed: what it draws is its own affair."""

    def voice(transcript: Transcript, temperature: float, _: int) -> Model:
        return _Speaking(model, transcript, temperature)

    return voice


class _Speaking:
    def __init__(self, model: Model, transcript: Transcript, temperature: float) -> None:
        self._model = model
        self._transcript = transcript
        self._temperature = temperature

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """Raises ModelError when the model does."""
        warm = replace(sampling, temperature=self._temperature)
        reply = await self._model.reply(messages, sampling=warm, shape=shape, tools=tools)
        self._transcript.replies.append(Said(stage=self._transcript.stage, text=reply.text))
        return reply
