"""What `--data` means: a file, a folder, or a set that was got."""

from __future__ import annotations

from pathlib import Path

import pytest

from mia.datasets.catalog import known
from mia.datasets.dataset import Raw
from mia.datasets.getting import Origin, keep
from mia.datasets.named import Data, named
from mia.datasets.own import own
from mia.errors import InputError, MissingError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Both splits of one set, one of another, and two of a person's own."""
    for name, splits in (("strategyqa", ("train", "test")), ("hotpotqa", ("train",))):
        data_set = known(name)
        for split in splits:
            row: Raw = {"qid": "1", "id": "1", "question": "q", "answer": None}
            keep(tmp_path, data_set, data_set.split(split), [row], Origin(source="a file"))
    for split in ("one", "two"):
        mine = own("mine", split=split)
        keep(tmp_path, mine, mine.splits[0], [{"question": "q"}], Origin(source="a file"))
    return tmp_path


def test_a_name_is_its_first_split_or_its_only_one(home: Path) -> None:
    data = home / "data"
    assert named("strategyqa", home) == Data(
        questions=data / "strategyqa" / "test.jsonl", label="strategyqa:test"
    )
    assert named("hotpotqa", home).questions == data / "hotpotqa" / "train.jsonl"
    assert named("strategyqa:train", home).label == "strategyqa:train"
    assert named("mine:two", home).questions == data / "mine" / "two.jsonl"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("popqa", MissingError, "mia data get popqa$"),
        ("musique:train", MissingError, "mia data get musique --split train"),
        ("hotpotqa:validation", MissingError, "get hotpotqa --split validation .*hotpotqa:train"),
        ("hotpotqa:dev", InputError, "no split 'dev'; it has: validation, train, test"),
        ("mine", InputError, "which split of mine.*mine:one, mine:two"),
        ("mine:three", InputError, "which split of mine"),
        ("nobody", InputError, "called nobody; there are: hotpotqa.*mine"),
        ("../data/mine", InputError, "no file and no data set"),
        ("", InputError, r"has no questions\.jsonl|no file"),
    ],
)
def test_what_is_not_here_says_how_to_get_it(
    home: Path, name: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        named(name, home)


def test_a_file_is_itself_and_a_folder_may_bring_its_corpus(home: Path) -> None:
    folder = home / "small"
    folder.mkdir()
    with pytest.raises(InputError, match=r"small has no questions\.jsonl"):
        named(folder, home)
    file = folder / "questions.jsonl"
    file.write_text('{"question": "q"}\n')
    assert named(str(file), home) == Data(questions=file, label="questions")
    assert named(folder, home) == Data(questions=file, label="small")
    (folder / "corpus.jsonl").write_text('{"id": "1", "title": "t", "text": "x"}\n')
    assert named(folder, home).corpus == folder / "corpus.jsonl"
