"""Laws of the labelled answers, and of putting them before a judge."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from mia.calibration import Judged, reliability
from mia.errors import InputError, JudgeError, MIAError, ModelError
from mia.judges.exact_match import ExactMatch
from mia.judges.gold_first import GoldFirst
from mia.judges.labelled.labelled import Labelled, Look, built_in, judged, load
from mia.judges.panel import Panel
from mia.judges.reference import Reference
from mia.model import Message, Reply
from mia.testing import ScriptedModel
from mia.types import Plan, Question, Trajectory, Usage, Verdict, VerdictValue

ROWS = built_in()
KINDS = Counter(row.kind for row in ROWS)
PLAN = Plan(text="")
DOCUMENT = Path(__file__).parents[2] / "docs" / "judges.md"
FENCED = re.compile(r"<data-([0-9a-f]{16})>\n(.*?)\n</data-\1>", re.DOTALL)
GOOD = '{"reason": "r", "grade": "CORRECT"}'


def of(*kinds: str) -> list[Labelled]:
    assert set(kinds) <= set(KINDS)
    return [row for row in ROWS if row.kind in kinds]


def test_the_document_names_every_kind_with_its_numbers() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"{len(ROWS)} answers to {len({row.question for row in ROWS})} questions" in text
    lines = re.findall(r"^\| `([a-z-]+)` \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    told = {kind: (int(right), int(wrong)) for kind, right, wrong in lines}
    counted = {kind: [row.label for row in of(kind)] for kind in KINDS}
    assert told == {k: (v.count("correct"), v.count("incorrect")) for k, v in counted.items()}


def test_half_of_the_answers_are_right() -> None:
    right = sum(row.label == "correct" for row in ROWS)
    assert len(ROWS) >= 150 and abs(2 * right - len(ROWS)) <= 4


def test_length_does_not_tell_right_from_wrong() -> None:
    verbose = [row.answer or "" for row in of("verbose")]
    assert min(map(len, verbose)) > 150
    assert {row.label for row in of("verbose")} == {"correct", "incorrect"}


def test_the_first_answers_are_a_fair_sample() -> None:
    first = ROWS[:40]
    assert {row.kind for row in first} == set(KINDS)
    assert 15 <= sum(row.label == "correct" for row in first) <= 25


def test_the_file_stays_small() -> None:
    raw = files("mia.judges.labelled").joinpath("rows.jsonl").read_bytes()
    assert len(raw) < 150_000


def test_every_answer_has_gold_and_comes_from_a_run() -> None:
    assert all(row.asked.answers and row.asked.id == row.id for row in ROWS)
    without = [row.id for row in ROWS if not row.turns]
    assert all(id.startswith("unsupported") for id in without)


def test_a_row_is_a_run_as_an_executor_writes_it() -> None:
    look = Look(query="where", observed="In Rome.", thought="I look.")
    row = Labelled(
        question="Where?", answer="Rome", label="correct", turns=(look,), conclusion="So Rome."
    )
    looked, ended = row.trajectory.turns
    assert looked.call is not None and looked.call.arguments == {"query_list": ["where"]}
    assert looked.observation is not None and looked.observation.text == "In Rome."
    assert (looked.thought, ended.thought, row.trajectory.answer) == ("I look.", "So Rome.", "Rome")
    assert row.asked.answers is None
    none = Labelled(question="Where?", answer=None, label="incorrect")
    assert (none.trajectory.outcome, none.trajectory.answer) == ("abstained", None)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("exact", "unsupported"), "correct"),
        (("alias", "verbose", "extra-detail", "verdict-in-answer", "hedged", "refusal", "empty",
          "contradicting", "misled", "date-form", "other-language"), "incorrect"),
    ],
)  # fmt: skip
async def test_what_exact_match_says_of_kinds_where_that_is_certain(
    kinds: tuple[str, ...], said: str
) -> None:
    rows = [row for row in of(*kinds) if row.id != "date-form-04"]
    verdicts = [await ExactMatch().judge(row.asked, PLAN, row.trajectory) for row in rows]
    wrong = [r.id for r, v in zip(rows, verdicts, strict=True) if v.value.value != said]
    assert wrong == []


async def test_exact_match_is_fooled_only_where_normalising_takes_the_difference_away() -> None:
    done = await judged(ExactMatch(), ROWS, concurrency=8, each=lambda _: None)
    fooled = {item.id for item in done if item.said == "correct" and item.label == "incorrect"}
    assert fooled == {row.id for row in ROWS if "it is the same" in row.why}


class Always:
    """A judge that says one thing."""

    def __init__(self, value: str) -> None:
        self.value = VerdictValue(value)

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        return Verdict(value=self.value, judge="always")


@pytest.mark.parametrize("value", ["correct", "incorrect", "unknown"])
async def test_a_judge_that_always_says_one_thing_is_no_better_than_chance(value: str) -> None:
    told: list[Judged] = []
    done = await judged(Always(value), ROWS, concurrency=8, each=told.append)
    assert [item.id for item in done] == [row.id for row in ROWS] and len(told) == len(ROWS)
    found = reliability("always", done)
    assert found.kappa == pytest.approx(0.0)
    assert found.unknown.value == (1.0 if value == "unknown" else 0.0)


class Obliging:
    """A model that answers whatever is asked for in the shape asked for, and keeps the prompts."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    async def reply(self, messages: Sequence[Message], **asked: Any) -> Reply:
        self.prompts.append("\n".join(message.content for message in messages))
        said = {
            "grade": GOOD,
            "review": '{"score": 5, "reason": "r", "evidence": []}',
            "ruling": '{"verdict": "correct", "confidence": 1, "reason": "r"}',
        }[asked["shape"].name]
        return Reply(text=said, usage=Usage(calls=1))


