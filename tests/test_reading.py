"""Laws of reading replies: a thought is never what the model said, and JSON is only JSON."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import JudgeError
from mia.reading import read_json, split_thought


class Yes(msgspec.Struct):
    yes: bool


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>a</think>b", "a", "b"),
        ("<think>a", "a", ""),
        ("a</think>b", "a", "b"),
        ("<think>a<think>b</think>c</think>d", "a\nb\nc", "d"),
        ("<think>a</think>b<think>c</think>d", "a\nc", "b\nd"),
        ("<Think >a</ THINKING>b", "a", "b"),
        ("b", "", "b"),
        ("", "", ""),
    ],
)
def test_thoughts_are_told_apart(text: str, thought: str, said: str) -> None:
    assert split_thought(text) == (thought, said)


@pytest.mark.parametrize(
    "text",
    ['{"yes": true}', ' {"yes": true}\n', '```json\n{"yes": true}\n```',
     '<think>{"yes": false}</think>{"yes": true}'],
)  # fmt: skip
def test_json_may_be_fenced_or_thought_about(text: str) -> None:
    assert read_json(text, Yes, JudgeError).yes is True


@pytest.mark.parametrize(
    "text",
    ["", "yes", "true", '{"yes": "true"}', '{"yes": 1}', 'It is {"yes": true}', "[" * 10_000,
     '{"yes": true} {"yes": false}', '<think>{"yes": true}</think>', '{"yes": true', "\ud800"],
)  # fmt: skip
def test_anything_else_is_an_error_of_the_border(text: str) -> None:
    with pytest.raises(JudgeError):
        read_json(text, Yes, JudgeError)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_split_or_refused_without_another_error(text: str) -> None:
    split_thought(text)
    with pytest.raises(JudgeError):
        read_json(text, Yes, JudgeError)
