"""The text protocol: tags in plain text, for trained policies and for endpoints without tools."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from mia import render
from mia.errors import ToolError
from mia.executors.react.protocol import (
    Move,
    Prompt,
    ReactProtocol,
    Scene,
    Unclear,
    answer_at,
    ask_of,
    bad_call,
    hurry,
    merged,
    own,
    read_answer,
    read_call,
)
from mia.model import Message, Reply, ToolSpec
from mia.prompts import fill
from mia.reading import read_json, split_thought
from mia.types import Observation, ToolCall, Turn

_CALL = re.compile(r"<\s*tool_call\s*>", re.IGNORECASE)
_CALL_END = re.compile(r"<\s*/\s*tool_call\s*>", re.IGNORECASE)
_UNNAMED = "unreadable"
"""The name of a call whose name could not be read."""


class _Written(msgspec.Struct):
    """What stands between the tags of a call."""

    name: str
    arguments: dict[str, Any]


class Tagged(ReactProtocol):
    """`<think>`, then one `<tool_call>{"name", "arguments"}</tool_call>` or one `<answer>`."""

    def render(self, scene: Scene) -> Prompt:
        """System, question and plan, then each turn as the model wrote it and what came back."""
        tools = "\n".join(_spec(tool) for tool in scene.tools)
        system = fill("mia.executors.react", "tagged_system.txt", tools=tools)
        before, after = ask_of(scene)
        shown = [_shown(turn) for turn in scene.turns]
        messages = [Message(role="system", content=system), *before]
        messages += [message for turn in shown[: scene.carried] for message in turn]
        messages += after
        messages += [message for turn in shown[scene.carried :] for message in turn]
        messages += hurry(scene)
        return Prompt(messages=merged(messages), stop=("<tool_response>",))

    def read(self, reply: Reply) -> Move:
        """Whichever comes first outside of the thoughts: the first call, or the answer."""
        thought, said = split_thought(own(reply.text))
        call, answer = _CALL.search(said), answer_at(said)
        if call is None or (answer is not None and answer < call.start()):
            return read_answer(thought, said, reply.truncated)
        return _read_written(thought, said[: call.start()], said[call.end() :], reply.truncated)


def _read_written(thought: str, before: str, rest: str, truncated: bool) -> Move:
    end = _CALL_END.search(rest)
    if end is None and truncated:
        return Unclear(f"{thought}\n{before}".strip(), "the reply was cut off; be shorter")
    body = (rest[: end.start()] if end else rest).strip()
    try:
        written = read_json(body, _Written, ToolError)
    except ToolError as error:
        unread = ToolCall(name=_UNNAMED, arguments={}, malformed=body)
        return bad_call(f"{thought}\n{before}".strip(), unread, str(error))
    return read_call(thought, before, ToolCall(name=written.name, arguments=written.arguments))


def _spec(tool: ToolSpec) -> str:
    return render.as_json(
        {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    )


def _shown(turn: Turn) -> list[Message]:
    """A turn in the tags it was made in. An answer that did not stand is not shown again."""
    parts: list[str] = []
    if turn.thought:
        parts.append(f"<think>\n{render.neutralise(turn.thought)}\n</think>")
    if turn.call:
        parts.append(f"<tool_call>\n{_written(turn.call)}\n</tool_call>")
    messages: list[Message] = []
    if parts:
        messages.append(Message(role="assistant", content="\n".join(parts)))
    if turn.observation:
        told, pictures = _response(turn.observation), turn.observation.pictures
        messages.append(Message(role="user", content=told, pictures=pictures))
    return messages


def _written(call: ToolCall) -> str:
    if call.malformed is not None:
        return render.neutralise(call.malformed)
    name, arguments = render.as_json(call.name), render.as_json(call.arguments)
    return f'{{"name": {name}, "arguments": {arguments}}}'


def _response(observation: Observation) -> str:
    if observation.error is not None:
        told = render.neutralise(observation.text)
    else:
        told = render.fence(observation.text)
    return f"<tool_response>\n{told}\n</tool_response>"
