"""What React and its two protocols agree on: the scene before a turn, the prompt made of it, and
the move read from the reply. Also what both protocols share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from mia import render
from mia.model import Message, Reply, ToolSpec
from mia.prompts import fill
from mia.types import Plan, Question, ToolCall, Turn

MAX_ARGUMENTS = 8000
"""Characters of a call's JSON; a longer one is a runaway reply."""
_MAX_DEPTH = 16
_MAX_REPLY = 200_000
"""Characters of a reply that are looked at."""
_SHOWN_WORDS = 100
"""Of a call that could not be read."""

_NOT_OWN = re.compile(
    r"<\s*tool_response|<\|(?:im_start|im_end|eot_id|endoftext)\|>", re.IGNORECASE
)
_ANSWER = re.compile(r"<\s*answer\s*>", re.IGNORECASE)
_ANSWER_END = re.compile(r"<\s*/\s*answer\s*>", re.IGNORECASE)
_CONTROL = re.compile(r"<\s*/?\s*(?:tool_call|answer|think)\b|<\|", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What endpoints accept in a history of calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that a model is to know before its next turn."""

    question: Question
    plan: Plan
    tools: tuple[ToolSpec, ...]
    turns: tuple[Turn, ...] = ()
    carried: int = 0
    """How many of the turns were made under an earlier plan."""
    last: bool = False
    """The budget has room for one more reply: it should be the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What the model is sent."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    """Offered through the endpoint."""
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Acts:
    """The model calls a tool."""

    thought: str
    call: ToolCall


@dataclass(frozen=True, slots=True)
class Ends:
    """The model is done."""

    thought: str
    answer: str | None
    """None: it says that the answer cannot be found."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """The reply is neither a call nor an answer."""

    thought: str
    reason: str
    """Told to the model."""
    call: ToolCall | None = None
    """The call it meant, as far as that could be read."""


Move = Acts | Ends | Unclear


class ReactProtocol(Protocol):
    """How a model is shown a scene and how its reply is read."""

    def render(self, scene: Scene) -> Prompt:
        """The same scene gives the same prompt, and a longer scene one with the same start."""
        ...

    def read(self, reply: Reply) -> Move: ...


def ask_of(scene: Scene) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """What stands before the turns of an earlier plan, and what stands after them."""
    package = "mia.executors.react"
    name = "revised_plan.txt" if scene.carried else "plan.txt"
    asked = fill(package, "question.txt", question=render.question(scene.question))
    planned = fill(package, name, plan=render.neutralise(scene.plan.text))
    shown = Message(role="user", content=asked, pictures=scene.question.pictures)
    return (shown,), (Message(role="user", content=planned),)


def hurry(scene: Scene) -> tuple[Message, ...]:
    """The order to answer at once, when there is no room for another call."""
    if not scene.last:
        return ()
    return (Message(role="user", content=fill("mia.executors.react", "last_call.txt")),)


def merged(messages: Iterable[Message]) -> tuple[Message, ...]:
    """Neighbouring user messages as one: some chat templates insist on alternation."""
    result: list[Message] = []
    for message in messages:
        if result and message.role == result[-1].role == "user":
            before = result.pop()
            message = Message(
                role="user",
                content=f"{before.content.rstrip()}\n\n{message.content}",
                pictures=(*before.pictures, *message.pictures),
            )
        result.append(message)
    return tuple(result)


def own(text: str) -> str:
    """The part of a reply that the model may write: what follows a tool response or a turn that it
    made up itself is dropped."""
    head = text[:_MAX_REPLY]
    forged = _NOT_OWN.search(head)
    return head[: forged.start()] if forged else head


def answer_at(said: str) -> int | None:
    """Where the answer begins, if there is one."""
    match = _ANSWER.search(said)
    return match.start() if match else None


def read_answer(thought: str, said: str, truncated: bool) -> Ends | Unclear:
    """The answer in what a model said outside of its thoughts; an empty one means that it gives
    up."""
    start = _ANSWER.search(said)
    if start is None:
        return Unclear(_both(thought, said), "there was neither a tool call nor an <answer>")
    before, body = said[: start.start()], said[start.end() :]
    end = _ANSWER_END.search(body)
    if end is None and truncated:
        return Unclear(_both(thought, said), "the reply was cut off; be shorter")
    answer = body[: end.start()] if end else body
    if _CONTROL.search(answer):
        return Unclear(_both(thought, said), "there was a tag inside the <answer>")
    return Ends(_both(thought, before), answer.strip() or None)


def read_call(thought: str, before: str, call: ToolCall) -> Acts | Unclear:
    """A call, unless it is one that nobody could mean."""
    thought = _both(thought, before)
    if not _NAME.fullmatch(call.name):
        return Unclear(thought, "the tool call names no tool")
    if call.malformed is not None:
        return bad_call(thought, call, "the arguments were not a JSON object")
    if _depth(call.arguments) > _MAX_DEPTH:
        return bad_call(thought, call, "the arguments are nested too deeply")
    if len(render.as_json(call.arguments)) > MAX_ARGUMENTS:
        return bad_call(thought, call, "the arguments are too long")
    return Acts(thought, call)


def bad_call(thought: str, call: ToolCall, reason: str) -> Unclear:
    """A call that cannot be carried out, with as much of what was written as is worth keeping."""
    written = render.clip(call.malformed or "", _SHOWN_WORDS)
    kept = ToolCall(name=call.name, arguments={}, id=call.id, malformed=written)
    return Unclear(thought, f"the tool call could not be read: {reason}", kept)


def _both(thought: str, said: str) -> str:
    return "\n".join(part for part in (thought.strip(), said.strip()) if part)


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [child for parent in level for child in _children(parent)]
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())  # type: ignore[reportUnknownArgumentType]
    return list(value) if isinstance(value, list) else []  # type: ignore[reportUnknownArgumentType]
