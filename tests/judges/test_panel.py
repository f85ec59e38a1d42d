"""Laws of the panel."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.errors import JudgeError
from mia.judges.panel import ASPECTS, Panel
from mia.model import Reply
from mia.testing import ScriptedModel
from mia.types import Observation, Plan, Question, Trajectory, Turn, Usage, Verdict, VerdictValue

QUESTION = Question(id="q", text="Where was he born?")
PLAN = Plan(text="")
RUN = Trajectory(
    turns=(
        Turn(thought="look", observation=Observation(text="He was <b>born</b>  in Rome.")),
        Turn(answer="Rome"),
    ),
    outcome="answered",
)


def review(score: Any = 8, reason: str = "fine", evidence: tuple[str, ...] = ()) -> str:
    return json.dumps({"score": score, "reason": reason, "evidence": evidence})


def ruling(verdict: str = "correct", confidence: Any = 0.9) -> str:
    return json.dumps({"verdict": verdict, "confidence": confidence, "reason": "r"})


async def judged(*replies: str, done: Trajectory = RUN) -> tuple[Verdict, ScriptedModel]:
    model = ScriptedModel(replies)
    return await Panel(model).judge(QUESTION, PLAN, done), model


@pytest.mark.parametrize("value", ["correct", "incorrect"])
async def test_the_chair_rules(value: str) -> None:
    verdict, model = await judged(review(1), review(2), review(10), ruling(value, 0.75))
    assert (verdict.value.value, verdict.confidence, verdict.judge) == (value, 0.75, "panel")
    assert [r.score for r in verdict.reviews] == [1, 2, 10]
    assert [r.aspect for r in verdict.reviews] == [aspect.name for aspect in ASPECTS]
    assert verdict.usage.calls == 4 and model.unused == []


async def test_the_third_reviewer_sees_only_question_and_answer() -> None:
    _, model = await judged(review(), review(), review(), ruling())
    seen = ["born\u2039/b>" in messages[-1].content for messages in model.asked]
    assert seen == [True, True, False, True]
    assert "weight 0.5" in model.asked[3][-1].content


async def test_weights_add_up_to_one() -> None:
    assert sum(aspect.weight for aspect in ASPECTS) == pytest.approx(1.0)


async def test_quotes_that_nobody_said_are_dropped() -> None:
    quotes = (
        "he WAS \u2039b>born\u2039/b> in rome",
        "he was <b>born</b> in Rome.",
        "born in Paris",
        " ",
    )
    verdict, _ = await judged(review(evidence=quotes), review(), review(), ruling())
    assert verdict.reviews[0].evidence == quotes[:2]


async def test_a_long_reason_is_cut() -> None:
    verdict, _ = await judged(review(reason="so " * 99), review(), review(), ruling())
    assert len(verdict.reviews[0].reason.removesuffix("[cut]").split()) == 50


NOT_A_RULING = [
    "FINAL VERDICT: B", "B (the answer is not supported)", "The answer is incorrect: B",
    "yesterday", "", "A", "correct", '"correct"', '{"verdict": "correct"}',
    ruling("CORRECT"), ruling("A"), ruling(confidence=1.5), ruling(confidence="high"),
    f"My ruling: {ruling()}", f"<think>{ruling()}</think>", f"<think>{ruling()}",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_A_RULING)
async def test_a_ruling_that_cannot_be_read_is_asked_for_again_and_then_raised(text: str) -> None:
    three = [review()] * 3
    verdict, _ = await judged(*three, text, ruling("incorrect"))
    assert (verdict.value, verdict.usage.calls) == (VerdictValue.INCORRECT, 5)
    with pytest.raises(JudgeError):
        await judged(*three, text, text)


@settings(deadline=None)
@given(st.text())
async def test_no_prose_is_read_as_a_ruling(text: str) -> None:
    with pytest.raises(JudgeError):
        await judged(*[review()] * 3, text, text)


@pytest.mark.parametrize("text", ["8", review(0), review(11), review("8"), review(True), "good"])
async def test_a_review_that_cannot_be_read_twice_leaves_no_panel(text: str) -> None:
    verdict, _ = await judged(text, review(), review(), review(), ruling())
    assert verdict.usage.calls == 5
    with pytest.raises(JudgeError):
        await judged(text, text, review(), review())


async def test_an_abstention_is_incorrect_and_a_failure_unknown_and_neither_is_discussed() -> None:
    abstained, model = await judged(done=Trajectory())
    assert (abstained.value, model.asked) == (VerdictValue.INCORRECT, [])
    failed, model = await judged(done=Trajectory(outcome="failed:model"))
    assert (failed.value, model.asked) == (VerdictValue.UNKNOWN, [])


class Together:
    """A model whose reviewers wait for each other."""

    def __init__(self) -> None:
        self._waiting = asyncio.Barrier(3)

    async def reply(self, messages: Any, **asked: Any) -> Reply:
        if asked["shape"].name == "ruling":
            return Reply(text=ruling(), usage=Usage(calls=1))
        await self._waiting.wait()
        return Reply(text=review(), usage=Usage(calls=1))


async def test_reviewers_work_side_by_side() -> None:
    async with asyncio.timeout(5):
        verdict = await Panel(Together()).judge(QUESTION, PLAN, RUN)
    assert verdict.value == VerdictValue.CORRECT
