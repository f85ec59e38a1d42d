"""Files of questions: read whole or refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.datasets.jsonl import load, question_of
from mia.errors import InputError
from mia.types import Question


def jsonl(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def test_every_field_of_a_line_is_kept(tmp_path: Path) -> None:
    whole = (
        b'{"question": " Which town? ", "id": 7, "answers": ["Rovigo", "Rovigo town"],'
        b' "family": "towns", "task": "t", "caption": "a map", "difficulty": "unknown fields too"}'
    )
    (question,) = load(jsonl(tmp_path, whole))
    assert question == Question(
        text="Which town?", id="7", answers=("Rovigo", "Rovigo town"),
        family="towns", task="t", caption="a map",
    )  # fmt: skip


def test_one_gold_answer_several_or_none(tmp_path: Path) -> None:
    lines = (
        b'{"question": "a", "answer": "x"}',
        b'{"question": "b", "answers": []}',
        b'{"question": "c", "answers": ["x", "y"], "answer": "z"}',
        b'{"question": "d"}',
    )
    assert [q.answers for q in load(jsonl(tmp_path, *lines))] == [("x",), None, ("x", "y"), None]


def test_a_question_without_an_id_gets_one_from_its_words(tmp_path: Path) -> None:
    first, second = load(jsonl(tmp_path, b'{"question": "a"}', b'{"question": "b"}'))
    assert first.id == question_of(" a ", "here").id != second.id


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"question": ""}', "the question is empty"),
        (b'{"question": " \\n "}', "the question is empty"),
        (b'{"question": "' + b"x" * 100_000 + b'"}', "100,000 characters; at most 20,000"),
        (b'{"question": "b"', "truncated"),
        (b'{"qestion": "b"}', "question"),
        (b'{"question": 5}', r"\$\.question"),
        (b'{"question": "b", "answers": "x"}', r"\$\.answers"),
        (b'{"question": "\xff"}', "UTF-8|utf-8"),
        (b"not json", "malformed"),
        (b'{"question": "b", "id": "first"}', "'first' stands in line 1 too"),
        (b'{"question": "b", "x": ' + b"[" * 100_000, "recursion|truncated"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bad_line_is_named_and_the_whole_file_refused(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = jsonl(tmp_path, b'{"question": "a", "id": "first"}', b"", line)
    with pytest.raises(InputError, match=reason) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path} line 3: ") and len(str(caught.value)) < 400


def test_the_same_question_twice_needs_ids(tmp_path: Path) -> None:
    same = b'{"question": "a"}'
    with pytest.raises(InputError, match=r"line 2: the id .* stands in line 1 too"):
        load(jsonl(tmp_path, same, same))
    assert (
        len(load(jsonl(tmp_path, b'{"question": "a", "id": 1}', b'{"question": "a", "id": 2}')))
        == 2
    )


def test_the_mark_that_windows_puts_before_a_text_does_not_matter(tmp_path: Path) -> None:
    (question,) = load(jsonl(tmp_path, b'\xef\xbb\xbf{"question": "a"}'))
    assert question.text == "a"


def test_no_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no questions at"):
        load(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="no questions at"):
        load(tmp_path)
    with pytest.raises(InputError, match="has no questions"):
        load(jsonl(tmp_path, b"", b" "))


def test_half_a_character_is_no_question() -> None:
    with pytest.raises(InputError, match="here: the question is not UTF-8 text"):
        question_of("Where is \udcff?", "here")
