"""Exercises in verl's columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.training.verl.runs import exercises

from mia.errors import ConfigError, InputError, StoreError
from mia.model import Message
from mia.training.exercises import Exchange, Exercise
from mia.training.verl.rows import exercise_in, rows_of, write_rows
from mia.types import Picture, Plan, Question

words = st.text(min_size=1, max_size=20)
given_exercises = st.builds(
    Exercise,
    question=st.builds(
        Question, text=words, id=words, answers=st.none() | st.tuples(words), caption=words
    ),
    plan=st.none() | st.builds(Plan, text=words),
    correct=st.none() | st.booleans(),
)


@given(st.lists(given_exercises, max_size=5))
def test_the_exercise_of_a_row_is_the_one_it_was_made_of(some: list[Exercise]) -> None:
    rows = rows_of(some, "mia_planner")
    assert [exercise_in(row.exercise) for row in rows] == some
    assert [row.extra_info.index for row in rows] == list(range(len(some)))


def test_a_file_has_what_its_rows_have(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    path = tmp_path / "train.parquet"
    some = exercises(2)
    write_rows(path, rows_of(some, "mia_executor"))
    read = parquet.read_table(path).to_pylist()
    assert [exercise_in(row["exercise"]) for row in read] == list(some)
    assert read[1]["agent_name"] == "mia_executor"
    assert read[1]["prompt"] == [{"role": "user", "content": "What is item 2?"}]
    assert read[1]["reward_model"] == {"style": "rule", "ground_truth": ["kind 2"]}
    assert read[1]["extra_info"] == {"index": 1, "id": "q2"}
    assert [each.name for each in tmp_path.iterdir()] == ["train.parquet"]


def test_a_file_that_cannot_be_written_is_not_begun(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    with pytest.raises(StoreError, match=r"no folder.train\.parquet"):
        write_rows(tmp_path / "no folder" / "train.parquet", rows_of(exercises(1), "mia_planner"))


def test_what_was_said_in_a_collected_run_stays_behind() -> None:
    talk = Exchange(
        role="planner", stage="plan", messages=(Message(role="user", content="q"),), reply="p"
    )
    (plain,) = exercises(1)
    (row,) = rows_of([replace(plain, exchanges=(talk,))], "mia_planner")
    assert exercise_in(row.exercise) == plain


def test_a_picture_has_to_be_put_in_words_first() -> None:
    picture = Picture(id="0" * 64, width=1, height=1)
    shown = Question(text="What is this?", id="seen", pictures=(picture,))
    with pytest.raises(InputError, match="'seen' has pictures that nobody described"):
        rows_of([Exercise(question=shown)], "mia_planner")
    assert rows_of([Exercise(question=replace(shown, caption="a bridge"))], "mia_planner")


@pytest.mark.parametrize("foreign", [None, 7, "no JSON", '{"prompt": "a question"}'])
def test_a_row_of_somebody_else_is_named_as_such(foreign: object) -> None:
    with pytest.raises(ConfigError, match="a row for verl has"):
        exercise_in(foreign)
