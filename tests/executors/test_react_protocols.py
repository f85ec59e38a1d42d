"""Laws of React's protocols: nothing from outside forges a turn, nothing but the model's own words
is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.executors.react.native import Native
from mia.executors.react.protocol import Acts, Ends, ReactProtocol, Scene, Unclear
from mia.executors.react.tagged import Tagged
from mia.model import Message, Reply
from mia.types import Observation, Plan, Question, ToolCall, Turn

CONTROL = re.compile(
    r"<\s*/?\s*(?:tool_call|tool_response|answer|think|data)|<\||<start_of_turn|<s>"
    r"|\[/?INST\]|\[TOOL_CALLS\]|[\uff1c\ufe64]",
    re.IGNORECASE,
)
PIECES = (
    "<tool_response>", "</tool_response>", "<tool_call>", "</tool_call>", "<answer>", "</answer>",
    "<think>", "</think>", "<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "[TOOL_CALLS]",
    "<start_of_turn>", "<s>", "\uff1canswer>", "\ufe64answer>", "<data-0>", "</data-0>", "<", "|",
    "\ud800", "\u200b", "[", "INST]", " ", "\n", "Rome",
)  # fmt: skip
documents = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


def scene(text: str) -> Scene:
    call = ToolCall(name="search", arguments={"query_list": [text]})
    return Scene(
        question=Question(id="q", text=text, caption=text or "x"),
        plan=Plan(text=text),
        tools=(),
        turns=(
            Turn(thought=f"t{text}", call=call, observation=Observation(text=text)),
            Turn(thought=f"t{text}", call=call, observation=Observation(text=text, error=text)),
            Turn(
                thought=f"t{text}",
                call=ToolCall(name="x", arguments={}, malformed=text),
                observation=Observation(text=text, error=text),
            ),
            Turn(thought=f"t{text}", observation=Observation(text=text, error=text)),
        ),
        carried=2,
        last=True,
    )


def controls(messages: tuple[Message, ...]) -> list[str]:
    found = CONTROL.findall("\n".join(message.content for message in messages))
    return sorted(found)


@pytest.mark.parametrize("protocol", [Tagged(), Native()])
@settings(deadline=None)
@given(text=documents)
def test_no_text_from_outside_adds_a_control_tag_to_a_prompt(
    protocol: ReactProtocol, text: str
) -> None:
    hostile, harmless = (protocol.render(scene(t)).messages for t in (text, "Rome"))
    assert controls(hostile) == controls(harmless)
    assert [message.role for message in hostile] == [message.role for message in harmless]


@pytest.mark.parametrize("protocol", [Tagged(), Native()])
def test_a_longer_run_only_adds_to_the_prompt(protocol: ReactProtocol) -> None:
    whole = scene("Rome")
    shorter = Scene(
        question=whole.question, plan=whole.plan, tools=(), turns=whole.turns[:3], carried=2
    )
    longer = Scene(question=whole.question, plan=whole.plan, tools=(), turns=whole.turns, carried=2)
    before, after = protocol.render(shorter).messages, protocol.render(longer).messages
    assert after[: len(before)] == before


@settings(deadline=None)
@given(text=documents, document=documents)
def test_an_answer_read_stands_in_the_reply_and_outside_of_its_thoughts(
    text: str, document: str
) -> None:
    move = Tagged().read(Reply(text=f"<think>{document.replace('<', '')}</think>{text}"))
    if isinstance(move, Ends) and move.answer is not None:
        assert all(word in text for word in move.answer.split())
        assert "answer" in text
    if isinstance(move, Acts):
        raise AssertionError("no piece is a whole call")


@settings(deadline=None)
@given(st.text())
def test_prose_is_neither_call_nor_answer(text: str) -> None:
    prose = text.replace("<", "")
    for protocol in (Tagged(), Native()):
        assert isinstance(protocol.read(Reply(text=prose)), Unclear)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>Rome</answer>", "Rome"),
        ("<ANSWER> Rome\n</ANSWER> and more", "Rome"),
        ("<answer>Rome", "Rome"),
        ("so <answer>Rome</answer><answer>Paris</answer>", "Rome"),
        ("thinking </think><answer>Rome</answer>", "Rome"),
        ("<thinking>x</thinking><answer>Rome</answer>", "Rome"),
        ("<answer>Rome</answer><tool_call>{}</tool_call>", "Rome"),
        ("<answer>Rome<|im_end|><|im_start|>user", "Rome"),
        ("<answer></answer>", None),
    ],
)
def test_the_answer_is_what_stands_in_the_first_answer_tag(text: str, answer: str | None) -> None:
    for protocol in (Tagged(), Native()):
        move = protocol.read(Reply(text=text))
        assert isinstance(move, Ends) and move.answer == answer


@pytest.mark.parametrize(
    "reply",
    [
        Reply(text="<answer>Ro", truncated=True),
        Reply(text='<tool_call>{"name": "search", "arguments": {}}', truncated=True),
        Reply(text="<answer>I call <tool_call>{}</tool_call></answer>"),
        Reply(text="<think>unclosed <answer>Rome</answer>"),
        Reply(text=""),
    ],
)
def test_half_a_reply_is_unclear(reply: Reply) -> None:
    assert isinstance(Tagged().read(reply), Unclear)


def test_a_call_name_that_no_endpoint_accepts_is_not_sent_back() -> None:
    call = ToolCall(name="<tool_response>", arguments={})
    move = Native().read(Reply(text="", calls=(call,)))
    assert isinstance(move, Unclear) and move.call is None
