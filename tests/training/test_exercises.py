"""What training reads: written and read again, or refused with the row that is wrong."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.datasets.written import WRITERS, jsonl, parquet, picture

from mia.errors import InputError, StoreError
from mia.model import Message
from mia.pictures import Pictures
from mia.planner import parse_plan
from mia.training.exercises import (
    Exchange,
    Exercise,
    chosen,
    read_exercises,
    write_exercises,
    write_parquet,
)
from mia.types import (
    Note,
    Picture,
    Plan,
    Question,
    Recalled,
    Recollection,
    ToolCall,
    Workflow,
)

TYPED = "#1 Who is the director of [Hanna's War]?\n#2 When did #1 die?\nanswer #2"
WORKFLOW = Workflow(
    id="w", namespace="n", question="Who?", question_template="Who made [A]?", category="c",
    steps=(), summary="s", plan="p", outcome="success", verdict_kind="exact", confidence=1.0,
)  # fmt: skip
RECALLED = Recalled(workflow=WORKFLOW, score=1.0, similarity=1.0, value=0.5, frequency=1.0)

words = st.text(max_size=30)
told = words.map(str.strip).filter(bool)
asked = told.filter(lambda text: "<image>" not in text)


def shown(raw: bytes) -> Picture:
    return Picture(id=hashlib.sha256(raw).hexdigest(), width=1, height=1)


class Shelf:
    """Pictures by their bytes, as a picture folder keeps them."""

    def __init__(self) -> None:
        self.raw: dict[str, bytes] = {}

    def take(self, reference: str, name: str) -> Picture:
        raw = base64.b64decode(reference.partition(",")[2], validate=True)
        return msgspec.structs.replace(shown(raw), name=name)

    def keep(self, raw: bytes) -> Picture:
        self.raw[shown(raw).id] = raw
        return shown(raw)

    def jpeg(self, picture: Picture) -> bytes:
        return self.raw[picture.id]


questions = st.builds(
    Question, text=asked, id=told, answers=st.none() | st.lists(told, min_size=1, unique=True)
    .map(tuple), family=st.none() | words, caption=st.none() | told,
)  # fmt: skip
plans = st.none() | st.just(parse_plan(TYPED)) | told.map(lambda text: Plan(text=f"1. {text}"))
bare = st.lists(told.map(lambda text: Note(text=text)), max_size=2).map(
    lambda notes: Recollection(notes=tuple(notes))
)
recollections = bare | st.builds(
    Recollection,
    successes=st.sampled_from([(), (RECALLED,)]),
    notes=st.lists(st.builds(Note, text=told, id=words, score=st.floats(0, 1)), max_size=4).map(
        tuple
    ),
    withheld=st.lists(words, max_size=2).map(tuple),
)
calls = st.builds(ToolCall, name=words, arguments=st.dictionaries(words, st.integers() | words))
exchanges = st.builds(
    Exchange,
    role=st.sampled_from(["planner", "executor"]),
    stage=st.sampled_from(["plan", "reflection", "replan", "act"]),
    messages=st.lists(
        st.builds(
            Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=words,
            calls=st.lists(calls, max_size=1).map(tuple), call_id=st.none() | words,
        ),
        max_size=3,
    ).map(tuple),
    reply=words,
)  # fmt: skip
exercises = st.builds(
    Exercise, question=questions, recollection=recollections, plan=plans,
    exchanges=st.lists(exchanges, max_size=3).map(tuple), correct=st.none() | st.booleans(),
)  # fmt: skip


def several(one: st.SearchStrategy[Exercise]) -> st.SearchStrategy[list[Exercise]]:
    return st.lists(one, min_size=1, max_size=5, unique_by=lambda e: e.question.id)


def through_parquet(every: Sequence[Exercise], shelf: Shelf) -> tuple[Exercise, ...]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "set.parquet"
        write_parquet(path, every, shelf.jpeg)
        return read_exercises(path, shelf.take)


@given(several(exercises))
@settings(deadline=None)
def test_what_is_written_is_read_again(every: list[Exercise]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "set.jsonl"
        write_exercises(path, every)
        assert read_exercises(path) == tuple(every)


@given(several(st.builds(Exercise, question=questions, recollection=bare, plan=plans)),
       st.lists(st.binary(min_size=1), max_size=2))  # fmt: skip
@settings(deadline=None, max_examples=50)
def test_what_the_published_columns_hold_travels_both_ways(
    every: list[Exercise], pictures: list[bytes]
) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    shelf, first = Shelf(), every[0].question
    kept = (msgspec.structs.replace(shelf.keep(raw), name=first.id) for raw in pictures)
    question = msgspec.structs.replace(first, pictures=tuple(kept))
    every[0] = msgspec.structs.replace(every[0], question=question)
    assert through_parquet(every, shelf) == tuple(every)


@given(several(exercises))
@settings(deadline=None, max_examples=50)
def test_what_is_left_after_one_journey_survives_every_other(every: list[Exercise]) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    once = through_parquet(every, Shelf())
    assert through_parquet(once, Shelf()) == once
    for before, after in zip(every, once, strict=True):
        assert after.question == msgspec.structs.replace(before.question, task=None)
        assert after.recollection.empty == before.recollection.empty


def test_workflows_travel_as_the_text_a_planner_reads(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    exercise = Exercise(question=Question(text="q", id="1"),
                        recollection=Recollection(successes=(RECALLED,)))  # fmt: skip
    (read,) = through_parquet([exercise], Shelf())
    (note,) = read.recollection.notes
    assert note.text.startswith("Success 1: Who made [A]?")


EXECUTOR = {
    "prompt": [{"role": "user", "content": "<image>Which town is this?"}], "plan": "1. Look it up.",
    "memories_context": "Positive memory (1)", "memories_context_2": "Another memory",
    "modality": "text-image", "data_id": "fvqa_train_7", "data_source": "FVQA",
    "reward_model": {"ground_truth": "Rovigo", "style": "rule"}, "category": "place",
}  # fmt: skip
PLANNER = {
    "question": "Which town?", "memories_context": "A memory", "memories_context_2": "",
    "modality": "text", "data_id": 5, "reward_model": {"ground_truth": "Rovigo"},
}  # fmt: skip


def test_a_published_record_for_the_executor_is_read(tmp_path: Path) -> None:
    raw, shelf = picture(1), Shelf()
    path = parquet(tmp_path / "train.parquet", [{**EXECUTOR, "images": [raw]}])
    assert read_exercises(path, shelf.take, gold=True) == (
        Exercise(
            question=Question(
                text="Which town is this?", id="fvqa_train_7", answers=("Rovigo",), family="place",
                pictures=(msgspec.structs.replace(shown(raw), name="fvqa_train_7"),),
            ),
            recollection=Recollection(
                notes=(Note(text="Positive memory (1)"), Note(text="Another memory"))
            ),
            plan=Plan(text="1. Look it up."),
        ),
    )  # fmt: skip


def test_a_published_record_for_the_planner_is_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "train.parquet", [PLANNER])
    assert read_exercises(path, gold=True) == (
        Exercise(
            question=Question(text="Which town?", id="5", answers=("Rovigo",)),
            recollection=Recollection(notes=(Note(text="A memory"),)),
        ),
    )


def test_a_large_set_is_written_whole_and_in_order() -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    for size in (64, 130):
        assert through_parquet(numbered(size), Shelf()) == tuple(numbered(size))


def test_a_typed_plan_has_its_steps_again(tmp_path: Path) -> None:
    path = parquet(tmp_path / "train.parquet", [{**PLANNER, "plan": TYPED}])
    assert read_exercises(path)[0].plan == parse_plan(TYPED)


def test_what_we_write_shows_a_place_for_each_picture(tmp_path: Path) -> None:
    table = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    shelf = Shelf()
    question = Question(text="What?", id="1", answers=("a", "b"),
                        pictures=(shelf.keep(b"x"), shelf.keep(b"y")))  # fmt: skip
    write_parquet(tmp_path / "set.parquet", [Exercise(question=question)], shelf.jpeg)
    (row,) = table.read_table(tmp_path / "set.parquet").to_pylist()
    assert row["prompt"] == [{"role": "user", "content": "<image>\n<image>\nWhat?"}]
    assert [image["bytes"] for image in row["images"]] == [b"x", b"y"]
    assert row["reward_model"] == {"ground_truth": "a", "candidate_answers": ["b"]}
    assert (row["modality"], row["plan"], row["memories_context"]) == ("text-image", None, None)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_of_questions_is_exercises_of_questions_only(tmp_path: Path, kind: str) -> None:
    rows = [{"question": "Which town?", "id": "1", "answer": "Rovigo"},
            {"question": "Which river?", "id": "2", "answer": "Adige"}]  # fmt: skip
    path = WRITERS[kind](tmp_path / f"questions.{kind}", rows)
    assert read_exercises(path, gold=True) == (
        Exercise(question=Question(text="Which town?", id="1", answers=("Rovigo",))),
        Exercise(question=Question(text="Which river?", id="2", answers=("Adige",))),
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"question": "b"', "truncated"),
        (b'{"question": ""}', "the question is empty"),
        (b'{"question": 5}', r"\$\.question"),
        (b'{"question": {"text": "b"}}', "id"),
        (b'{"question": {"text": "b", "id": "b"}, "correct": "yes"}', r"\$\.correct"),
        (b'{"question": {"text": "b", "id": "b"}, "exchanges": [{"role": "judge"}]}', r"\$\.exch"),
        (b'{"question": "b", "data_id": "b", "plan": 5}', r"\$\.plan"),
        (b'{"question": "b", "prompt": []}', "neither data_id nor ids"),
        (b'{"question": "b", "ids": "b", "images": ["!"]}', "no picture in base64"),
        (b'{"question": "b", "data_id": "a"}', "the id 'a' stands in row 1 too"),
        (b'{"question": {"text": "b", "id": "a"}}', "the id 'a' stands in row 1 too"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_row_is_named_and_the_whole_file_refused(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(b'{"question": "a", "id": "a"}\n' + line)
    with pytest.raises(InputError, match=reason) as caught:
        read_exercises(path, Shelf().take)
    assert str(caught.value).startswith(f"{path} row 2: ") and len(str(caught.value)) < 400


def test_a_picture_that_cannot_be_read_is_named_by_its_row(tmp_path: Path) -> None:
    rows = [{**EXECUTOR, "data_id": "1", "images": [picture(1)]},
            {**EXECUTOR, "data_id": "2", "images": [b"no picture"]}]  # fmt: skip
    folder = Pictures(tmp_path / "pictures")

    def take(reference: str, name: str) -> Picture:
        return folder.keep(base64.b64decode(reference.partition(",")[2]), name=name)

    path = parquet(tmp_path / "train.parquet", rows)
    with pytest.raises(InputError, match=r"row 2: this is no picture of a known kind"):
        read_exercises(path, take)


def test_without_somebody_who_takes_pictures_in_there_are_none(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "set.jsonl", [{"question": "What?", "image": "a.png"}])
    with pytest.raises(InputError, match="row 1: questions with pictures cannot"):
        read_exercises(path)


@pytest.mark.parametrize(
    "row",
    [{"question": "b"}, {"question": {"text": "b", "id": "b"}}, {**PLANNER, "reward_model": {}},
     {"question": "b", "answers": [" "]}],
)  # fmt: skip
def test_a_row_without_a_right_answer_is_refused_where_one_is_needed(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    path = jsonl(tmp_path / "set.jsonl", [{"question": "a", "answer": "x"}, row])
    assert read_exercises(path)[1].question.answers is None
    with pytest.raises(InputError, match=r"row 2: .* has no gold answer"):
        read_exercises(path, gold=True)


def test_a_file_that_is_empty_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no exercises"):
        read_exercises(jsonl(tmp_path / "set.jsonl", []))
    with pytest.raises(InputError, match="cannot read"):
        read_exercises(tmp_path / "none.jsonl")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_changes_as_a_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")

    def write(every: Iterator[Exercise] | list[Exercise]) -> None:
        if suffix == "jsonl":
            write_exercises(path, every)
        else:
            write_parquet(path, every, Shelf().jpeg)

    def breaks() -> Iterator[Exercise]:
        yield Exercise(question=Question(text="b", id="b"))
        raise RuntimeError("the middle")

    path = tmp_path / "new" / f"set.{suffix}"
    write([Exercise(question=Question(text="a", id="a"))])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="the middle"):
        write(breaks())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_where_nothing_can_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot write"):
        write_exercises(tmp_path / "file" / "set.jsonl", [])


def numbered(size: int) -> list[Exercise]:
    return [Exercise(question=Question(text=str(n), id=str(n))) for n in range(size)]


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_every_exercise_comes_once_in_every_epoch(
    size: int, count: int, seed: int, epoch: int
) -> None:
    every = numbered(size)
    steps = range((epoch + 1) * size // count + 1)
    taken = [each for step in steps for each in chosen(every, seed, step, count)]
    of_epoch = taken[epoch * size : (epoch + 1) * size]
    assert sorted(each.question.id for each in of_epoch) == sorted(e.question.id for e in every)


def test_a_step_takes_what_it_takes_whatever_was_taken_before() -> None:
    every = numbered(20)
    late = chosen(every, 3, 17, 6)
    for step in range(30):
        chosen(every, 3, step, 6)
    assert chosen(every, 3, 17, 6) == late and len(late) == 6


def test_epochs_and_seeds_shuffle_differently() -> None:
    every = numbered(20)
    orders = [chosen(every, seed, epoch, 20) for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(e.question.id for e in order) for order in orders}) == 4
    assert all(list(order) != every for order in orders)
