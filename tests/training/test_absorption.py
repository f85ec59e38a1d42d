"""What a policy does without is known of each version, and memory follows the version in use."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.memories.making import a_workflow
from tests.training.talking import LetterChat, Says

from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.model import Generation, Sampling
from mia.training import tiny
from mia.training.absorption import Case, Settled, absorbed, cases, made, mark, settle
from mia.training.buffer import Outcome
from mia.training.exploring import Selections
from mia.training.guards import Limits
from mia.training.rewards import Parts, Rollout
from mia.training.rollouts import Actor, sampled
from mia.training.versions import Draft, Shelf, Version
from mia.types import Question, decode, encode

QUESTIONS = [each.question for each in tiny.exercises(26)]
NOBODYS = Selections(router=None, first=None, random=None, shortest=None, longest=None, oracle=None)
UNSOLVED = Question(text="find a", id="odd", answers=("never this",))


class Knows:
    """A Policy of the tiny world that plans every question's letter, and is content."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Sampling]] = []

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        text = LetterChat().text(prompt_ids)
        self.asked.append((text, sampling))
        policy = Says("no" if text[-1] in "+-" else text[-1])
        return await policy.sample(prompt_ids, sampling, seed)

    def plans(self) -> list[str]:
        return [text for text, _ in self.asked if text[-1] not in "+-"]


def actor_of(policy: Knows) -> Actor:
    def never(_: Rollout) -> Parts | None:
        raise AssertionError("nobody learns from this")

    world = tiny.cast("planner", tiny.ByRule)
    return Actor("planner", world, sampled(policy, LetterChat()), never)


def outcome(question: str, success: str | None, *workflows: str) -> Outcome:
    return Outcome(
        place=0, question=question, family=None, episode="e", answer=None, rewards=(), right=None,
        judged=None, selections=NOBODYS, reason="", version=0, workflows=workflows,
        success=success,
    )  # fmt: skip


# what is tried


def test_cases_are_the_successes_that_memory_kept_each_once() -> None:
    outcomes = [
        outcome("tiny-0", "w1", "w1", "f1"),
        outcome("tiny-0", "w1", "w1"),
        outcome("tiny-1", None, "f2"),
        outcome("tiny-2", "w1", "w1"),
        outcome("elsewhere", "w3", "w3"),
    ]
    assert cases(outcomes, QUESTIONS) == (Case(QUESTIONS[0], "w1"), Case(QUESTIONS[2], "w1"))
    assert made(outcomes) == ("w1", "f1", "f2", "w3")


def test_a_question_without_a_right_answer_is_not_tried() -> None:
    bare = [replace(question, answers=None) for question in QUESTIONS]
    assert cases([outcome("tiny-0", "w1", "w1")], bare) == ()


async def test_what_is_solved_greedily_and_without_memory_is_absorbed() -> None:
    policy = Knows()
    tried = [Case(QUESTIONS[0], "w1"), Case(UNSOLVED, "w2")]
    assert await absorbed(actor_of(policy), tried, 20, "s") == ("w1",)
    assert {sampling.temperature for _, sampling in policy.asked} == {0.0}


async def test_one_question_that_is_not_solved_keeps_its_workflow() -> None:
    tried = [Case(QUESTIONS[0], "w1"), Case(UNSOLVED, "w1"), Case(QUESTIONS[1], "w2")]
    assert await absorbed(actor_of(Knows()), tried, 20, "s") == ("w2",)


async def test_of_more_cases_than_the_limit_a_lot_draws_and_draws_the_same_again() -> None:
    tried = [Case(question, question.id) for question in QUESTIONS]
    drawn: list[tuple[str, ...]] = []
    for seed in ("s", "s", "t"):
        policy = Knows()
        drawn.append(await absorbed(actor_of(policy), tried, 5, seed))
        assert len(policy.plans()) == 5 == len(drawn[-1])
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_limit_of_none_tries_none() -> None:
    policy = Knows()
    assert await absorbed(actor_of(policy), [Case(QUESTIONS[0], "w1")], 0, "s") == ()
    assert policy.asked == []
    with pytest.raises(ValueError, match="absorb is 0 or more"):
        Limits(absorb=-1)


# what memory makes of it


@pytest.fixture
def store() -> Iterator[Store]:
    with SqliteStore(None) as opened:
        opened.add([a_workflow(f"w{number}") for number in range(1, 7)])
        yield opened


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, "planner")


