"""The published reward service over real sockets."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from tests.servers.serving import Serving

from mia.errors import ModelError
from mia.judge import Judge, unknown
from mia.judges.exact_match import ExactMatch
from mia.judges.panel import Panel
from mia.judges.reference import Reference
from mia.servers.reference_golds import Golds
from mia.servers.reference_reward import Parts, answer_in, app
from mia.testing import ScriptedModel
from mia.types import Plan, Question, Trajectory, Verdict

FIELDS = {
    "score", "judgement", "format_score", "decision_score", "is_answer1_correct",
    "is_answer2_correct", "data_source", "data_id",
}  # fmt: skip


class Client:
    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, route: str, body: Any) -> Any:
        raw = json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self._url}{route}", raw, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def health(self) -> Any:
        with urllib.request.urlopen(f"{self._url}/health", timeout=20) as answer:
            return json.load(answer)

    def worth(self, *messages: Any, **more: Any) -> Any:
        """The reward of a conversation about `q1`, whose right answer is Rovigo."""
        extra = {"data_id": "q1", "question": "Which town?", "messages": list(messages)}
        body = {"data_source": "mia", "solution_str": "", "extra_info": extra}
        return self.post("/compute_gt_reward", body | more)

    def refused(self, route: str, body: Any) -> tuple[int, str]:
        with pytest.raises(HTTPError) as refusal:
            self.post(route, body)
        with refusal.value as answer:
            return answer.code, json.load(answer)["error"]


@contextmanager
def serving(path: Path | None = None, judge: Judge | None = None) -> Generator[Client]:
    golds = Golds(path)
    try:
        with Serving(app(Parts(judge=judge or ExactMatch(), golds=golds))) as server:
            client = Client(server.url)
            client.post("/register_gts", {"data_id": "q1", "ground_truth": ["Rovigo", "ignored"]})
            yield client
    finally:
        golds.close()


def ran(answer: str) -> str:
    """A run as the agent gives it to the planner."""
    return f"Round 1\n<think>I look.</think>\n<answer>{answer}</answer>\nSay yes or no."


PLAN, AGAIN = "<think>a</think>1. Search.", "<think>b</think>2. Search again."
RIGHT, WRONG = ran("Rovigo"), ran("Padua")


@pytest.mark.parametrize(
    ("messages", "score", "form", "decision", "first", "second"),
    [
        ((PLAN, RIGHT, "no"), 1.0, 1.0, 1.0, True, True),
        ((PLAN, RIGHT, "yes"), 0.95, 1.0, 0.0, True, True),
        ((PLAN, WRONG, "no"), 0.05, 1.0, 0.0, False, False),
        ((PLAN, RIGHT, "nothing to add"), 0.9, 0.0, 0.0, True, True),
        ((PLAN, WRONG, "yesterday"), 0.0, 0.0, 0.0, False, False),
        ((PLAN, RIGHT, "<think>open no"), 0.9, 0.0, 0.0, True, True),
        ((PLAN, WRONG, "<think>x</think>Yes", "?", AGAIN, RIGHT), 0.8, 1.0, 1.0, False, True),
        ((PLAN, RIGHT, "yes", "?", AGAIN, WRONG), 0.25, 1.0, 0.0, True, False),
        ((PLAN, RIGHT, "yes", "?", "<think>open", RIGHT), 0.9, 0.0, 0.0, True, True),
        ((PLAN, RIGHT, "yes", "?", AGAIN, ran("")), 0.25, 1.0, 0.0, True, False),
    ],
)
def test_the_reward_is_the_published_formula(
    messages: tuple[str, ...],
    score: float,
    form: float,
    decision: float,
    first: bool,
    second: bool,
) -> None:
    with serving() as client:
        told = client.worth(*messages)
        dicts = client.worth(*({"role": "user", "content": text} for text in messages))
    assert set(told) == FIELDS and told == dicts
    assert told["score"] == pytest.approx(score)
    assert (told["format_score"], told["decision_score"]) == (form, decision)
    assert (told["is_answer1_correct"], told["is_answer2_correct"]) == (first, second)
    assert told["judgement"] == ("correct" if second else "incorrect")
    assert (told["data_source"], told["data_id"]) == ("mia", "q1")


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 7])
def test_a_conversation_that_was_broken_off_is_worth_nothing(count: int) -> None:
    with serving() as client:
        told = client.worth(*[RIGHT] * count)
    assert told["score"] == 0.0 and told["judgement"] == "incorrect" and set(told) == FIELDS


def test_fields_beside_the_extra_ones_count_where_those_are_missing() -> None:
    with serving() as client:
        beside = client.post(
            "/compute_gt_reward",
            {"data_id": "q1", "question": "Which?", "messages": [PLAN, RIGHT, "no"],
             "extra_info": {"level": 3}},
        )  # fmt: skip
        first = client.worth(PLAN, RIGHT, "no", data_id="unknown", messages=[])
    assert beside["score"] == first["score"] == 1.0
    assert first["data_id"] == "q1" and beside["data_source"] is None


def test_what_cannot_be_scored_says_why_in_the_published_words() -> None:
    with serving() as client:
        client.post("/register_gts", {"entries": [{"data_id": "empty", "ground_truth": []}]})
        missing = client.post("/compute_gt_reward", {"extra_info": {"messages": []}})
        unknown = client.post("/compute_gt_reward", {"data_id": "q2"})
        empty = client.post("/compute_gt_reward", {"data_id": "empty"})
    assert missing["error"] == "missing_data_id"
    assert unknown["error"] == empty["error"] == "unknown_data_id_or_empty_gt"
    for told in (missing, unknown, empty):
        assert (told["score"], told["judgement"]) == (0, "incorrect")
        assert set(told) == FIELDS | {"error"}


def test_right_answers_outlive_a_restart_and_the_newest_counts(tmp_path: Path) -> None:
    path = tmp_path / "golds.db"
    with serving(path) as client:
        entries = [{"data_id": 7, "ground_truth": 42}, {"data_id": "q3", "ground_truth": "Padua"}]
        told = client.post("/register_gts", {"entries": entries})
        assert told == {"status": "success", "registered": 2, "total": 3}
    with serving(path) as client:
        assert client.health() == {"status": "ok", "registered_gts": 3}
        numbered = client.worth(PLAN, ran("42"), "no", extra_info={
            "data_id": 7, "messages": [PLAN, ran("42"), "no"]})  # fmt: skip
        client.post("/register_gts", {"data_id": "q1", "ground_truth": "Padua"})
        assert client.worth(PLAN, WRONG, "no")["score"] == 1.0
    assert numbered["score"] == 1.0


def test_the_oldest_answers_go_when_there_are_too_many() -> None:
    golds = Golds(None, most=2)
    assert golds.register([("a", "1"), ("b", "2")]) == 2
    golds.register([("a", "3")])
    assert golds.register([("c", "4")]) == 2
    assert [golds.of(id) for id in "abc"] == ["3", None, "4"]
    golds.close()


@pytest.mark.parametrize(
    "body", [{}, [], {"entries": [{"data_id": "a"}]}, {"entries": [{"ground_truth": "a"}]},
             {"entries": [{"data_id": "a", "ground_truth": {"x": 1}}]}, {"ground_truth": "a"}],
)  # fmt: skip
def test_what_registers_nothing_is_refused(body: Any) -> None:
    with serving() as client:
        assert client.refused("/register_gts", body)[0] == 400
        assert client.health()["registered_gts"] == 1


def test_a_judge_of_a_model_sees_the_registered_answer() -> None:
    model = ScriptedModel(['{"reason": "the same town", "grade": "CORRECT"}'])
    with serving(judge=Reference(model)) as client:
        assert client.worth(PLAN, ran("Rovigo, in Italy"), "no")["score"] == 1.0
    (prompt,) = (asked[-1].content for asked in model.asked)
    assert "Rovigo\n" in prompt and "ignored" not in prompt


def test_a_judge_that_cannot_tell_is_an_error_and_no_zero() -> None:
    down = ScriptedModel([ModelError("the judge is down")])
    with serving(judge=Reference(down)) as client:
        status, reason = client.refused("/compute_gt_reward", body(RIGHT))
        assert status == 502 and "the judge is down" in reason
    babbles = ScriptedModel(["perhaps"] * 8)
    with serving(judge=Panel(babbles)) as client:
        assert client.refused("/compute_gt_reward", body(RIGHT))[0] == 502


class Undecided:
    """Never knows."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        return unknown("undecided", "it depends")


def test_a_judge_that_does_not_know_is_an_error_too() -> None:
    with serving(judge=Undecided()) as client:
        status, reason = client.refused("/compute_gt_reward", body(RIGHT))
    assert status == 502 and "it depends" in reason


def test_an_executor_that_was_down_is_not_held_against_the_planner() -> None:
    with serving() as client:
        status, reason = client.refused("/compute_gt_reward", body("vllm server error!!!"))
    assert status == 502 and "executor" in reason


def body(trace: str) -> dict[str, Any]:
    return {"data_id": "q1", "messages": [PLAN, trace, "no"]}


@pytest.mark.parametrize(
    ("trace", "answer"),
    [
        ("<think>a</think><answer>no</answer><think>b</think>\n<answer> Rovigo\n town </answer>",
         "Rovigo town"),
        ("<think>a</think> <tool_call> assistant\nRovigo", "Rovigo"),
        ("<think>a</think>\nRovigo", "Rovigo"),
        ("Rovigo", "Rovigo"),
        ("it was <think>Rovigo", "Rovigo"),
        ("", ""),
    ],
)  # fmt: skip
def test_an_answer_is_found_in_the_published_order(trace: str, answer: str) -> None:
    assert answer_in(trace) == answer
