"""The rows of each published set, in files of its own schema, become the questions of its page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.datasets.written import WRITERS, picture

from mia.datasets.catalog import KNOWN, known
from mia.datasets.dataset import LeftOut, Row
from mia.datasets.files import Broken, rows
from mia.errors import InputError

DIRECTOR = [["A film", "director", "Ann"], ["Ann", "date of birth", "1900"]]
COMPARED = [["A film", "director", "Ann"], ["B film", "director", "Bo"],
            ["Ann", "date of birth", "1900"], ["Bo", "date of birth", "1901"]]  # fmt: skip
TRIPLES = [dict(zip(("fact", "relation", "entity"), triple, strict=True)) for triple in DIRECTOR]
COLUMNS = {"fact": ["a", "b"], "relation": ["director", "date of birth"], "entity": ["b", "c"]}


class Case(NamedTuple):
    """A row as it is published, in which kinds of files, and the question of it."""

    name: str
    kinds: str
    raw: dict[str, Any]
    row: Row | LeftOut


CASES = (
    Case("hotpotqa", "parquet json jsonl",
         {"id": "5a", "question": "Which?", "answer": "yes", "type": "comparison", "level": "hard",
          "supporting_facts": {"title": ["A"], "sent_id": [0]},
          "context": {"title": ["A"], "sentences": [["One.", "Two."]]}},
         Row(question="Which?", id="hotpotqa:5a", answers=("yes",), family="comparison")),
    Case("hotpotqa", "json",
         {"_id": "5a", "question": "Which?", "answer": "yes", "type": "bridge",
          "supporting_facts": [["A", 0]], "context": [["A", ["One."]]]},
         Row(question="Which?", id="hotpotqa:5a", answers=("yes",), family="bridge")),
    Case("hotpotqa", "parquet json", {"id": "5b", "question": "Hidden?", "answer": None},
         Row(question="Hidden?", id="hotpotqa:5b")),
    Case("2wikimultihopqa", "parquet json jsonl",
         {"_id": "w", "type": "compositional", "question": "When?", "answer": "1900",
          "evidences": DIRECTOR},
         Row(question="When?", id="2wikimultihopqa:w", answers=("1900",),
             family="compositional:director|date of birth")),
    Case("2wikimultihopqa", "parquet jsonl csv",
         {"id": "w", "type": "bridge_comparison", "question": "Who?", "answer": "Ann",
          "evidences": msgspec.json.encode(COMPARED).decode()},
         Row(question="Who?", id="2wikimultihopqa:w", answers=("Ann",),
             family="bridge_comparison:date of birth|director")),
    Case("2wikimultihopqa", "parquet json",
         {"id": "w", "type": "inference", "question": "When?", "answer": "1900",
          "evidences": TRIPLES},
         Row(question="When?", id="2wikimultihopqa:w", answers=("1900",),
             family="inference:director|date of birth")),
    Case("2wikimultihopqa", "parquet json",
         {"id": "w", "type": "compositional", "question": "When?", "answer": "1900",
          "evidences": COLUMNS},
         Row(question="When?", id="2wikimultihopqa:w", answers=("1900",),
             family="compositional:director|date of birth")),
    Case("2wikimultihopqa", "parquet json",
         {"_id": "w", "type": "inference", "question": "Hidden?", "answer": "", "evidences": []},
         Row(question="Hidden?", id="2wikimultihopqa:w", family="inference")),
    Case("musique", "parquet jsonl",
         {"id": "3hop1__1_2_3", "question": "Whose?", "answer": "NYC", "answerable": True,
          "answer_aliases": ["New York", "NYC", ""], "paragraphs": [{"idx": 0, "title": "A"}]},
         Row(question="Whose?", id="musique:3hop1__1_2_3", answers=("NYC", "New York"),
             family="3hop1")),
    Case("popqa", "parquet jsonl tsv",
         {"id": 42, "subj": "Ann", "prop": "occupation", "question": "What is Ann's job?",
          "possible_answers": '["politician", "pol\\u00edtica"]'},
         Row(question="What is Ann's job?", id="popqa:42", answers=("politician", "política"),
             family="occupation")),
    Case("bamboogle", "parquet jsonl csv", {"Question": "Who?", "Answer": "Ann"},
         Row(question="Who?", id="bamboogle:0", answers=("Ann",))),
    Case("frames", "parquet jsonl",
         {"Unnamed: 0": 7, "Prompt": "How many?", "Answer": "nine",
          "reasoning_types": "Numerical reasoning | Tabular reasoning", "wiki_links": "[...]"},
         Row(question="How many?", id="frames:7", answers=("nine",),
             family="Numerical reasoning | Tabular reasoning")),
    Case("frames", "tsv", {"": 7, "Prompt": "How many?", "Answer": "nine"},
         Row(question="How many?", id="frames:7", answers=("nine",))),
    Case("simpleqa", "parquet jsonl csv",
         {"metadata": "{'topic': 'Art', 'answer_type': 'Person', 'urls': ['a', 'b']}",
          "problem": "Who painted it?", "answer": "Bo"},
         Row(question="Who painted it?", id="simpleqa:0", answers=("Bo",), family="Art")),
    Case("strategyqa", "parquet json jsonl",
         {"qid": "9a", "term": "t", "question": "Could it?", "answer": False, "facts": "None."},
         Row(question="Could it?", id="strategyqa:9a", answers=("no",))),
    Case("strategyqa", "json", {"qid": "9b", "question": "Could it?", "answer": True},
         Row(question="Could it?", id="strategyqa:9b", answers=("yes",))),
    Case("gaia", "parquet jsonl",
         {"task_id": "c6", "Question": "How far?", "Level": 2, "Final answer": "17",
          "file_name": "", "Annotator Metadata": {"Steps": "1."}},
         Row(question="How far?", id="gaia:c6", answers=("17",), family="level 2")),
    Case("gaia", "parquet jsonl",
         {"task_id": "c7", "Question": "How far?", "Level": "1", "Final answer": "?",
          "file_name": None},
         Row(question="How far?", id="gaia:c7", family="level 1")),
    Case("gaia", "parquet jsonl",
         {"task_id": "c8", "Question": "What is in it?", "Level": 1, "Final answer": "x",
          "file_name": "c8.xlsx"},
         LeftOut(why="about a file")),
    Case("mmsearch", "parquet",
         {"data_id": "0_1", "prompt": [{"role": "user", "content": "<image>\nWho is it?"}],
          "images": [b"png"], "reward_model": {"ground_truth": "Ann", "style": "rule"},
          "data_source": "mmsearch", "modality": "image", "plan": "1.", "memories_context": "m",
          "memories_context_2": "m", "category": "news", "image_caption": ["A woman."],
          "extra_info": {"index": 0}},
         Row(question="Who is it?", id="0_1", answers=("Ann",), family="news", caption="A woman.",
             pictures=(b"png",))),
    Case("fvqa", "parquet",
         {"data_id": "fvqa_train_1", "prompt": [{"role": "user", "content": "Who?"}],
          "images": [{"bytes": b"png", "path": None}],
          "reward_model": {"ground_truth": "Ann", "candidate_answers": '["Anna", "Ann"]'}},
         Row(question="Who?", id="fvqa_train_1", answers=("Ann", "Anna"), pictures=(b"png",))),
    Case("fvqa", "parquet",
         {"data_id": "fvqa_train_2", "images": b"png",
          "prompt": [{"role": "system", "content": "Help."}, {"role": "user", "content": "Who?"}],
          "reward_model": {"ground_truth": ["Ann"], "candidate_answers": ["Anna"]}},
         Row(question="Who?", id="fvqa_train_2", answers=("Ann", "Anna"), pictures=(b"png",))),
    Case("infoseek", "json jsonl",
         {"ids": 3, "question": "<image>Who?", "answer": "Ann", "image_caption": "A woman.",
          "images": [base64.b64encode(b"png").decode(), "data:image/png;base64,cG5n",
                     "https://there.example/a.png"]},
         Row(question="Who?", id="3", answers=("Ann",), caption="A woman.",
             pictures=(b"png", "data:image/png;base64,cG5n", "https://there.example/a.png"))),
    Case("simplevqa", "parquet jsonl",
         {"data_id": "t", "question": "Who wrote it?", "answer": "Bo", "modality": "text"},
         Row(question="Who wrote it?", id="t", answers=("Bo",))),
)  # fmt: skip


def each_kind() -> Iterator[Any]:
    for case in CASES:
        for kind in case.kinds.split():
            yield pytest.param(case, kind, id=f"{case.name}-{case.row}-{kind}"[:60])


def test_every_set_has_a_case() -> None:
    assert {each.row for each in KNOWN} == {known(case.name).row for case in CASES}


@pytest.mark.parametrize(("case", "kind"), list(each_kind()))
def test_a_row_is_mapped_alike_from_every_kind_of_file(
    case: Case, kind: str, tmp_path: Path
) -> None:
    file = WRITERS[kind](tmp_path / f"rows.{kind}", [case.raw])
    (raw,) = rows([file])
    assert not isinstance(raw, Broken)
    assert known(case.name).row(raw, 1) == case.row


@pytest.mark.parametrize(
    ("name", "raw", "reason"),
    [
        ("hotpotqa", {"id": "5a", "answer": "x"}, "question"),
        ("hotpotqa", {"question": "Who?", "answer": "x"}, "neither id nor _id"),
        ("hotpotqa", {"id": "5a", "question": 5}, r"\$\.question"),
        ("2wikimultihopqa", {"id": "w", "type": "t", "question": "q", "evidences": "x|y"},
         "neither JSON nor"),
        ("2wikimultihopqa", {"id": "w", "type": "t", "question": "q", "evidences": [["a"]]},
         "no relation"),
        ("2wikimultihopqa", {"id": "w", "type": "t", "question": "q", "evidences": "[1]"},
         "evidences"),
        ("musique", {"id": "2hop__1_2", "question": "q", "answer": "x", "answerable": False},
         "not answerable"),
        ("popqa", {"id": 1, "question": "q", "possible_answers": "politician"}, "neither JSON nor"),
        ("popqa", {"id": 1, "question": "q", "possible_answers": '{"a": 1}'}, "possible_answers"),
        ("bamboogle", {"question": "q", "answer": "x"}, "Question"),
        ("frames", {"Prompt": "q"}, "Answer"),
        ("simpleqa", {"problem": "q", "answer": "x", "metadata": "{'topic': open}"},
         "neither JSON nor"),
        ("simpleqa", {"problem": "q", "answer": "x", "metadata": "[1]"}, "metadata"),
        ("strategyqa", {"qid": "1", "question": "q", "answer": "maybe"}, r"\$\.answer"),
        ("gaia", {"task_id": "1", "Question": "q"}, "Level"),
        ("fvqa", {"prompt": [{"content": "q"}]}, "neither data_id nor ids"),
        ("fvqa", {"data_id": "1"}, "neither question nor a prompt"),
        ("fvqa", {"data_id": "1", "question": "q", "images": ["no base64"]}, "in base64"),
        ("fvqa", {"data_id": "1", "question": "q", "images": [{"path": None}]}, "neither bytes"),
        ("fvqa", {"data_id": "1", "question": "q", "images": [7]}, "images"),
        ("fvqa", {"data_id": "1", "question": "q",
                  "reward_model": {"candidate_answers": "[1, 2]"}}, "candidate_answers"),
    ],
)  # fmt: skip
def test_a_row_of_another_schema_is_refused_with_its_column(
    name: str, raw: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        known(name).row(raw, 1)


def test_the_pictures_of_parquet_are_the_bytes_that_went_in(tmp_path: Path) -> None:
    raw = picture(200)
    given = {"data_id": "1", "question": "Who?", "images": [{"bytes": raw, "path": "a.png"}]}
    (read,) = rows([WRITERS["parquet"](tmp_path / "a.parquet", [given])])
    assert not isinstance(read, Broken)
    mapped = known("fvqa").row(read, 1)
    assert isinstance(mapped, Row) and mapped.pictures == (raw,)
