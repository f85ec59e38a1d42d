"""The published encoding of batches, and what hostile ones come to."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest

from mia.errors import InputError
from mia.servers.reference_codec import decoded
from mia.servers.reference_learner_wire import number, questions, said


def encoded(**columns: Any) -> dict[str, msgspec.Raw]:
    """Columns as they come over the wire."""
    raw = msgspec.json.encode(columns)
    return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])


def tensor(data: Any, dtype: str = "int64") -> dict[str, Any]:
    return {"__tensor__": True, "dtype": dtype, "data": data}


def objects(*items: Any) -> dict[str, Any]:
    return {"__ndarray_object__": True, "data": list(items)}


def array(data: Any, dtype: str) -> dict[str, Any]:
    return {"__ndarray_numpy__": True, "dtype": dtype, "data": data}


def test_each_kind_of_column_is_read() -> None:
    batch = decoded(
        encoded(
            input_ids=tensor([[1, 2, 3], [4, 5, 6]]), weight=tensor([0.5, 2], "bfloat16"),
            mask=tensor([[True], [False]], "bool"), index=array([7, 8], "int32"),
            names=array(["a", "b"], "<U1"), data_id=objects("q1", 2),
            extra_info=[{"deep": [1]}, None],
        )
    )  # fmt: skip
    assert batch.rows == 2
    assert batch.numbers["input_ids"].dtype == np.int64
    assert batch.numbers["input_ids"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert batch.numbers["weight"].dtype == np.float32
    assert batch.numbers["mask"].dtype == np.bool_ and batch.numbers["index"].dtype == np.int32
    assert batch.row(1) == {"names": "b", "data_id": 2, "extra_info": None}


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (tensor([[1, 2], [3]]), "inhomogeneous"),
        (tensor(["1", "2"]), "numbers alone"),
        (tensor([None, None]), "numbers alone"),
        (tensor([{"a": 1}, {}]), "numbers alone"),
        (tensor([[[[[1]]]], [[[[1]]]]]), "axes"),
        (tensor([2**70, 1]), "numbers alone"),
        (tensor([2**40, 1], "int32"), "no place in int32"),
        (tensor([300, 1], "uint8"), "no place in uint8"),
        (tensor([1, 2], "complex128"), "dtype"),
        (array([1, 2], "O"), "dtype"),
        (array([1, 2], "V8"), "dtype"),
        (array([1, 2], "<U5"), "texts"),
        ({"__tensor__": True, "__ndarray_object__": True, "data": [1, 2]}, "should be"),
        ({"data": [1, 2]}, "should be"),
        ({"__tensor__": True, "dtype": "int64"}, "data"),
        ({"__ndarray_object__": True, "data": {"0": 1}}, "array"),
        ({"__pickle__": "gASV"}, "data"),
        ("gASVEAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOULg==", "cannot be read"),
        (7, "cannot be read"),
        (None, "cannot be read"),
        (tensor([1, 2, 3]), "one length"),
    ],
)
def test_what_is_no_column_is_refused(column: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        decoded(encoded(data_id=objects("a", "b"), odd=column))


def test_a_pickle_is_a_text_like_any_other() -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return pytest.fail, ("somebody unpickled it",)

    raw = pickle.dumps(Hostile()).decode("latin-1")
    batch = decoded(encoded(data_id=objects("q1"), question=objects(raw)))
    assert batch.lists["question"] == [raw]
    with pytest.raises(InputError):
        decoded(encoded(data_id=tensor(raw)))


@pytest.mark.parametrize("rows", [0, 1025])
def test_rows_are_bounded(rows: int) -> None:
    with pytest.raises(InputError, match="rows"):
        decoded(encoded(data_id=objects(*range(rows))))


def test_columns_are_bounded() -> None:
    for count in (0, 65):
        with pytest.raises(InputError, match="columns"):
            decoded(encoded(**{f"c{n}": [1] for n in range(count)}))


def test_nesting_is_bounded() -> None:
    deep = msgspec.Raw(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(InputError, match="data_id"):
        decoded({"data_id": deep})
    with pytest.raises(InputError, match="data_id"):
        decoded(
            {"data_id": msgspec.Raw(b'{"__tensor__":true,"dtype":"int64","data":' + deep + b"}")}
        )


def asked(**columns: Any) -> list[tuple[str, str, str | None]]:
    return [(q.text, q.id, q.caption) for q in questions(decoded(encoded(**columns)))]


def test_a_row_asks_by_its_columns_or_its_prompt() -> None:
    prompt = [{"role": "system", "content": "x"}, {"role": "user", "content": "<image>Who?"}]
    assert asked(question=["Who\u200b?"], data_id=[3], image_caption=[["a cat", "more"]]) == [
        ("Who?", "3", "a cat")
    ]
    assert asked(prompt=[prompt], data_id=["q"]) == [("Who?", "q", None)]
    assert asked(raw_prompt=[prompt], extra_info=[{"data_id": "q", "image_caption": ""}]) == [
        ("Who?", "q", None)
    ]
    both = asked(question=["Where?"], data_id=["a"], extra_info=[{"question": "No", "data_id": 1}])
    assert both == [("Where?", "a", None)]


def test_right_answers_of_a_batch_are_passed_over() -> None:
    rows = decoded(
        encoded(question=["Who?"], data_id=["q"], reward_model=[{"ground_truth": "him"}])
    )
    (question,) = questions(rows)
    assert question.answers is None


@pytest.mark.parametrize(
    "columns",
    [{"question": ["Who?"]}, {"data_id": ["q"]}, {"question": ["  "], "data_id": ["q"]},
     {"question": [7], "data_id": ["q"]}, {"question": ["x" * 20_001], "data_id": ["q"]}],
)  # fmt: skip
def test_a_row_that_asks_nothing_is_named(columns: Any) -> None:
    with pytest.raises(InputError, match="at row 0"):
        asked(**columns)


def test_numbers_and_yes_may_come_as_text() -> None:
    assert (number("3"), number(2)) == (3, 2)
    assert [said(word) for word in (True, "1", "TRUE", "yes", 1)] == [True] * 5
    assert [said(word) for word in (False, "0", "false", "no", "")] == [False] * 5
    for read, word in ((number, "two"), (said, "perhaps"), (said, 2)):
        with pytest.raises(InputError):
            read(word)  # type: ignore[operator]
