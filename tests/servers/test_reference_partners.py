"""What a learner says to an agent and a reward service that are not MIA's, and makes of their
answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from tests.servers.serving import Serving

from mia.errors import ModelError
from mia.servers.reference_partners import Partners, Worth
from mia.training.rewards import Rollout, Said
from mia.types import Episode, Note, Plan, Question, Reflection, Trajectory, Turn

ASKED = Question(text="Which town?", id="q1", caption="a map")
RUN = [
    {"role": "assistant", "content": "<think>I look.</think><answer>Padua</answer>"},
]
AGAIN = [
    *RUN,
    {"role": "user", "content": "The revised plan: 2. Look."},
    {"role": "assistant", "content": "<answer>Rovigo</answer>"},
]
ANSWERS: dict[str, Any] = {
    "/memory": {"prompt": "Plan it.", "indices": [3, 4]},
    "/plan": {"prompt": "?", "trace": "t", "history_messages": RUN},
    "/replan": {"prompt": "?", "trace": "t", "history_messages": AGAIN},
    "/compute_gt_reward": {"score": 0.8, "judgement": "correct", "data_id": "q1"},
    "/memory_bank_save": {"status": "success"},
    "/batch_evaluate": {"status": "success", "processed_count": 1, "message": ""},
    "/consolidate_memories": {"status": "error", "message": "the manager is down"},
}


class Other:
    """An agent and a reward service in one, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.keys: list[str | None] = []


@asynccontextmanager
async def partners(**changed: Any) -> AsyncGenerator[tuple[Partners, Other]]:
    other, answers = Other(), ANSWERS | {f"/{route}": said for route, said in changed.items()}
    api = FastAPI()

    @api.post("/{route}")
    async def post(route: str, request: Request) -> Any:
        other.asked.append((f"/{route}", await request.json()))
        other.keys.append(request.headers.get("authorization"))
        said = answers.get(f"/{route}")
        return Response("<h1>Internal Server Error</h1>", 500) if said is None else said

    with Serving(api) as server:
        both = Partners(server.url, server.url + "/", token="secret")
        try:
            yield both, other
        finally:
            await both.aclose()


def judged(*replies: tuple[Any, str], **changed: Any) -> Rollout:
    """A rollout of one plan that was found wanting, and another."""
    first = Trajectory(turns=(Turn(answer="Padua"),), outcome="answered")
    turns = (*first.turns, Turn(answer="Rovigo"))
    told: dict[str, Any] = {
        "id": "e1", "question": ASKED, "plan": Plan(text="1. Search."), "trajectory": first,
        "reflection": Reflection(goal_met=False), "replan": Plan(text="2. Look."),
        "retrajectory": Trajectory(turns=turns, outcome="answered"),
    }  # fmt: skip
    said = tuple(Said(stage=stage, text=text) for stage, text in replies)
    return Rollout(episode=Episode(**told | changed), replies=said)


async def test_a_prompt_in_words_is_a_note() -> None:
    async with partners() as (both, other):
        found = await both.recall(ASKED)
    assert found.recollection.notes == (Note(text="Plan it."),) and found.indices == (3, 4)
    about = {"data_id": "q1", "question": "Which town?", "image_caption": "a map"}
    assert other.asked == [("/memory", about)] and other.keys == ["Bearer secret"]


async def test_another_plan_goes_on_with_the_run_and_the_first_plan() -> None:
    async with partners() as (both, other):
        executor = both.executor()
        first = await executor.run(ASKED, Plan(text="1. Search."))
        second = await executor.run(ASKED, Plan(text="2. Look."), first.turns)
    (_, plan), (route, replan) = other.asked
    assert plan["plan"] == "1. Search." and first.answer == "Padua"
    assert route == "/replan" and (replan["plan"], replan["replan"]) == ("1. Search.", "2. Look.")
    assert "<answer>Padua</answer>" in replan["messages"][0]["content"]
    assert second.answer == "Rovigo" and second.turns[: len(first.turns)] == first.turns


async def test_an_agent_that_fails_fails_the_run() -> None:
    async with partners(plan=None) as (both, _):
        run = await both.executor().run(ASKED, Plan(text="1. Search."))
        assert run.failed and "the agent" in run.detail
        assert await both.worth(judged(trajectory=run, retrajectory=None, replan=None)) is None


async def test_the_reward_service_is_told_the_whole_conversation() -> None:
    plan = "<think>a</think>1. Search."
    replies = [("plan", plan), ("reflection", "yes"), ("replan", "2. Look.")]
    async with partners() as (both, other):
        worth = await both.worth(judged(*replies))
        await both.worth(judged(replies[0], retrajectory=None, replan=None))
    assert worth == Worth(score=0.8, judgement="correct")
    messages = other.asked[0][1]["extra_info"]["messages"]
    assert [messages[0], messages[2], messages[4]] == [text for _, text in replies]
    assert "Padua" in messages[1] and "Rovigo" in messages[5] and "Padua" not in messages[5]
    short = other.asked[1][1]["extra_info"]["messages"]
    assert len(short) == 3 and short[2] == "yes"  # by a planner that reflects by code


@pytest.mark.parametrize("said", [None, {"score": 0.0, "judgement": "incorrect", "error": "x"}])
async def test_what_nobody_judged_is_worth_nothing_known(said: Any) -> None:
    async with partners(compute_gt_reward=said) as (both, _):
        assert await both.worth(judged()) is None


async def test_what_was_no_plan_is_worth_nothing_and_nobody_is_asked() -> None:
    async with partners() as (both, other):
        spoke = judged(("plan", "uh"), plan=None, replan=None, retrajectory=None, reflection=None)
        silent = judged(plan=None, replan=None, retrajectory=None, reflection=None)
        assert await both.worth(spoke) == Worth(score=0.0, judgement="incorrect")
        assert await both.worth(silent) is None
    assert other.asked == []


async def test_the_bank_is_told_both_runs_as_one_chat() -> None:
    async with partners() as (both, other):
        await both.bank(judged().episode, Worth(score=0.8, judgement="correct"), [3])
    ((_, saved),) = other.asked
    assert (saved["plan"], saved["judgement"]) == ("1. Search.", "correct")
    assert saved["used_memory_indices"] == [3]
    roles = [said["role"] for said in saved["temp_messages"]]
    assert roles == ["assistant", "user", "assistant"]
    assert "2. Look." in saved["temp_messages"][1]["content"]


async def test_a_memory_that_cannot_learn_now_is_told_and_stops_nobody() -> None:
    async with partners() as (both, other):
        faults = await both.learn()
        with pytest.raises(ModelError, match="banked"):
            async with partners(memory_bank_save=None) as (down, _):
                await down.bank(judged().episode, Worth(score=0.0, judgement="incorrect"), [])
    routes = [route for route, _ in other.asked]
    assert routes == ["/batch_evaluate", "/consolidate_memories", "/save_memory"]
    assert len(faults) == 2 and "the manager is down" in faults[0] and "500" in faults[1]
