"""Messages as they go over OpenAI's wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from mia.model import Message, Schema, Shape, ToolSpec
from mia.prompts import fill
from mia.types import Picture

Shown = Callable[[Picture], str]
"""The data URL of a picture."""
Wire = dict[str, object]

_PACKAGE = "mia.models"


def wired(messages: Iterable[Message], shown: Shown | None) -> list[Wire]:
    """All messages. Without `shown` no picture is sent.

    A tool's message may hold only text, so its pictures follow in a message of the user, behind
    all results of the same turn.
    """
    wire: list[Wire] = []
    waiting: tuple[Picture, ...] = ()
    for message in messages:
        if waiting and shown and message.role != "tool":
            wire.append(_with(fill(_PACKAGE, "openai_wire_pictures.txt"), waiting, shown))
            waiting = ()
        if message.role == "tool":
            waiting += message.pictures
        wire.append(_one(message, shown))
    if waiting and shown:
        wire.append(_with(fill(_PACKAGE, "openai_wire_pictures.txt"), waiting, shown))
    return wire


def _one(message: Message, shown: Shown | None) -> Wire:
    if message.role == "user" and message.pictures and shown:
        return _with(message.content, message.pictures, shown)
    wire: Wire = {"role": message.role, "content": message.content}
    if message.calls:
        wire["tool_calls"] = [
            {
                "id": call.id or unnamed(n),
                "type": "function",
                "function": {
                    "name": call.name,
                    # Not the malformed text: chat templates parse this and fail on it.
                    "arguments": msgspec.json.encode(call.arguments).decode(),
                },
            }
            for n, call in enumerate(message.calls)
        ]
    if message.call_id is not None:
        wire["tool_call_id"] = message.call_id
    return wire


def _with(text: str, pictures: Sequence[Picture], shown: Shown) -> Wire:
    """What a user says with pictures. They come first: models read a question better after what
    it is about."""
    parts: list[Wire] = [
        {"type": "image_url", "image_url": {"url": shown(picture)}} for picture in pictures
    ]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def with_schema(messages: Sequence[Message], shape: Shape | None) -> Sequence[Message]:
    """The messages with a schema in words at their end; as they are for any other shape."""
    if not isinstance(shape, Schema):
        return messages
    schema = msgspec.json.encode(shape.schema).decode()
    text = fill(_PACKAGE, "openai_compatible_schema.txt", schema=schema)
    last = messages[-1]
    if last.role != "user":
        return (*messages, Message(role="user", content=text))
    return (*messages[:-1], replace(last, content=f"{last.content}\n\n{text}"))


def wired_tool(tool: ToolSpec) -> Wire:
    """A tool as it is offered."""
    return {"type": "function", "function": msgspec.to_builtins(tool)}


def unnamed(n: int) -> str:
    """The id of a call whose server gave it none."""
    return f"call_{n}"
