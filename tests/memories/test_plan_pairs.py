"""What plan memory keeps of two episodes, and what it returns for a question."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from mia.errors import ModelError, StoreError
from mia.memories.plan_pairs import PairMemory
from mia.memories.workflow.compress import compress
from mia.memories.workflow.forget import Choice, forget
from mia.memories.workflow.migrations import MIGRATIONS, migrate
from mia.memories.workflow.pairs import PairRows
from mia.memories.workflow.rows import Rows
from mia.memories.workflow.sqlite import SqliteStore
from mia.memories.workflow.store import Store
from mia.planner import parse_plan
from mia.router import PairRemembered, PlanPair
from mia.testing import ToyEmbedder
from mia.types import (
    Episode,
    Plan,
    Question,
    Recalled,
    Recollection,
    Reflection,
    Trajectory,
    Turn,
    VerdictValue,
    encode,
)

Films = Callable[..., Episode]
WRONG = VerdictValue.INCORRECT
BORN = Question(id="new", text="When was the director of film Heat born?")


class BrokenEmbedder(ToyEmbedder):
    """An embedder that is down."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise ModelError("the embedder is down")


class OtherEmbedder(ToyEmbedder):
    """The same vectors under another name."""

    name = "toy-other"


@pytest.fixture
def memory(store: Store) -> PairMemory:
    return PairMemory(store, ToyEmbedder())


@pytest.fixture
def couple(film_episode: Films) -> Callable[..., tuple[Episode, Episode]]:
    """Two episodes of one question: one that asked for the director, one for something else."""

    def make(
        film: str = "Jaws", *, wrong: str = "composer", verb: str = "born", task: str | None = None
    ) -> tuple[Episode, Episode]:
        right = film_episode(film, verb=verb, id=f"right {film} {verb}", task=task)
        plan = parse_plan(f"#1 Who is the {wrong} of [{film}]?\n#2 When was #1 {verb}?\nanswer #2")
        id = f"wrong {film} {verb} {wrong}"
        failed = film_episode(film, verb=verb, id=id, task=task, verdict=WRONG, date="May 1, 1950")
        gold = replace(failed.question, answers=right.question.answers)
        return right, replace(failed, plan=plan, question=gold)

    return make


Couples = Callable[..., tuple[Episode, Episode]]


async def keep(memory: PairMemory, episodes: tuple[Episode, Episode]) -> PairRemembered:
    return await memory.remember_pair(episodes[0].question, *episodes)


def everything(store: Store, namespace: str = "default") -> tuple[PlanPair, ...]:
    def job(rows: Rows) -> tuple[PlanPair, ...]:
        PairRows(rows).check()
        return tuple(PairRows(rows).all(namespace))

    return store.read(job)


def left_in(folder: Path) -> bytes:
    """All that the store's files hold."""
    return b"".join(file.read_bytes() for file in folder.glob("memory.sqlite*"))


async def test_a_question_of_the_same_kind_recalls_both_plans_without_their_facts(
    memory: PairMemory, couple: Couples
) -> None:
    remembered = await keep(memory, couple())
    assert remembered.decision == "stored"
    (pair,) = await memory.pairs(BORN, 2)
    assert pair.id == remembered.pair_id
    assert pair.question_template == "When was the director of film [A] born?"
    assert pair.right == "#1 Who directed [A]?\n#2 When was #1 born?\nanswer #2"
    assert pair.wrong == "#1 Who is the composer of [A]?\n#2 When was #1 born?\nanswer #2"
    shown = replace(pair, question="", question_id="", right_episode="", wrong_episode="")
    for fact in (b"Jaws", b"Spielberg", b"1946", b"1950"):
        assert fact not in encode(shown)


