"""How memories ask the model that writes for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mia.errors import ConfigError
from mia.model import GREEDY, Message, Model, Reply, Sampling, Schema, Shape, ToolSpec
from mia.types import Usage


class Metered:
    """A model with a meter, which also counts the replies that could not be used."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.usage = Usage()

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling = GREEDY,
        shape: Shape | None = None,
        tools: Sequence[ToolSpec] = (),
    ) -> Reply:
        """The model's reply. Raises ModelError as the model does."""
        reply = await self._model.reply(messages, sampling=sampling, shape=shape, tools=tools)
        self.usage += reply.usage
        return reply


def needed(model: Model | None, method: str) -> Model:
    """The model that a method cannot do without. Raises ConfigError where there is none."""
    if model is None:
        raise ConfigError(f"{method} needs a model to write its memories; set [models.manager]")
    return model


def schema(name: str, properties: dict[str, Any]) -> Schema:
    """A reply that is one object with exactly these properties."""
    return Schema(name=name, schema=shape_of(properties))


def shape_of(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