def publish(shelf: Shelf, parent: int, *ids: str) -> Version:
    draft = Draft(
        base="b", base_sha256="s", made_by="online", parent=parent, absorbed=ids, workflows=ids
    )

    def fill(folder: Path) -> None:
        (folder / "adapter").write_text("x")

    return shelf.publish(draft, fill)


def standing(store: Store) -> dict[str, str]:
    return {w.id: w.absorbed for w in store.all() if w.absorbed is not None}


def test_a_version_says_what_it_absorbed_and_older_ones_said_nothing(shelf: Shelf) -> None:
    version = publish(shelf, 0, "w1", "w2")
    assert shelf.version(1) == version and version.absorbed == ("w1", "w2")
    older = encode(replace(version, workflows=(), absorbed=()))
    assert b"absorbed" not in older and b"workflows" not in older
    assert decode(older, Version).absorbed == ()


def test_memory_follows_the_version_in_use(store: Store, shelf: Shelf) -> None:
    publish(shelf, 0, "w1")
    publish(shelf, 1, "w2", "w1")
    publish(shelf, 1, "w3")
    assert settle(store, shelf) == Settled(0, 0), "what is only published changes nothing"
    shelf.promote(2)
    assert settle(store, shelf) == Settled(2, 0)
    assert standing(store) == {"w1": "planner 1", "w2": "planner 2"}
    shelf.promote(3)  # which does not come from 2
    assert settle(store, shelf) == Settled(1, 1)
    assert standing(store) == {"w1": "planner 1", "w3": "planner 3"}
    shelf.rollback()
    assert settle(store, shelf) == Settled(1, 1)
    assert standing(store) == {"w1": "planner 1", "w2": "planner 2"}
    shelf.promote(0)
    assert settle(store, shelf) == Settled(0, 2)
    assert standing(store) == {}


def test_what_a_kill_left_half_done_the_next_time_does(store: Store, shelf: Shelf) -> None:
    publish(shelf, 0, "w1", "w2", "w3")
    shelf.promote(1)  # and is killed before memory knows
    store.demote(["w2"], "planner 1")  # or in the middle of it
    assert settle(store, shelf) == Settled(2, 0)
    assert settle(store, shelf) == Settled(0, 0)
    assert set(standing(store)) == {"w1", "w2", "w3"}
    shelf.rollback()
    store.readmit(["planner 1"])
    store.demote(["w2"], "planner 1")
    assert settle(store, shelf) == Settled(0, 1)
    assert standing(store) == {}


def test_in_whatever_order_versions_come_and_go_memory_is_as_the_one_in_use_has_it(
    store: Store, shelf: Shelf
) -> None:
    luck = random.Random(3)
    parents = {0: 0}
    for number in range(1, 7):
        parents[number] = luck.choice(list(parents))
        publish(shelf, parents[number], f"w{number}")
    for _ in range(40):
        number = luck.choice(list(parents))
        shelf.promote(number)
        settle(store, shelf)
        line: set[str] = set()
        while number:
            line.add(f"w{number}")
            number = parents[number]
        assert set(standing(store)) == line


def test_what_another_role_absorbed_is_its_own(store: Store, shelf: Shelf) -> None:
    store.demote(["w5"], "executor 1")
    publish(shelf, 0, "w1")
    shelf.promote(1)
    settle(store, shelf)
    shelf.rollback()
    settle(store, shelf)
    assert standing(store) == {"w5": "executor 1"}


def test_of_versions_that_are_gone_the_older_still_count_and_the_newer_do_not(
    store: Store, shelf: Shelf
) -> None:
    for number in range(1, 6):
        publish(shelf, number - 1, f"w{number}")
        shelf.promote(number)
        settle(store, shelf)
    shelf.promote(3)
    assert shelf.discard(1) and shelf.discard(2) and shelf.discard(4)
    assert settle(store, shelf) == Settled(0, 2)
    assert set(standing(store)) == {"w1", "w2", "w3"}


def test_marking_twice_is_marking_once(store: Store, shelf: Shelf) -> None:
    version = publish(shelf, 0, "w1", "gone")
    assert (mark(store, version), mark(store, version)) == (1, 0)
    assert mark(store, publish(shelf, 1)) == 0
