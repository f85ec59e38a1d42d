"""The native protocol: tools offered and called through the endpoint (OpenAI format)."""

from __future__ import annotations

from msgspec.structs import replace

from mia import render
from mia.executors.react.protocol import (
    Move,
    Prompt,
    ReactProtocol,
    Scene,
    ask_of,
    hurry,
    merged,
    own,
    read_answer,
    read_call,
)
from mia.model import Message, Reply
from mia.prompts import fill
from mia.reading import split_thought
from mia.types import Observation, Picture, Turn


class Native(ReactProtocol):
    """Calls come and go through the endpoint; the answer stands in `<answer>`."""

    def render(self, scene: Scene) -> Prompt:
        """System, question and plan, then each turn as a call and its result."""
        system = fill("mia.executors.react", "native_system.txt")
        before, after = ask_of(scene)
        shown = [_shown(turn, number) for number, turn in enumerate(scene.turns)]
        messages = [Message(role="system", content=system), *before]
        messages += [message for turn in shown[: scene.carried] for message in turn]
        messages += after
        messages += [message for turn in shown[scene.carried :] for message in turn]
        messages += hurry(scene)
        return Prompt(messages=merged(messages), tools=() if scene.last else scene.tools)

    def read(self, reply: Reply) -> Move:
        """The first call, if there is one; else the answer."""
        thought, said = split_thought(own(reply.text))
        if reply.calls:
            return read_call(thought, said, reply.calls[0])
        return read_answer(thought, said, reply.truncated)


def _shown(turn: Turn, number: int) -> list[Message]:
    """A turn as messages. An answer that did not stand is not shown again."""
    thought = render.neutralise(turn.thought)
    told = _result(turn.observation) if turn.observation else ""
    if turn.call is None:
        said = [Message(role="assistant", content=thought)] if thought else []
        return [*said, Message(role="user", content=told)] if told else said
    # nine letters and digits suit every endpoint that is strict about ids
    call_id = turn.call.id or f"call{number:05d}"
    call = replace(turn.call, id=call_id, malformed=None)
    return [
        Message(role="assistant", content=thought, calls=(call,)),
        Message(role="tool", content=told, pictures=_pictures(turn), call_id=call_id),
    ]


def _pictures(turn: Turn) -> tuple[Picture, ...]:
    return turn.observation.pictures if turn.observation else ()


def _result(observation: Observation) -> str:
    if observation.error is not None:
        return render.neutralise(observation.text)
    return render.fence(observation.text)
