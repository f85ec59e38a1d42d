"""Orders of questions: every id is known and comes once, or the line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.datasets.jsonl import load
from mia.datasets.order import read_order
from mia.errors import InputError
from mia.types import Question

DATA = Path(__file__).parents[3] / "shared" / "data"
KNOWN = tuple(Question(text=id, id=id) for id in "abcd")


def order(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "order.jsonl"
    path.write_text("\n".join(lines))
    return [question.id for question in read_order(path, KNOWN)]


def test_ids_come_in_the_order_of_the_lines(tmp_path: Path) -> None:
    read = order(tmp_path, '{"id": "c", "pos": 0, "family": "f", "gap": null}', "", '{"id": "a"}')
    assert read == ["c", "a"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "e"}', "no question has the id 'e'"),
        ('{"id": "a"}', "'a' came before"),
        ('{"id": "b", "pos": 2}', "its pos is 2, its place 1"),
        ('{"pos": 1}', "id"),
        ("b", "malformed"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    with pytest.raises(InputError, match=rf"order\.jsonl line 2: .*{reason}"):
        order(tmp_path, '{"id": "a", "pos": 0}', line)


def test_no_file_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no ids"):
        order(tmp_path, "")
    with pytest.raises(InputError, match="no order of questions at"):
        read_order(tmp_path / "gone.jsonl", KNOWN)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data, the real questions")
def test_the_real_streams_are_orders_of_the_real_questions() -> None:
    questions = load(DATA / "dev" / "2wikimultihopqa.jsonl")
    for name, count in (("interleaved", 200), ("blocked", 200), ("transfer", 150)):
        read = read_order(DATA / "streams" / f"2wiki_dev_{name}.jsonl", questions)
        assert len(set(read)) == count
    first, rest = ({question.family for question in part} for part in (read[:50], read[50:]))
    assert (len(first), len(rest)) == (10, 20), "a warm-up of ten families, then ten more"
