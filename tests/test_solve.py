"""The way of one question: what happens in which order, and what a failure leaves behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mia.captioners.none import Blind
from mia.errors import JudgeError, MIAError, ModelError, StoreError
from mia.executor import Watch, unwatched
from mia.memories.workflow.memory import WorkflowMemory
from mia.memories.workflow.sqlite import SqliteStore
from mia.memory import Memory
from mia.solve import Record, Team, solve
from mia.testing import MemoryRecord, ToyEmbedder, ToyMemory
from mia.types import (
    Episode,
    Noun,
    Plan,
    Question,
    Recollection,
    Reflection,
    Remembered,
    Trajectory,
    Turn,
    Verdict,
    VerdictValue,
)

TOWN = Question(text="Which town?", id="town", answers=("Rovigo",))
RIGHT = Verdict(value=VerdictValue.CORRECT, judge="crew")
FIRST, SECOND = Plan(text="look it up"), Plan(text="look elsewhere")


def answered(answer: str) -> Trajectory:
    return Trajectory(turns=(Turn(answer=answer),), outcome="answered")


class Crew:
    """All parts of a team in one, which says what it does; `fails` raises instead."""

    def __init__(
        self,
        runs: tuple[Trajectory, ...] = (answered("Rovigo"),),
        goal_met: bool = True,
        fails: dict[str, Exception] | None = None,
    ) -> None:
        self.said: list[str] = []
        self._runs = list(runs)
        self._goal_met = goal_met
        self._fails = fails or {}

    def do(self, what: str) -> None:
        self.said.append(what)
        if what in self._fails:
            raise self._fails[what]

    def watch(self, noun: Noun) -> None:
        self.said.append(f"shown {type(noun).__name__}")

    async def recall(self, question: Question) -> Recollection:
        self.do("recall")
        return Recollection()

    async def plan(self, question: Question, recollection: Recollection) -> Plan:
        self.do("plan")
        return FIRST

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        self.do("run on" if so_far else "run")
        return self._runs.pop(0)

    async def reflect(self, question: Question, plan: Plan, trajectory: Trajectory) -> Reflection:
        self.do("reflect")
        return Reflection(goal_met=self._goal_met)

    async def replan(self, *_: object) -> Plan:
        self.do("replan")
        return SECOND

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        self.do(f"judge {plan.text}: {trajectory.answer}")
        return RIGHT

    async def append(self, episode: Episode) -> None:
        self.do("append")

    async def remember(self, episode: Episode) -> Remembered:
        self.do("remember")
        return Remembered(decision="stored", reason="")

    async def settle(self, episode_id: str, remembered: Remembered) -> None:
        self.do("settle")


def team(crew: Crew, memory: Memory | None = None, record: Record | None = None) -> Team:
    return Team(
        captioner=Blind(),
        memory=memory or crew,
        planner=crew,
        executor=crew,
        judge=crew,
        record=record or crew,
    )


async def test_a_question_goes_its_way_and_is_written_down_before_it_is_shown() -> None:
    crew = Crew()
    episode = await solve(TOWN, team(crew), crew.watch)
    assert crew.said == [
        "recall", "shown Recollection", "plan", "shown Plan", "run", "reflect", "shown Reflection",
        "judge look it up: Rovigo", "shown Verdict", "append", "shown Episode",
        "remember", "settle", "shown Remembered",
    ]  # fmt: skip
    assert (episode.answer, episode.verdict, episode.faults) == ("Rovigo", RIGHT, ())


async def test_a_goal_not_met_is_replanned_once_and_acted_on_from_the_turns_so_far() -> None:
    crew = Crew(runs=(answered("Padua"), answered("Rovigo")), goal_met=False)
    episode = await solve(TOWN, team(crew))
    steps = ["reflect", "replan", "run on", "judge look elsewhere: Rovigo"]
    assert crew.said[3:7] == steps
    assert (episode.plan, episode.replan, episode.final_plan) == (FIRST, SECOND, SECOND)
    assert episode.answer == "Rovigo"


async def test_a_second_run_without_an_answer_leaves_the_first_one_standing() -> None:
    failed = Trajectory(outcome="failed:search", detail="the engine is down")
    crew = Crew(runs=(answered("Padua"), failed), goal_met=False)
    episode = await solve(TOWN, team(crew))
    assert "judge look it up: Padua" in crew.said
    assert (episode.answer, episode.faults) == ("Padua", ("the engine is down",))


async def test_a_memory_whose_embedder_is_down_fails_the_run_before_anybody_plans() -> None:
    crew = Crew(fails={"recall": ModelError("the embedder is down")})
    episode = await solve(TOWN, team(crew), crew.watch)
    assert episode.trajectory.outcome == "failed:model"
    assert episode.faults == ("the embedder is down",)
    assert "plan" not in crew.said and "judge" not in crew.said


async def test_a_planner_that_fails_is_data_and_nobody_runs_or_judges() -> None:
    crew = Crew(fails={"plan": ModelError("no reply")})
    episode = await solve(TOWN, team(crew))
    assert crew.said == ["recall", "plan", "append", "remember", "settle"]
    assert (episode.trajectory.outcome, episode.trajectory.detail) == ("failed:model", "no reply")
    assert (episode.plan, episode.answer, episode.faults) == (None, None, ("no reply",))
    assert episode.verdict.value is VerdictValue.UNKNOWN


async def test_an_executor_that_fails_is_data_and_is_not_judged() -> None:
    crew = Crew(runs=(Trajectory(outcome="failed:budget", detail="used 30 of 30 calls"),))
    episode = await solve(TOWN, team(crew))
    assert crew.said == ["recall", "plan", "run", "append", "remember", "settle"]
    assert episode.faults == ("used 30 of 30 calls",)
    assert episode.verdict.value is VerdictValue.UNKNOWN


@pytest.mark.parametrize("error", [JudgeError("it said perhaps"), ModelError("it is down")])
async def test_a_judge_that_cannot_be_read_or_asked_says_unknown(error: MIAError) -> None:
    crew = Crew(fails={"judge look it up: Rovigo": error})
    episode = await solve(TOWN, team(crew))
    assert episode.verdict.value is VerdictValue.UNKNOWN
    assert (episode.verdict.reason, episode.answer) == (str(error), "Rovigo")


@pytest.mark.parametrize("step", ["reflect", "replan"])
async def test_a_reflection_that_fails_keeps_the_first_run_and_notes_the_fault(step: str) -> None:
    crew = Crew(goal_met=False, fails={step: ModelError("no reply")})
    episode = await solve(TOWN, team(crew))
    assert (episode.answer, episode.verdict, episode.faults) == ("Rovigo", RIGHT, ("no reply",))
    assert "run on" not in crew.said


async def test_a_failed_run_is_no_experience(tmp_path: Path) -> None:
    record = MemoryRecord()
    crew = Crew(runs=(Trajectory(outcome="failed:search", detail="down"),))
    with SqliteStore(tmp_path / "memory.db") as store:
        memory = WorkflowMemory(store, ToyEmbedder())
        episode = await solve(TOWN, team(crew, memory, record))
        assert store.count() == 0
    assert record.settled[episode.id].decision == "ignored"


async def test_a_cancelled_question_writes_nothing() -> None:
    running = asyncio.Event()

    class Waits(Crew):
        async def run(self, *_: object, **__: object) -> Trajectory:
            running.set()
            await asyncio.Event().wait()
            raise AssertionError

    memory, record = ToyMemory(), MemoryRecord()
    task = asyncio.create_task(solve(TOWN, team(Waits(), memory, record)))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (record.episodes, record.settled, memory.episodes) == ([], {}, [])


async def test_an_episode_that_cannot_be_written_is_neither_shown_nor_remembered() -> None:
    crew = Crew(fails={"append": StoreError("the disk is full")})
    with pytest.raises(StoreError, match="the disk is full"):
        await solve(TOWN, team(crew), crew.watch)
    assert crew.said[-1] == "append"


@pytest.mark.parametrize("step", ["recall", "plan", "run", "reflect", "remember"])
async def test_what_is_no_error_of_ours_flies(step: str) -> None:
    with pytest.raises(ZeroDivisionError):
        await solve(TOWN, team(Crew(fails={step: ZeroDivisionError()})))