async def test_a_name_has_one_letter_in_both_plans_and_the_question(
    memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    prose = Plan(
        text="1. Look up Steven Spielberg and May 1, 1950.\n2. Compare with Jaws and ABBA."
    )
    await keep(memory, (right, replace(wrong, plan=prose)))
    (pair,) = await memory.pairs(BORN, 1)
    assert "[A]" in pair.question_template and "[A]" in pair.right
    assert "with [A] and" in pair.wrong
    for fact in ("Spielberg", "1950", "Jaws", "ABBA"):
        assert fact not in pair.wrong


async def test_what_either_run_found_or_answered_shows_in_neither_plan(
    film_episode: Films, memory: PairMemory
) -> None:
    right = film_episode(date="quicksilver", director="a locksmith", id="right")
    wrong = film_episode(date="brimstone", director="a cooper", id="wrong", verdict=WRONG)
    wrong = replace(wrong, question=right.question)
    follow = Plan(text="Find quicksilver by a locksmith.")
    avoid = Plan(text="Avoid quicksilver, brimstone and a cooper.")
    await keep(memory, (replace(right, plan=follow), replace(wrong, plan=avoid)))
    (pair,) = await memory.pairs(BORN, 1)
    for fact in ("quicksilver", "locksmith", "brimstone", "cooper"):
        assert fact not in pair.right + pair.wrong


async def test_what_a_wrong_plan_takes_for_a_name_hides_nothing_of_the_question(
    memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    silly = parse_plan("#1 [When was the director of film Jaws born?]\nanswer #1")
    await keep(memory, (right, replace(wrong, plan=silly)))
    (pair,) = await memory.pairs(BORN, 1)
    assert pair.question_template == "When was the director of film [A] born?"
    assert "directed" in pair.right


async def test_the_most_relevant_pair_comes_first_and_an_irrelevant_one_never(
    store: Store, couple: Couples
) -> None:
    memory = PairMemory(store, ToyEmbedder(), floor=0.7)
    for verb in ("paid", "born", "hired"):
        await keep(memory, couple(verb=verb))
    for verb in ("hired", "born", "paid"):
        asked = Question(id="new", text=f"When was the director of film Heat {verb}?")
        found = await memory.pairs(asked, 3)
        assert verb in found[0].question_template
        assert len(found) == 3 and found[:1] == await memory.pairs(asked, 1)
    assert await memory.pairs(Question(id="new", text="How high is Everest?"), 3) == ()


async def test_an_empty_memory_knows_nothing(memory: PairMemory) -> None:
    assert await memory.pairs(BORN, 2) == ()


async def test_a_pair_does_not_help_its_own_question_or_task(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    episodes = couple(task="directors")
    await keep(memory, episodes)
    own = episodes[0].question
    for asked in (
        replace(BORN, id=own.id),
        replace(BORN, task="directors"),
        Question(id="other", text="The director of film Jaws was born when?"),
    ):
        assert await memory.pairs(asked, 1) == ()
    assert len(await PairMemory(store, ToyEmbedder(), exclude_task=False).pairs(own, 1)) == 1


async def test_only_a_right_and_a_wrong_run_of_one_question_show_something(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    unknown = replace(wrong.verdict, value=VerdictValue.UNKNOWN)
    for episodes in (
        (wrong, right),
        (right, replace(right, id="again")),
        (wrong, replace(wrong, id="again")),
        (right, replace(wrong, verdict=unknown)),
        (replace(right, verdict=unknown), wrong),
        (right, couple("Alien")[1]),
        (right, replace(wrong, plan=None)),
        (right, replace(wrong, plan=right.plan)),
    ):
        assert (await keep(memory, episodes)).decision == "ignored"
    other = await memory.remember_pair(BORN, right, wrong)
    assert other.decision == "ignored"
    assert everything(store) == ()


async def test_the_same_couple_twice_changes_nothing(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    first = await keep(memory, couple())
    before = everything(store)
    for again in (memory, PairMemory(store, ToyEmbedder())):
        repeated = await keep(again, couple())
        assert (repeated.decision, repeated.pair_id) == ("ignored", first.pair_id)
    assert everything(store) == before


async def test_pairs_of_the_same_two_plans_become_one_that_counts_both(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    first = await keep(memory, couple("Jaws"))
    second = await keep(memory, couple("Alien"))
    assert (second.decision, second.pair_id) == ("merged", first.pair_id)
    assert (await keep(memory, couple("Alien"))).decision == "ignored"
    (pair,) = everything(store)
    assert (pair.seen, pair.right_episode) == (2, "right Jaws born")


async def test_another_question_or_another_plan_is_another_pair(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    for episodes in (couple(), couple(wrong="editor"), couple(verb="hired")):
        assert (await keep(memory, episodes)).decision == "stored"
    assert len(everything(store)) == 3


async def test_the_same_two_plans_for_a_question_of_another_kind_are_another_pair(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    await keep(memory, couple("Jaws"))
    asked = Question(id="other", text="On what day did the maker of film Alien see the light?")
    right, wrong = (replace(episode, question=asked) for episode in couple("Alien"))
    assert (await keep(memory, (right, wrong))).decision == "stored"
    assert len(everything(store)) == 2


async def test_pairs_that_contradict_each_other_both_stay(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    await keep(memory, (right, wrong))
    swapped = (replace(right, plan=wrong.plan, id="a"), replace(wrong, plan=right.plan, id="b"))
    assert (await keep(memory, swapped)).decision == "stored"
    assert len(everything(store)) == 2


async def test_a_typed_replan_that_led_to_the_answer_is_the_right_plan(
    memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    saved = replace(
        right,
        plan=wrong.plan,
        trajectory=Trajectory(turns=right.trajectory.turns[:1]),
        reflection=Reflection(goal_met=False),
        replan=right.plan,
        retrajectory=right.trajectory,
    )
    assert (await keep(memory, (saved, wrong))).decision == "stored"
    (pair,) = await memory.pairs(BORN, 1)
    assert "directed" in pair.right and "composer" in pair.wrong


async def test_a_replan_in_prose_is_no_plan_by_itself(memory: PairMemory, couple: Couples) -> None:
    right, wrong = couple()
    saved = replace(right, replan=Plan(text="Go on."), retrajectory=right.trajectory)
    assert (await keep(memory, (saved, wrong))).decision == "ignored"


async def test_the_plan_to_avoid_is_the_one_the_run_began_with(
    memory: PairMemory, couple: Couples
) -> None:
    right, wrong = couple()
    lost = Trajectory(turns=(Turn(answer="May 1, 1950"),), outcome="answered")
    await keep(memory, (right, replace(wrong, replan=right.plan, retrajectory=lost)))
    (pair,) = await memory.pairs(BORN, 1)
    assert "composer" in pair.wrong


async def test_namespaces_do_not_see_each_other(store: Store, couple: Couples) -> None:
    for namespace in ("mine", "yours"):
        memory = PairMemory(store, ToyEmbedder(), namespace)
        assert (await keep(memory, couple())).decision == "stored"
    assert len(everything(store, "mine")) == len(everything(store, "yours")) == 1
    assert await PairMemory(store, ToyEmbedder()).pairs(BORN, 2) == ()


async def test_another_embedder_begins_anew(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    await keep(memory, couple())
    other = PairMemory(store, OtherEmbedder())
    assert len(await other.pairs(BORN, 1)) == 1
    assert (await keep(memory, couple("Alien"))).decision == "merged"


async def test_an_embedder_that_is_down_leaves_everything_as_it_was(
    store: Store, couple: Couples
) -> None:
    with pytest.raises(ModelError):
        await keep(PairMemory(store, BrokenEmbedder()), couple())
    assert everything(store) == ()


async def test_pairs_are_there_after_reopening(tmp_path: Path, couple: Couples) -> None:
    path = tmp_path / "again.sqlite"
    with SqliteStore(path) as store:
        await keep(PairMemory(store, ToyEmbedder()), couple())
        kept = everything(store)
        assert store.check() == 0
    with SqliteStore(path) as store:
        assert await PairMemory(store, ToyEmbedder()).pairs(BORN, 1) == kept


async def test_a_file_from_before_plan_memory_takes_pairs(tmp_path: Path, couple: Couples) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, MIGRATIONS[:2])
    with SqliteStore(path) as store:
        await keep(PairMemory(store, ToyEmbedder()), couple())
        assert len(everything(store)) == 1
    assert (tmp_path / "old.sqlite.v2.bak").exists()


async def test_new_vectors_are_made_of_all_pairs_when_they_are_asked_for(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    await keep(memory, couple())
    store.reembed()
    assert len(store.read(lambda rows: PairRows(rows).without_vectors("default", "toy-64"))) == 1
    assert len(await memory.pairs(BORN, 1)) == 1


async def test_a_pair_that_does_not_come_to_the_store_leaves_nothing(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    await keep(memory, couple())
    (pair,) = everything(store)

    def half(rows: Rows) -> None:
        PairRows(rows).put(replace(pair, id="p2"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(half)
    assert everything(store) == (pair,)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE plan_pairs SET body = replace(body, 'directed', 'produced')",
        "UPDATE plan_pairs SET namespace = 'other'",
        "UPDATE plan_pairs SET plans = 'x'",
        "UPDATE pair_episodes SET body = replace(body, 'exact', 'human')",
        "UPDATE pair_episodes SET right_episode = 'x'",
        "UPDATE pair_vectors SET question = template",
        "UPDATE pair_vectors SET embedder = 'toy'",
        "DELETE FROM plan_pairs",
        "DELETE FROM pair_episodes",
        "DELETE FROM log WHERE action = 'pair'",
    ],
)
async def test_damage_is_found(
    store: Store, memory: PairMemory, couple: Couples, damage: str
) -> None:
    await keep(memory, couple())
    assert store.check() == 0
    store.write(lambda rows: rows.session.change(damage))
    for reads in (store.check, lambda: forget(store, "default", Choice(episodes=("any",)))):
        with pytest.raises(StoreError):
            reads()


async def test_what_came_from_a_forgotten_episode_goes_and_does_not_come_back(
    store: Store, memory: PairMemory, couple: Couples
) -> None:
    stored, merged = couple("Jaws"), couple("Alien")
    first = await keep(memory, stored)
    await keep(memory, merged)

    def lost(episode: Episode, dry_run: bool = False) -> list[str]:
        choice = Choice(episodes=(episode.id,))
        return [gone.id for gone in forget(store, "default", choice, dry_run=dry_run).pairs]

    assert lost(merged[0]) == []
    assert [pair.seen for pair in everything(store)] == [1]
    assert lost(stored[1], dry_run=True) == [first.pair_id]
    assert len(everything(store)) == 1
    assert lost(stored[1]) == [first.pair_id]
    told = store.read(lambda rows: rows.log.head())
    assert lost(stored[1]) == []
    assert store.read(lambda rows: rows.log.head()) == told
    for episodes in (stored, merged):
        assert (await keep(memory, episodes)).decision == "ignored"
    assert everything(store) == ()
    assert store.check() == 0


@pytest.mark.parametrize(
    "choice",
    [
        Choice(domains=("example",)),
        Choice(judges=("exact_match",)),
        Choice(since=datetime(2000, 1, 1, tzinfo=UTC)),
        Choice(workflows=("parent",)),
    ],
    ids=["domain", "judge", "time", "recalled workflow"],
)
async def test_a_pair_is_forgotten_by_whatever_its_episodes_are_known_by(
    tmp_path: Path, store: Store, memory: PairMemory, couple: Couples, choice: Choice
) -> None:
    right, wrong = couple("Zanzibar Nights")
    draft = compress(replace(right, id="earlier"), "default", "parent")
    assert draft is not None
    parent = replace(draft, question="Q", source_domains=(), created="1999", verdict_kind="human")
    store.add([parent])
    recalled = Recalled(workflow=parent, score=1, similarity=1, value=1, frequency=1)
    misled = replace(wrong, recollection=Recollection(successes=(recalled,)))
    stored = await keep(memory, (right, misled))
    forgotten = forget(store, "default", choice)
    assert [gone.id for gone in forgotten.pairs] == [stored.pair_id]
    assert everything(store) == () and forgotten.scrubbed
    raw = left_in(tmp_path)
    assert b"wiki.example" not in raw and b"film Zanzibar" not in raw
    store.check()


async def test_what_is_not_chosen_stays(store: Store, memory: PairMemory, couple: Couples) -> None:
    await keep(memory, couple())
    later = datetime(2999, 1, 1, tzinfo=UTC)
    choice = Choice(domains=("else.where",), judges=("panel",), episodes=("x",), since=later)
    assert forget(store, "default", choice).pairs == ()
    assert len(everything(store)) == 1


async def test_one_couple_from_many_threads_is_one_pair(store: Store, couple: Couples) -> None:
    memories = [PairMemory(store, ToyEmbedder()) for _ in range(8)]
    done = await asyncio.gather(*(keep(memory, couple()) for memory in memories))
    assert sorted(item.decision for item in done) == ["ignored"] * 7 + ["stored"]
    assert len(everything(store)) == 1
