"""Files of rows: every kind, whole or with the row that is broken, and which are of a split."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.datasets.written import jsonl, parquet, table

from mia.datasets.files import Broken, find, rows
from mia.errors import InputError


def test_a_line_that_is_no_object_is_a_broken_row_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"n": 1}\n\n{"n": \n[2]\n{"n": "\xff"}\n{"n": 3}')
    first, broken, no_object, no_text, last = rows([path])
    assert (first, last) == ({"n": 1}, {"n": 3})
    for each in (broken, no_object, no_text):
        assert isinstance(each, Broken) and each.why


def test_an_item_that_is_no_object_is_a_broken_row_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(' [{"n": 1}, 2, {"n": 3}]')
    first, broken, last = rows([path])
    assert (first, last) == ({"n": 1}, {"n": 3}) and isinstance(broken, Broken)


def test_json_may_have_a_row_in_each_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    assert list(rows([path])) == [{"n": 1}, {"n": 2}]


def test_a_line_of_a_table_with_columns_too_many_or_too_few_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('question,answer\n"a, ""b""\nc",x\nd\ne,y,z\n', encoding="utf-8-sig")
    good, short, wide = rows([path])
    assert good == {"question": 'a, "b"\nc', "answer": "x"}
    assert isinstance(short, Broken) and "fewer than 2 columns" in short.why
    assert isinstance(wide, Broken) and "more than 2 columns" in wide.why


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b"[1, "), ("a.parquet", b"PAR1 no"), ("a.csv", b"\xff,b\n1,2\n"),
     ("a.csv", b'a\n"x'), ("a.txt", b"x")],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}"):
        list(rows([path]))


def test_files_are_read_one_after_the_other(tmp_path: Path) -> None:
    one = parquet(tmp_path / "a.parquet", [{"n": n} for n in range(150)])
    two = table(tmp_path / "b.csv", [{"n": 150}])
    assert [int(str(row["n"])) for row in rows([one, two]) if isinstance(row, dict)] == list(
        range(151)
    )


def test_the_files_of_a_split_are_found_by_their_path(tmp_path: Path) -> None:
    for name in ("fullwiki/validation-00001-of-00002.jsonl",
                 "fullwiki/validation-00000-of-00002.jsonl", "fullwiki/train-0.jsonl",
                 "distractor/validation-0.jsonl", ".cache/validation.jsonl"):  # fmt: skip
        jsonl(tmp_path / name, [{"a": 1}])
    found = find(tmp_path, "validation", "fullwiki")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "fullwiki/validation-00000-of-00002.jsonl", "fullwiki/validation-00001-of-00002.jsonl",
    ]  # fmt: skip
    assert len(find(tmp_path, None)) == 4
    assert find(found[0], "train") == [found[0]], "a file that was named is taken as it is"


def test_a_split_may_be_called_as_its_authors_call_it(tmp_path: Path) -> None:
    dev = jsonl(tmp_path / "musique_ans_v1.0_dev.jsonl", [{"a": 1}])
    jsonl(tmp_path / "musique_ans_v1.0_train.jsonl", [{"a": 1}])
    assert find(tmp_path, "validation") == [dev]


def test_a_folder_that_does_not_say_which_file_is_refused(tmp_path: Path) -> None:
    jsonl(tmp_path / "one.jsonl", [{"a": 1}])
    assert len(find(tmp_path, "test")) == 1, "the only file needs no name"
    jsonl(tmp_path / "two.jsonl", [{"a": 1}])
    with pytest.raises(InputError, match=r"split 'test'\? There are: one\.jsonl, two\.jsonl"):
        find(tmp_path, "test")
    with pytest.raises(InputError, match="nothing at"):
        find(tmp_path / "gone", "test")
