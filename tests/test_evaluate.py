"""Evaluations: who sees what when, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mia.captioners.none import Blind
from mia.errors import ConfigError, InputError, StoreError
from mia.evaluate import Arm, Contestant, Evaluation, Folder, Results, Size, evaluate, shuffled
from mia.executor import Watch, unwatched
from mia.journal import Entry, RunRecord
from mia.judges.exact_match import ExactMatch
from mia.memory import Memory
from mia.planners.passthrough import Passthrough
from mia.solve import Record, Team
from mia.types import (
    Episode,
    Note,
    Plan,
    Question,
    Recollection,
    Remembered,
    Trajectory,
    Turn,
    Usage,
)

QUESTIONS = tuple(
    Question(text=f"What is {number}?", id=f"q{number}", answers=(str(number),))
    for number in range(12)
)
IDS = tuple(question.id for question in QUESTIONS)


@dataclass
class Diary:
    """A memory that recalls all it was told, in order."""

    told: list[str] = field(default_factory=list[str])

    async def recall(self, question: Question) -> Recollection:
        await asyncio.sleep(0)
        return Recollection(notes=tuple(Note(text=id) for id in self.told))

    async def remember(self, episode: Episode) -> Remembered:
        await asyncio.sleep(0)
        if episode.question.id not in self.told:
            self.told.append(episode.question.id)
        return Remembered(decision="stored", reason="", usage=Usage(money=0.01))


class Shut:
    """Recalls from another memory and is told nothing."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def recall(self, question: Question) -> Recollection:
        return await self._memory.recall(question)

    async def remember(self, episode: Episode) -> Remembered:
        return Remembered(decision="ignored", reason="frozen")


