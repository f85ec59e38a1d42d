"""Exercises of questions: what was said is kept, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.errors import BudgetError, ConfigError, MIAError, ModelError, StoreError
from mia.executor import Budget, Executor, Watch, unwatched
from mia.executors.react.loop import React
from mia.executors.react.tagged import Tagged
from mia.judge import Judge, unknown
from mia.judges.exact_match import ExactMatch
from mia.model import Message, Reply
from mia.planners.conversational import Conversational
from mia.solve import Team
from mia.testing import MemoryRecord, ScriptedModel, ToyMemory, ToySearch
from mia.tools.text_search import TextSearch
from mia.training.collect import (
    Collected,
    Collection,
    Heard,
    Overheard,
    collect,
    lived,
    prepared,
)
from mia.training.exercises import Exchange, Exercise
from mia.training.rollouts import Role
from mia.types import (
    Note,
    Observation,
    Passage,
    Picture,
    Plan,
    Question,
    Recollection,
    Trajectory,
    Turn,
    Usage,
    Verdict,
)

ASKED = Question(text="Which town?", id="q", answers=("Rovigo",))
PICTURED = replace(ASKED, pictures=(Picture(id="0" * 64, width=1, height=1),))
KNOWN = Recollection(notes=(Note(text="Maps tell where towns are."),), usage=Usage(calls=1))
BARE = replace(KNOWN, usage=Usage())
SEARCHES = (
    '<think>a map</think><tool_call>{"name": "search", "arguments": {"query_list": ["town"]}}'
    "</tool_call>"
)
BOTH: tuple[Role, ...] = ("planner", "executor")


class Sees:
    """A captioner that says what it was told, or why it cannot."""

    def __init__(self, *turns: Turn) -> None:
        self.turn = turns[-1]
        self._turns = turns

    async def look(self, question: Question) -> tuple[Turn, ...]:
        return self._turns


SEES = Sees(Turn(found="A map.", usage=Usage(calls=1)))
BLINDED = Sees(Turn(observation=Observation(text="down", error="the eyes are down")))


class Unsure:
    """A judge that cannot tell."""

    async def judge(self, question: Question, plan: Plan, trajectory: Trajectory) -> Verdict:
        return unknown("unsure", "")


class Ends:
    """An executor whose runs end as they are told to."""

    def __init__(self, *runs: Trajectory) -> None:
        self._runs = list(runs)

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        return self._runs.pop(0)


def react(model: Overheard) -> React:
    search = ToySearch([Passage(id="p", title="Town", text="The town is Rovigo.")])
    return React(model, lambda *_: (TextSearch(search, 3),), Budget(), Tagged())


class Stage:
    """The team of an episode on scripted models."""

    def __init__(
        self,
        planner: Sequence[str | Reply | MIAError] = (),
        executor: Sequence[str | Reply | MIAError] = (),
        runs: Executor | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.planner, self.executor = ScriptedModel(planner), ScriptedModel(executor)
        self._runs, self._judge = runs, judge or ExactMatch()

    def __call__(self, heard: Heard) -> Team:
        return Team(
            captioner=Blind(), memory=ToyMemory(KNOWN), judge=self._judge, record=MemoryRecord(),
            planner=Conversational(Overheard(self.planner, "planner", heard)),
            executor=self._runs or react(Overheard(self.executor, "executor", heard)),
        )  # fmt: skip


def exchanges(
    role: Role, asked: Sequence[Sequence[Message]], *said: tuple[str, str]
) -> list[Exchange]:
    """What a model was asked and said."""
    return [
        Exchange(role=role, stage=stage, messages=tuple(messages), reply=reply)  # type: ignore[arg-type]
        for messages, (stage, reply) in zip(asked, said, strict=True)
    ]


async def test_what_an_episode_begins_with_is_collected_without_what_it_cost() -> None:
    model = ScriptedModel(["Look at a map."])
    came = await prepared(PICTURED, SEES, ToyMemory(KNOWN), Conversational(model))
    asked = replace(PICTURED, caption="A map.")
    assert came == Collected(
        question_id="q",
        exercise=Exercise(question=asked, recollection=BARE, plan=Plan(text="Look at a map.")),
        usage=Usage(calls=3),
    )
    assert "Maps tell where towns are." in model.asked[0][-1].content


async def test_without_a_planner_there_is_no_plan() -> None:
    came = await prepared(ASKED, Blind(), ToyMemory(KNOWN), None)
    assert came.exercise == Exercise(question=ASKED, recollection=BARE)


async def test_a_model_that_cannot_be_asked_is_a_fault_and_no_exercise() -> None:
    planner = Conversational(ScriptedModel([ModelError("it is down")]))
    came = await prepared(ASKED, Blind(), ToyMemory(), planner)
    assert came == Collected(question_id="q", faults=("it is down",))


async def test_pictures_that_nobody_could_look_at_are_a_fault() -> None:
    came = await prepared(PICTURED, BLINDED, ToyMemory(), None)
    assert came == Collected(question_id="q", faults=("the eyes are down",))
    run = dataclasses.replace(Stage(["Look.", YES], runs=Ends(RIGHT))(Heard()), captioner=BLINDED)
    came = await lived(PICTURED, lambda _: run, BOTH)
    assert came.exercise is None and came.faults == ("the eyes are down",)
    assert (await prepared(PICTURED, Blind(), ToyMemory(), None)).exercise is not None


async def test_a_picture_that_nobody_could_look_at_beside_one_that_was_seen_is_none() -> None:
    failing, seeing = BLINDED.turn, SEES.turn
    came = await prepared(PICTURED, Sees(failing, seeing), ToyMemory(), None)
    assert came.exercise is not None and came.exercise.question.caption == "A map."


NO, YES = '{"goal_met": false, "reason": "no town"}', '{"goal_met": true, "reason": "found"}'


async def test_every_word_of_a_run_is_kept_in_its_stage_but_what_was_refused() -> None:
    stage = Stage(
        ["Look at a map.", "no JSON", NO, "Search for the town."],
        [SEARCHES, "<answer>Padua</answer>", "<answer>Rovigo</answer>"],
    )
    came = await lived(ASKED, stage, BOTH)
    kept = came.exercise
    assert kept is not None and came.faults == ()
    assert (kept.correct, kept.plan) == (True, Plan(text="Look at a map."))
    assert kept.recollection == BARE and came.usage.calls == 1 + 4 + 3
    by_role = {role: [each for each in kept.exchanges if each.role == role] for role in BOTH}
    plans, reflects, _again, replans = stage.planner.asked
    assert by_role == {
        "planner": exchanges(
            "planner", (plans, reflects, replans), ("plan", "Look at a map."), ("reflection", NO),
            ("replan", "Search for the town."),
        ),
        "executor": exchanges(
            "executor", stage.executor.asked, ("act", SEARCHES), ("act", "<answer>Padua</answer>"),
            ("act", "<answer>Rovigo</answer>"),
        ),
    }  # fmt: skip
    order = ["plan", "act", "act", "reflection", "replan", "act"]
    assert [each.stage for each in kept.exchanges] == order


@pytest.mark.parametrize(
    "unfit",
    ["I would look at a map.",
     "<tool_call>{</tool_call>",
     '<tool_call>{"name": "fly", "arguments": {}}</tool_call>',
     '<tool_call>{"name": "search", "arguments": {"words": "town"}}</tool_call>',
     Reply(text="<think>a map, and then", truncated=True),
     Reply(text=f"{SEARCHES}<answer>Pad", truncated=True)],
    ids=["no move", "no call", "no tool", "no query", "cut off", "cut off after a call"],
)  # fmt: skip
async def test_what_an_executor_said_in_vain_or_broke_off_is_not_taught(unfit: str | Reply) -> None:
    stage = Stage(["Look.", YES], [SEARCHES, unfit, "<answer>Rovigo</answer>"])
    kept = (await lived(ASKED, stage, BOTH)).exercise
    assert kept is not None and kept.correct is True
    assert [each.reply for each in kept.exchanges] == [
        "Look.", SEARCHES, "<answer>Rovigo</answer>", YES,
    ]  # fmt: skip


async def test_a_plan_that_was_cut_off_is_not_taught_nor_what_it_stands_in_place_of() -> None:
    cut, off = Reply(text="Look at", truncated=True), Reply(text=YES, truncated=True)
    stage = Stage([cut, "no JSON", off], [SEARCHES, "<answer>Rovigo</answer>"])
    kept = (await lived(ASKED, stage, BOTH)).exercise
    assert kept is not None and kept.correct is True
    assert {each.role for each in kept.exchanges} == {"executor"} and len(kept.exchanges) == 2


@pytest.mark.parametrize(("role", "plan"), [("planner", None), ("executor", "Look.")])
async def test_a_stage_keeps_what_it_trains_on(role: Role, plan: str | None) -> None:
    stage = Stage(["Look.", YES], [SEARCHES, "<answer>Rovigo</answer>"])
    kept = (await lived(ASKED, stage, (role,))).exercise
    assert kept is not None and {each.role for each in kept.exchanges} == {role}
    assert kept.plan == (plan and Plan(text=plan))


RIGHT = Trajectory(turns=(Turn(answer="Rovigo"),), outcome="answered")
WRONG = Trajectory(turns=(Turn(answer="Padua"),), outcome="answered")
SPENT = Trajectory(outcome=f"failed:{BudgetError.code}", detail="used 30 of 30 calls")


@pytest.mark.parametrize(
    ("run", "judge", "correct"),
    [(RIGHT, ExactMatch(), True), (WRONG, ExactMatch(), False), (RIGHT, Unsure(), None),
     (SPENT, ExactMatch(), False)],
)  # fmt: skip
async def test_whether_a_run_was_right_is_the_judges_word(
    run: Trajectory, judge: Judge, correct: bool | None
) -> None:
    came = await lived(ASKED, Stage(["Look.", YES], runs=Ends(run), judge=judge), BOTH)
    assert came.exercise is not None and came.exercise.correct is correct


async def test_a_second_run_that_used_up_its_budget_leaves_the_first_standing() -> None:
    came = await lived(ASKED, Stage(["Look.", NO, "Go on."], runs=Ends(RIGHT, SPENT)), BOTH)
    assert came.exercise is not None and came.exercise.correct is True


@pytest.mark.parametrize(
    "stage",
    [Stage([ModelError("it is down")]),
     Stage(["Look."], [ModelError("it is down")]),
     Stage(["Look.", ModelError("it is down")], [SEARCHES, "<answer>Rovigo</answer>"])],
    ids=["planning", "acting", "reflecting"],
)  # fmt: skip
async def test_a_run_whose_models_failed_is_no_exercise(stage: Stage) -> None:
    came = await lived(ASKED, stage, BOTH)
    assert came.exercise is None and came.faults == ("it is down",)


QUESTIONS = tuple(replace(ASKED, id=f"q{n}") for n in range(8))


def made(question: Question) -> Collected:
    return Collected(question_id=question.id, exercise=Exercise(question=question))


def failed(question: Question) -> Collected:
    return Collected(question_id=question.id, faults=("it is down",))


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    with closing(Collection(tmp_path / "collected.db", "settings")) as opened:
        yield opened


class Works:
    """A collector that is told whom to fail, and counts."""

    def __init__(self, *failing: str) -> None:
        self.asked: list[str] = []
        self.at_once = self.most = 0
        self._failing = failing

    async def __call__(self, question: Question) -> Collected:
        self.asked.append(question.id)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.002)
        self.at_once -= 1
        return (failed if question.id in self._failing else made)(question)


async def all_of(collection: Collection, works: Works, concurrency: int = 3) -> list[Collected]:
    shown: list[Collected] = []
    await collect(QUESTIONS, works, collection, concurrency=concurrency, watch=shown.append)
    return shown


async def test_each_question_is_asked_once_and_those_that_failed_again(
    collection: Collection,
) -> None:
    first, second, third = Works("q2", "q5"), Works("q5"), Works()
    shown = await all_of(collection, first)
    assert sorted(each.question_id for each in shown) == [q.id for q in QUESTIONS]
    assert sorted(first.asked) == [q.id for q in QUESTIONS]
    assert collection.of(QUESTIONS[2]) == failed(QUESTIONS[2])
    await all_of(collection, second)
    await all_of(collection, third)
    assert (sorted(second.asked), third.asked) == (["q2", "q5"], ["q5"])
    assert [collection.of(question) for question in QUESTIONS] == [*map(made, QUESTIONS)]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_so_many_are_asked_at_a_time(collection: Collection, concurrency: int) -> None:
    works = Works()
    await all_of(collection, works, concurrency)
    assert works.most == concurrency


async def test_what_was_collected_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    for question in QUESTIONS[:2]:
        with closing(Collection(tmp_path / "collected.db", "settings")) as opened:
            await opened.add(made(question))
    with closing(Collection(tmp_path / "collected.db", "settings")) as opened:
        assert opened.done() == {"q0", "q1"}
        assert opened.of(QUESTIONS[2]) is None


async def test_an_exercise_is_not_written_over(collection: Collection) -> None:
    await collection.add(made(QUESTIONS[0]))
    for again in (made, failed):
        with pytest.raises(StoreError, match="has the exercise of question 'q0' already"):
            await collection.add(again(QUESTIONS[0]))


def test_a_collection_is_not_gone_on_with_under_other_settings(tmp_path: Path) -> None:
    Collection(tmp_path / "collected.db", "settings").close()
    with pytest.raises(ConfigError, match="begun with other questions or settings"):
        Collection(tmp_path / "collected.db", "others")


async def test_what_cannot_be_read_is_named(tmp_path: Path, collection: Collection) -> None:
    await collection.add(made(QUESTIONS[0]))
    with closing(sqlite3.connect(tmp_path / "collected.db")) as db, db:
        db.execute("UPDATE collected SET body = x'7b'")
    with pytest.raises(StoreError, match="'q0' cannot be read"):
        collection.of(QUESTIONS[0])


async def test_an_error_that_is_nobodys_fault_stops_all_and_keeps_what_was_there(
    collection: Collection,
) -> None:
    works = Works()

    async def breaks(question: Question) -> Collected:
        if question.id == "q4":
            raise StoreError("the memory is damaged")
        return await works(question)

    with pytest.raises(StoreError, match=r"^the memory is damaged$"):
        await collect(QUESTIONS, breaks, collection, concurrency=2, watch=lambda _: None)
    assert {"q0", "q1", "q2"} <= collection.done() and "q7" not in works.asked
