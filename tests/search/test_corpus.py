"""Corpora: read whole or refused with the line that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mia.errors import InputError
from mia.search.bm25 import build, is_index
from mia.search.corpus import identity, passages
from mia.types import Passage

GOOD = b'{"id": 1, "title": "Adige", "text": "A river.", "url": "https://wiki.example/adige"}\n'


def jsonl(tmp_path: Path, *lines: bytes) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"".join(lines))
    return path


def test_both_forms_of_a_line_are_read(tmp_path: Path) -> None:
    contents = b'{"id": "2", "contents": "\\"Po\\"\\nA longer river.\\nVery long."}\n'
    assert list(passages(jsonl(tmp_path, GOOD, b"\n", contents))) == [
        Passage(id="1", title="Adige", text="A river.", url="https://wiki.example/adige"),
        Passage(id="2", title="Po", text="A longer river.\nVery long."),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": 2, "title": "Po"', "truncated"),
        (b'{"id": 2, "title": "Po"}', "needs `title` and `text`, or `contents`"),
        (b'{"title": "Po", "text": ""}', "id"),
        (b'{"id": 2, "title": 3, "text": ""}', r"\$\.title"),
        (b'["Po"]', "object"),
        (b'{"id": 2, "title": "\xff", "text": ""}', "UTF-8|utf-8"),
        (b"[" * 100_000, "object"),
        (b'{"id": 2, "x": ' + b"[" * 100_000, "recursion|truncated"),
        (GOOD.strip(), "'1' stands there twice"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bad_line_is_named_and_the_whole_file_refused(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    source = jsonl(tmp_path, GOOD, b"\n", line + b"\n")
    with pytest.raises(InputError, match=reason) as caught:
        build(passages(source), tmp_path / "index")
    assert f"{source} line 3" in str(caught.value) and len(str(caught.value)) < 400
    assert not is_index(tmp_path / "index")


def test_the_mark_that_windows_puts_before_a_text_does_not_matter(tmp_path: Path) -> None:
    assert [p.id for p in passages(jsonl(tmp_path, b"\xef\xbb\xbf" + GOOD))] == ["1"]


def test_a_file_without_passages_and_no_file_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no passages"):
        list(passages(jsonl(tmp_path, b"\n")))
    with pytest.raises(InputError, match="no corpus at"):
        list(passages(tmp_path / "gone"))


def test_a_folder_is_cut_into_passages_of_whole_paragraphs(tmp_path: Path) -> None:
    long = "\n\n".join(f"Paragraph {number}. " + "word " * 98 for number in range(3))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "the_river-adige.md").write_text("\ufeffA river.\r\n\r\nIt flows.\n")
    (tmp_path / "tales.TXT").write_text(long)
    (tmp_path / "empty.md").touch()
    (tmp_path / "a folder.md").mkdir()
    (tmp_path / "picture.png").write_bytes(b"\xff\xfe")
    found = list(passages(tmp_path))
    assert [(p.id, p.title) for p in found] == [
        ("deep/the_river-adige.md#1", "the river adige"),
        ("tales.TXT#1", "tales"),
        ("tales.TXT#2", "tales"),
        ("tales.TXT#3", "tales"),
    ]
    assert found[0].text == "A river.\n\nIt flows."
    assert [p.text.split(". ")[0] for p in found[1:]] == [f"Paragraph {n}" for n in range(3)]


def test_a_folder_without_texts_or_with_a_broken_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.md").touch()
    with pytest.raises(InputError, match=r"has no text in \.md"):
        list(passages(tmp_path))
    (tmp_path / "latin.txt").write_bytes("Bärnstein".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt is not UTF-8"):
        list(passages(tmp_path))


def test_a_corpus_that_changed_has_another_identity(tmp_path: Path) -> None:
    source = jsonl(tmp_path, GOOD)
    before = identity(source)
    assert identity(source) == before and before.startswith("corpus-")
    source.write_bytes(GOOD * 2)
    longer = identity(source)
    os.utime(source, ns=(1, 1))
    assert len({before, longer, identity(source)}) == 3
    folder = identity(tmp_path)
    (tmp_path / "more.md").write_text("more")
    assert identity(tmp_path) != folder
