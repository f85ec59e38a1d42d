"""How messages with pictures go over OpenAI's wire."""

from __future__ import annotations

from mia.model import Message
from mia.models.openai_wire import wired
from mia.types import Picture, ToolCall

ONE = Picture(id="1" * 64, width=10, height=10)
TWO = Picture(id="2" * 64, width=10, height=10)


def shown(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{picture.id[0]}"


def part(picture: Picture) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": shown(picture)}}


def test_a_question_goes_behind_its_pictures() -> None:
    message = Message(role="user", content="Who?", pictures=(ONE, TWO))
    assert wired([message], shown) == [
        {"role": "user", "content": [part(ONE), part(TWO), {"type": "text", "text": "Who?"}]}
    ]


def test_who_does_not_see_is_sent_text_alone() -> None:
    messages = [
        Message(role="user", content="Who?", pictures=(ONE,)),
        Message(role="tool", content="1. a cat", pictures=(TWO,), call_id="c"),
    ]
    assert wired(messages, None) == [
        {"role": "user", "content": "Who?"},
        {"role": "tool", "content": "1. a cat", "tool_call_id": "c"},
    ]


def test_the_pictures_of_tool_results_follow_all_results_of_the_turn() -> None:
    calls = (ToolCall(name="look", arguments={}, id="a"), ToolCall(name="look", arguments={}))
    wire = wired(
        [
            Message(role="assistant", content="", calls=calls),
            Message(role="tool", content="1. a cat", pictures=(ONE,), call_id="a"),
            Message(role="tool", content="1. a dog", pictures=(TWO,), call_id="b"),
            Message(role="assistant", content="done"),
        ],
        shown,
    )
    assert [message["role"] for message in wire] == [
        "assistant", "tool", "tool", "user", "assistant",
    ]  # fmt: skip
    content = wire[3]["content"]
    assert isinstance(content, list) and content[:2] == [part(ONE), part(TWO)]


def test_the_pictures_of_the_last_result_are_shown_too() -> None:
    wire = wired([Message(role="tool", content="a", pictures=(ONE,), call_id="a")], shown)
    assert [message["role"] for message in wire] == ["tool", "user"]
