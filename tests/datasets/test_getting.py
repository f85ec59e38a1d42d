"""A set that is got is whole, or it is what was there before; no row is lost without a word."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.written import picture

from mia.datasets.catalog import known
from mia.datasets.dataset import DataSet, Raw
from mia.datasets.files import Broken
from mia.datasets.getting import Origin, keep
from mia.datasets.jsonl import load
from mia.datasets.kept import About, got, names
from mia.datasets.own import own
from mia.errors import ConfigError, InputError, StoreError
from mia.locks import alone
from mia.pictures import Pictures
from mia.types import Picture

HERE = Origin(source="a file")
MINE = own("mine")


def kept(
    home: Path,
    rows: Iterable[Raw | Broken],
    data_set: DataSet = MINE,
    *,
    origin: Origin = HERE,
    limit: int | None = None,
    skip_bad: bool = False,
) -> About:
    split = data_set.splits[0]
    return keep(home, data_set, split, rows, origin, limit=limit, skip_bad=skip_bad)


def questions(home: Path, name: str = "mine") -> list[str]:
    (one,) = got(home, name)
    return [question.text for question in load(one.path)]


def leftovers(home: Path) -> list[str]:
    files = sorted(path.name for path in (home / "data" / "mine").iterdir())
    return [name for name in files if name not in (".lock", "all.jsonl", "about.json", "pictures")]


def test_every_field_survives_and_about_says_where_it_is_from(tmp_path: Path) -> None:
    row: Raw = {"question": " Which town? ", "id": 7, "answers": ["Rovigo", " ", "Rovigo"],
                "family": "towns", "task": "t", "caption": "a map", "more": 1}  # fmt: skip
    about = kept(tmp_path, [row], origin=Origin(source="there", revision="c0ffee"))
    (one,) = got(tmp_path, "mine")
    (question,) = load(one.path)
    assert (question.text, question.id, question.answers) == ("Which town?", "7", ("Rovigo",))
    assert (question.family, question.task, question.caption) == ("towns", "t", "a map")
    assert one.about == about and one.split == "all" and names(tmp_path) == ["mine"]
    assert (about.source, about.revision, about.rows, about.questions) == ("there", "c0ffee", 1, 1)
    assert about.bytes == one.path.stat().st_size and about.date.endswith("Z")


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ('["Rovigo", "Este"]', ("Rovigo", "Este")),
        ("['Rovigo']", ("Rovigo",)),
        ("Rovigo; Este", ("Rovigo; Este",)),
        ("", None),
    ],
)
def test_a_table_has_several_answers_in_one_cell(
    tmp_path: Path, cell: str, answers: tuple[str, ...] | None
) -> None:
    kept(tmp_path, [{"question": "Which town?", "answers": cell}])
    (one,) = got(tmp_path, "mine")
    assert [question.answers for question in load(one.path)] == [answers]


def test_a_file_that_has_changed_since_is_not_described_by_its_about(tmp_path: Path) -> None:
    kept(tmp_path, [{"question": "a"}])
    (one,) = got(tmp_path, "mine")
    one.path.write_text('{"question": "another one"}\n')
    assert got(tmp_path, "mine")[0].about is None


def test_a_damaged_about_is_named(tmp_path: Path) -> None:
    kept(tmp_path, [{"question": "a"}])
    (tmp_path / "data" / "mine" / "about.json").write_text("{")
    with pytest.raises(StoreError, match=r"about\.json"):
        got(tmp_path, "mine")


BAD: tuple[tuple[Raw | Broken, str], ...] = (
    ({"answer": "x"}, "question"),
    ({"question": " "}, "the question is empty"),
    ({"question": "x" * 20_001}, "20,001 characters"),
    ({"question": "a \ud800"}, "not UTF-8"),
    ({"question": "b", "answer": "\ud800"}, "surrogates"),
    ({"question": "a", "id": "one"}, "'one' stands in row 1 too"),
    ({"question": "a", "answers": {"all": "of these"}}, r"\$\.answers"),
    ({"question": "a", "image": "../../secret.png"}, "outside of"),
    ({"question": "a", "image": "gone.png"}, "cannot read the picture"),
    ({"question": "a", "image": "data:text/plain,hello"}, "not a picture in base64"),
    ({"question": "a", "image": "data:image/png;base64,%%"}, "data:image/png;base64"),
    ({"question": "a", "answers": "[Rovigo"}, "neither JSON nor a Python literal"),
    (Broken(why="not JSON"), "not JSON"),
)


@pytest.mark.parametrize(("row", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_a_row_that_does_not_fit_is_named_by_set_split_and_number(
    tmp_path: Path, row: Raw | Broken, reason: str
) -> None:
    origin = Origin(source="a file", beside=tmp_path)
    rows: list[Raw | Broken] = [{"question": "q", "id": "one"}, row, {"question": "r"}]
    with pytest.raises(InputError, match=rf"^mine all row 2: .*{reason}") as caught:
        kept(tmp_path, rows, origin=origin)
    assert "--skip-bad" in str(caught.value) and len(str(caught.value)) < 400
    assert not got(tmp_path, "mine") and not leftovers(tmp_path)
    about = kept(tmp_path, rows, origin=origin, skip_bad=True)
    assert [bad.row for bad in about.bad] == [2] and about.questions == 2
    assert questions(tmp_path) == ["q", "r"]


def test_rows_that_are_no_questions_of_the_set_are_counted(tmp_path: Path) -> None:
    task = {"Question": "q", "Level": 1, "Final answer": "x"}
    rows: list[Raw] = [
        {**task, "task_id": str(n), "file_name": "a.png" if n % 3 else ""} for n in range(9)
    ]
    about = kept(tmp_path, rows, known("gaia"))
    assert (about.rows, about.questions) == (9, 3)
    assert [(apart.why, apart.rows) for apart in about.left_out] == [("about a file", 6)]


def test_no_more_rows_are_read_than_wanted(tmp_path: Path) -> None:
    def three() -> Iterator[Raw]:
        yield {"question": "a"}
        yield {"question": "b"}
        raise AssertionError("a third row was asked for")

    assert kept(tmp_path, three(), limit=2).questions == 2


def test_what_was_there_stays_until_all_of_the_new_is_written(tmp_path: Path) -> None:
    kept(tmp_path, [{"question": "old"}])
    before = {path.name: path.read_bytes() for path in (tmp_path / "data" / "mine").iterdir()}

    def breaks() -> Iterator[Raw]:
        for number in range(5_000):
            yield {"question": f"new {number}"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path, breaks())
    with pytest.raises(InputError, match="has no questions in 0 rows"):
        kept(tmp_path, [])
    after = {path.name: path.read_bytes() for path in (tmp_path / "data" / "mine").iterdir()}
    assert after == before and questions(tmp_path) == ["old"]


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    (folder / ".all.partial").write_text('{"question": "ha')
    (folder / ".old.partial").write_text('{"question": "ha')
    kept(tmp_path, [{"question": "a"}])
    assert not leftovers(tmp_path) and questions(tmp_path) == ["a"]


def test_two_do_not_get_the_same_set_at_once(tmp_path: Path) -> None:
    with (
        alone(tmp_path / "data" / "mine" / ".lock"),
        pytest.raises(StoreError, match="another `mia data get mine` is at work"),
    ):
        kept(tmp_path, [{"question": "a"}])


def test_splits_are_kept_side_by_side(tmp_path: Path) -> None:
    strategy = known("strategyqa")
    row: Raw = {"qid": "1", "question": "q", "answer": True}
    for split in strategy.splits:
        keep(tmp_path, strategy, split, [row], HERE)
    here = got(tmp_path, "strategyqa")
    assert [one.split for one in here] == ["test", "train"]
    assert all(one.about for one in here)


def test_pictures_are_taken_out_and_found_beside_the_questions(tmp_path: Path) -> None:
    red, dark = picture(250), picture(20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dark.png").write_bytes(dark)
    data = f"data:image/png;base64,{base64.b64encode(red).decode()}"
    web = "https://there.example/a.png"
    rows: list[Raw] = [
        {"question": "Who?", "images": ["dark.png", data]}, {"question": "Who?", "image": web},
    ]  # fmt: skip
    kept(tmp_path, rows, origin=Origin(source="in", beside=tmp_path / "in"))
    (one,) = got(tmp_path, "mine")
    taken: list[str] = []

    def take(reference: str, name: str) -> Picture:
        taken.append(reference)
        if reference == web:
            return Picture(id="0" * 64, width=1, height=1)
        raw = (one.path.parent / reference).read_bytes()
        return Pictures(tmp_path / "pictures").keep(raw, name=name)

    first, second = load(one.path, take)
    assert [each.width for each in first.pictures] == [32, 32] and taken[2] == web
    assert len({picture.id for picture in first.pictures}) == 2
    assert first.id != second.id, "the same words about other pictures"


def test_a_picture_that_is_none_is_a_row_that_does_not_fit(tmp_path: Path) -> None:
    good, bad = picture(1), b"<svg/>"
    rows: list[Raw] = [
        {"data_id": str(n), "question": "q", "images": [raw]} for n, raw in enumerate((good, bad))
    ]
    with pytest.raises(InputError, match="fvqa test row 2: this is no picture of a known kind"):
        kept(tmp_path, rows, known("fvqa"))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a:b", ".hidden", "UPPER", "x" * 65])
def test_a_name_of_ones_own_is_no_path(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        own(name)


texts = st.text(st.characters(exclude_categories=()), max_size=6)
values = st.none() | texts | st.integers(-3, 3) | st.lists(texts, max_size=2) | st.booleans()
fields = st.sampled_from(
    ["question", "id", "answer", "answers", "family", "task", "caption", "image"]
)
anything = (
    st.dictionaries(fields, values, max_size=5)
    | st.fixed_dictionaries({"question": texts, "id": st.integers(0, 30)})
    | st.builds(Broken, why=st.just("broken"))
)


@settings(deadline=None)  # it waits for the disk
@given(st.lists(anything, max_size=12))
def test_every_row_is_a_question_or_named(rows: list[Raw | Broken]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            about = kept(home, rows, skip_bad=True)
        except InputError as error:
            assert f"no questions in {len(rows)} rows" in str(error)
            return
        (one,) = got(home, "mine")
        found = load(one.path)
        assert about.rows == len(rows) == len(found) + len(about.bad)
        assert about.questions == len(found)
        lines = one.path.read_bytes().splitlines()
        numbers = {bad.row for bad in about.bad}
        read = [row for number, row in enumerate(rows, 1) if number not in numbers]
        for line, row in zip(lines, read, strict=True):
            assert isinstance(row, dict)
            assert msgspec.json.decode(line)["question"] == str(row["question"]).strip()
