"""Corpora: read whole or refused with the line that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mia.errors import InputError
from mia.search.bm25 import build, is_index
from mia.search.corpus import identity, passages, state
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


def test_a_folder_is_a_corpus_too_and_so_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "river.md").write_text("It flows.")
    for source in (tmp_path, tmp_path / "river.md"):
        assert [p.text for p in passages(source)] == ["It flows."]
    before = state(tmp_path / "river.md")
    (tmp_path / "river.md").write_text("It flows no more.")
    assert state(tmp_path / "river.md") != before


def test_a_corpus_is_called_by_its_place_and_known_by_its_state(tmp_path: Path) -> None:
    source = jsonl(tmp_path, GOOD)
    name, before = identity(source), state(source)
    assert name.startswith("corpus-") and state(source) == before
    source.write_bytes(GOOD * 2)
    longer = state(source)
    os.utime(source, ns=(1, 1))
    assert len({before, longer, state(source)}) == 3
    assert identity(source) == name != identity(tmp_path)


def test_the_state_of_a_folder_is_that_of_its_documents(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    states = [state(tmp_path / "notes")]
    for name in ("a.md", "b.txt"):
        (tmp_path / "notes" / name).write_text("more")
        states.append(state(tmp_path / "notes"))
    (tmp_path / "notes" / "b.txt").rename(tmp_path / "notes" / "c.txt")
    states.append(state(tmp_path / "notes"))
    assert len(set(states)) == 4
    (tmp_path / "notes" / "d.png").write_text("no document")
    assert state(tmp_path / "notes") == states[-1]
    (tmp_path / "notes").rename(tmp_path / "moved")
    assert state(tmp_path / "moved") == states[-1]
