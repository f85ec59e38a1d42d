"""Files of questions: read whole or refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.datasets.jsonl import load, question_of
from mia.errors import InputError
from mia.types import Picture, Question


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


def kept(reference: str, name: str) -> Picture:
    if not reference.endswith(".jpg"):
        raise InputError(f"{reference} is no picture")
    return Picture(id=reference[0] * 64, width=1, height=1, name=name)


def test_pictures_are_taken_in_under_the_id_of_their_row(tmp_path: Path) -> None:
    lines = (
        b'{"question": "Who is this?", "id": "one", "image": "a.jpg"}',
        b'{"question": "Who is this?", "images": ["b.jpg", "c.jpg"], "caption": "two cats"}',
        b'{"question": "Who is this?", "images": []}',
    )
    one, two, none = load(jsonl(tmp_path, *lines), kept)
    assert [picture.name for picture in one.pictures] == ["one"]
    assert [picture.id[0] for picture in two.pictures] == ["b", "c"]
    assert one.modality == two.modality == "text-image" and none.modality == "text"


def test_the_same_words_about_another_picture_are_another_question(tmp_path: Path) -> None:
    lines = (
        b'{"question": "Where is this?", "image": "a.jpg"}',
        b'{"question": "Where is this?", "image": "b.jpg"}',
    )
    one, two = load(jsonl(tmp_path, *lines), kept)
    assert one.id != two.id


def test_a_picture_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    lines = jsonl(tmp_path, b'{"question": "Who?"}', b'{"question": "Who?", "image": "a.exe"}')
    with pytest.raises(InputError, match=r"line 2: a\.exe is no picture"):
        load(lines, kept)
    with pytest.raises(InputError, match="line 2: questions with pictures cannot be asked here"):
        load(lines)