class Answering:
    """An executor that knows the answer after a while; it counts who asks at the same time, and
    may fail with an error of the process's own."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.at_once = self.most = self.asked = 0
        self._fails_after = fails_after

    async def run(
        self,
        question: Question,
        plan: Plan,
        so_far: tuple[Turn, ...] = (),
        watch: Watch = unwatched,
    ) -> Trajectory:
        if self._fails_after is not None and self.asked >= self._fails_after:
            raise StoreError("the disk is full")
        self.asked += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        for _ in range(random.Random(question.id).randrange(1, 5)):
            await asyncio.sleep(0.0005)
        self.at_once -= 1
        answer = question.text.removeprefix("What is ").rstrip("?")
        turn = Turn(answer=answer, usage=Usage(calls=1, money=0.01))
        return Trajectory(turns=(turn,), outcome="answered")


@dataclass
class World:
    """An evaluation in a folder, whose memories live as long as this object."""

    path: Path
    executor: Answering = field(default_factory=Answering)
    diaries: dict[str, Diary] = field(default_factory=dict[str, Diary])
    grows: bool = True

    def arm(self, method: str = "diary", **changes: object) -> Arm:
        arm = Arm(method=method, seed=0, run=f"{method}-0", order=IDS)
        return replace(arm, **changes)

    def evaluation(self, *arms: Arm, settings: str = "{}") -> Evaluation:
        return Evaluation(
            name="trial", data="numbers", digest="0", arms=arms, judge="exact", settings=settings,
            machine="", started="", version="0",
        )  # fmt: skip

    def contestant(self, arm: Arm, record: RunRecord) -> Contestant:
        diary = self.diaries.setdefault(arm.run, Diary())
        return Contestant(
            team=self._team(diary, record),
            frozen=self._team(Shut(diary), record),
            grows=self.grows,
            size=lambda: Size(memories=len(diary.told), bytes=1),
        )

    def _team(self, memory: Memory, record: Record) -> Team:
        return Team(
            captioner=Blind(), memory=memory, planner=Passthrough(), executor=self.executor,
            judge=ExactMatch(), record=record,
        )  # fmt: skip

    def run(
        self,
        *arms: Arm,
        concurrency: int = 4,
        answered: Callable[[Arm, Entry], bool] = lambda arm, entry: True,
        settings: str = "{}",
    ) -> Results:
        """What is written after asking what is left."""
        folder, evaluation = Folder(self.path), self.evaluation(*arms, settings=settings)
        if not folder.begun:
            folder.begin(evaluation, QUESTIONS)
        journal = folder.journal()
        try:
            asyncio.run(
                evaluate(
                    evaluation, QUESTIONS, self.contestant, folder, journal,
                    concurrency=concurrency, answered=answered,
                )
            )  # fmt: skip
        finally:
            journal.close()
        return folder.results()


def seen(results: Results, run: str) -> list[list[str]]:
    """What each question of an arm was shown of memory, in the order of asking."""
    (done,) = (done for done in results.arms if done.arm.run == run)
    return [[note.text for note in e.episode.recollection.notes] for e in done.entries]


@settings(max_examples=15, deadline=None)
@given(
    concurrency=st.integers(1, 8),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True),
)
def test_a_question_sees_exactly_what_came_before_it_whatever_the_concurrency(
    tmp_path_factory: pytest.TempPathFactory, concurrency: int, seeds: list[int]
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    arms = [world.arm(seed=s, run=f"diary-{s}", order=shuffled(IDS, s)) for s in seeds]
    results = world.run(*arms, concurrency=concurrency)
    for arm in arms:
        assert seen(results, arm.run) == [list(arm.order[:at]) for at in range(len(IDS))]


def test_a_memory_that_does_not_grow_is_asked_many_questions_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, grows=False)
    results = world.run(world.arm(), concurrency=3)
    assert world.executor.most == 3
    assert seen(results, "diary-0") == [[]] * len(IDS)
    assert [e.episode.question.id for e in results.arms[0].entries] == list(IDS)


def test_arms_go_on_side_by_side_and_see_nothing_of_each_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    arms = [world.arm(method, run=method) for method in ("one", "two", "three")]
    results = world.run(*arms, concurrency=2)
    assert world.executor.most == 2
    for arm in arms:
        assert seen(results, arm.run) == [list(IDS[:at]) for at in range(len(IDS))]


def test_after_its_warm_up_a_memory_stays_as_it_is(tmp_path: Path) -> None:
    world = World(tmp_path)
    results = world.run(world.arm(warm=5))
    assert seen(results, "diary-0") == [list(IDS[: min(at, 5)]) for at in range(len(IDS))]
    assert results.arms[0].size == Size(memories=5, bytes=1)


@pytest.mark.parametrize("after", [0, 1, 5, 11])
@pytest.mark.parametrize("warm", [None, 4])
def test_what_was_interrupted_goes_on_where_it_stopped(
    tmp_path: Path, after: int, warm: int | None
) -> None:
    world = World(tmp_path, executor=Answering(fails_after=after))
    with pytest.raises(StoreError, match="disk is full"):
        world.run(world.arm(warm=warm))
    first, world.executor = world.executor.asked, Answering()
    results = world.run(world.arm(warm=warm))
    assert first == after
    asked = first + world.executor.asked
    if warm is None or after <= warm:
        assert asked == len(IDS)
    else:  # those that were under way side by side are asked again
        assert len(IDS) <= asked < len(IDS) + 4
    end = len(IDS) if warm is None else warm
    assert seen(results, "diary-0") == [list(IDS[: min(at, end)]) for at in range(len(IDS))]


def test_an_episode_that_was_written_and_not_remembered_is_remembered_first(
    tmp_path: Path,
) -> None:
    class Dying(Diary):
        async def remember(self, episode: Episode) -> Remembered:
            if len(self.told) == 3:
                raise StoreError("killed")
            return await super().remember(episode)

    world = World(tmp_path, diaries={"diary-0": Dying()})
    with pytest.raises(StoreError, match="killed"):
        world.run(world.arm())
    world.diaries["diary-0"] = Diary(world.diaries["diary-0"].told)
    results = world.run(world.arm())
    assert seen(results, "diary-0") == [list(IDS[:at]) for at in range(len(IDS))]
    assert world.executor.asked == len(IDS)


def test_when_the_money_is_spent_it_stops_and_can_go_on_with_more(tmp_path: Path) -> None:
    world, spent = World(tmp_path), [0.0]

    def purse(most: float) -> Callable[[Arm, Entry], bool]:
        def pay(arm: Arm, entry: Entry) -> bool:
            assert entry.remembered is not None
            spent[0] += entry.episode.usage.money + entry.remembered.usage.money
            return spent[0] < most - 1e-9

        return pay

    results = world.run(world.arm(), answered=purse(0.1))
    assert len(results.arms[0].entries) == 5 and results.arms[0].size is None
    results = world.run(world.arm(), answered=purse(1.0))
    assert len(results.arms[0].entries) == len(IDS)
    assert results.arms[0].size == Size(memories=len(IDS), bytes=1)


def test_an_arm_at_its_end_is_not_fielded_again(tmp_path: Path) -> None:
    first = World(tmp_path)
    first.run(first.arm())
    second = World(tmp_path)
    assert second.run(second.arm(), second.arm("other", run="other")) and first.run(first.arm())
    assert list(second.diaries) == ["other"]


def test_an_evaluation_does_not_go_on_under_other_settings(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.run(world.arm())
    with pytest.raises(ConfigError, match="other settings"):
        world.run(world.arm(), settings='{"other": 1}')


def test_results_are_read_back_with_the_questions(tmp_path: Path) -> None:
    world = World(tmp_path)
    results = world.run(world.arm())
    assert results.questions == QUESTIONS
    assert results.evaluation == world.evaluation(world.arm())
    assert all(e.episode.verdict.value == "correct" for e in results.arms[0].entries)


def test_a_folder_without_a_head_is_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no evaluation 'nowhere'"):
        Folder(tmp_path / "nowhere").results()


@given(st.integers(0, 5), st.lists(st.integers(1, 11), max_size=3, unique=True).map(sorted))
def test_an_order_is_its_seeds_and_keeps_parts_in_their_places(seed: int, ends: list[int]) -> None:
    order = shuffled(IDS, seed, ends)
    assert order == shuffled(IDS, seed, ends)
    for begin, end in zip((0, *ends), (*ends, len(IDS)), strict=True):
        assert sorted(order[begin:end]) == sorted(IDS[begin:end])


def test_seeds_differ_in_their_orders() -> None:
    assert len({shuffled(IDS, seed) for seed in range(5)}) == 5
