"""What a FaultServer may do with a request: answer well, or badly in one of the known ways."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from mia.types import Noun, ToolCall

JSON = "application/json"


class Fault(Noun, frozen=True):
    """One response, as it goes over the wire. The default is a good answer to any route."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """None for what a good server would say: some text, vectors of a ToyEmbedder, its models."""
    media_type: str = JSON
    wait: float = 0.0
    """Seconds before the first byte."""
    pace: float = 0.0
    """Seconds before each byte of the body."""
    cut: int | None = None
    """After so many bytes of the body the connection is reset."""
    silent: bool = False
    """The request is read, and then nothing happens."""


def good() -> Fault:
    """Whatever a good server would say."""
    return Fault()


def ok(
    text: str,
    calls: Sequence[ToolCall] = (),
    *,
    prompt_tokens: int = 10,
    completion_tokens: int = 5,
) -> Fault:
    """A chat completion with a text, or with tool calls. A call that is malformed is sent so."""
    message: dict[str, object] = {"role": "assistant", "content": text or None}
    if calls:
        message["tool_calls"] = [_wire(call) for call in calls]
    return _completion(
        [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        prompt_tokens,
        completion_tokens,
    )


def _wire(call: ToolCall) -> dict[str, object]:
    arguments = call.malformed
    if arguments is None:
        arguments = msgspec.json.encode(call.arguments).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _completion(choices: object, prompt_tokens: int = 10, completion_tokens: int = 5) -> Fault:
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    return json({"object": "chat.completion", "choices": choices, "usage": usage})


def json(body: object) -> Fault:
    """Any JSON with status 200."""
    return Fault(body=msgspec.json.encode(body))


def raw(body: bytes) -> Fault:
    """Any bytes with status 200, said to be JSON."""
    return Fault(body=body)


def status(code: int, message: str = "", headers: Sequence[tuple[str, str]] = ()) -> Fault:
    """An error status, with a message in OpenAI's form."""
    body = msgspec.json.encode({"error": {"message": message or f"status {code}"}})
    return Fault(status=code, headers=tuple(headers), body=body)


def html_200() -> Fault:
    """A web page with status 200, as a proxy or a wrong address gives."""
    body = b"<!doctype html><title>Welcome</title>"
    return Fault(body=body, media_type="text/html; charset=utf-8")


def truncated_json() -> Fault:
    """A completion whose second half is missing, with a length that says it is all there."""
    whole = ok("half").body or b""
    return Fault(body=whole[: len(whole) // 2])


def invalid_utf8() -> Fault:
    """A completion with a byte that is no UTF-8."""
    return Fault(body=(ok("X").body or b"").replace(b"X", b"\xff"))


def empty_choices() -> Fault:
    """A completion without choices."""
    return _completion([])


def null_choices() -> Fault:
    """A completion whose choices are null."""
    return _completion(None)


def null_content() -> Fault:
    """A message that is null and has no tool calls."""
    return ok("")


def finish_length(text: str) -> Fault:
    """A completion that ran into its token limit; an empty text had none left to say."""
    message = {"role": "assistant", "content": text}
    return _completion([{"index": 0, "message": message, "finish_reason": "length"}])


def refusal(reason: str) -> Fault:
    """A message whose refusal field is set."""
    message = {"role": "assistant", "content": None, "refusal": reason}
    return _completion([{"index": 0, "message": message, "finish_reason": "stop"}])


def delay(seconds: float, then: Fault | None = None) -> Fault:
    """A response that begins late."""
    return replace(then or good(), wait=seconds)


def slow_bytes(seconds: float, then: Fault | None = None) -> Fault:
    """A response whose body drips, one byte in so many seconds."""
    return replace(then or good(), pace=seconds)


def reset(after: int = 20, then: Fault | None = None) -> Fault:
    """A response whose connection is reset within the body."""
    return replace(then or good(), cut=after)


def silence() -> Fault:
    """A request that is never answered."""
    return Fault(silent=True)