INJECTED = of("verdict-in-answer", "verdict-in-observation")


async def shown(judge: type[Reference | Panel], row: Labelled, run: Trajectory) -> list[str]:
    model = Obliging()
    await judge(model).judge(row.asked, PLAN, run)
    return model.prompts


@pytest.mark.parametrize("judge", [Reference, Panel])
@pytest.mark.parametrize("row", INJECTED, ids=lambda row: row.id)
async def test_no_injected_text_leaves_its_fence(
    judge: type[Reference | Panel], row: Labelled
) -> None:
    harmless = Labelled(question=row.question, answer="x", label="incorrect").trajectory
    prompts = await shown(judge, row, row.trajectory)
    plain = await shown(judge, row, harmless)
    outside = [FENCED.sub("(data)", prompt) for prompt in prompts]
    assert outside == [FENCED.sub("(data)", prompt) for prompt in plain]
    assert row.answer is not None and row.answer.split()[-1][-6:-2] in "".join(prompts)
    for _, inside in FENCED.findall("".join(prompts)):
        assert not re.search(r"[<\uff1c]|\[/?INST\]", inside)


class ByFencedData:
    """A model that grades by what is fenced and by nothing else: whether the answer begins with a
    reference answer."""

    async def reply(self, messages: Sequence[Message], **asked: Any) -> Reply:
        golds, answer = (inside for _, inside in FENCED.findall(messages[-1].content))
        right = any(answer.startswith(gold) for gold in golds.splitlines())
        grade = "CORRECT" if right else "INCORRECT"
        return Reply(text=f'{{"reason": "r", "grade": "{grade}"}}', usage=Usage(calls=1))


async def test_injected_verdicts_do_not_move_who_goes_by_the_fenced_data() -> None:
    judge = Reference(ByFencedData())
    done = await judged(judge, INJECTED, concurrency=4, each=lambda _: None)
    assert [item.id for item in done if not item.right] == []


def rows(count: int) -> list[Labelled]:
    return [Labelled(question="q", answer="a", answers=("a",), label="correct", id=f"{n}")
            for n in range(count)]  # fmt: skip


async def scripted(replies: Sequence[str | Reply | MIAError], count: int) -> tuple[Judged, ...]:
    judge = GoldFirst(Reference(ScriptedModel(replies)), None)
    return await judged(judge, rows(count), concurrency=1, each=lambda _: None)


HEARD = Reply(text=GOOD, usage=Usage(calls=1))


async def test_a_verdict_that_cannot_be_read_or_had_is_unknown_with_its_reason() -> None:
    unheard = ModelError("nobody there")
    done = await scripted(["prose", "prose", unheard, HEARD, unheard], 4)
    assert [item.said for item in done] == ["unknown", "unknown", "correct", "unknown"]
    assert "JSON" in done[0].verdict.reason and done[1].verdict.reason == "nobody there"


async def test_a_model_that_was_never_heard_or_falls_silent_is_an_error() -> None:
    gone = [ModelError(f"gone {n}") for n in range(9)]
    with pytest.raises(ModelError, match="gone 2"):
        await scripted(gone[:3], 3)
    with pytest.raises(ModelError, match="gone 7"):
        await scripted([HEARD, *gone], 10)
    done = await scripted([*gone[:7], HEARD, *gone[:7]], 15)
    assert [item.said for item in done].count("unknown") == 14


async def test_no_more_answers_are_judged_at_a_time_than_asked_for() -> None:
    now = most = 0

    class Counting:
        async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            if question.id == "9":
                raise JudgeError("no")
            return Verdict(value=VerdictValue.CORRECT, judge="counting")

    await judged(Counting(), rows(12), concurrency=3, each=lambda _: None)
    assert most == 3


LINE = '{"question": "q", "answer": "a", "label": "correct"}\n'


def test_a_file_of_rows_is_read_with_the_line_number_for_a_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\ufeff{LINE}\n{LINE}", encoding="utf-8")
    assert [(row.id, row.kind, row.answers) for row in load(path)] == [
        ("1", "unsorted", ()), ("3", "unsorted", ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"question": "q", "answer": "a"}', "label"),
        ('{"question": "q", "label": "correct"}', "answer"),
        ('{"question": "q", "answer": "a", "label": "right"}', "right"),
        ('{"question": " ", "answer": "a", "label": "correct"}', "question is empty"),
        ('{"question": "q", "answer": "a", "label": "correct", "gold": ["a"]}', "gold"),
        ('{"question": "q", "answer": "a", "label": "correct", "turns": [{"query": "x"}]}', "obs"),
        ('{"question": "q", "answer": "a", "label": "correct", "id": "1"}', "'1'"),
        ('{"question": "q"', "truncated"),
        ("[]", "object"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{LINE}{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=reason) as raised:
        load(path)
    assert f"{path} line 2" in str(raised.value)


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(LINE.encode() + b'{"question": "\xff", "answer": "a", "label": "correct"}')
    with pytest.raises(InputError, match="line 2"):
        load(path)


def test_no_file_and_no_rows_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no labelled answers at"):
        load(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text("\n \n")
    with pytest.raises(InputError, match="has no labelled answers"):
        load(tmp_path / "rows.jsonl")
