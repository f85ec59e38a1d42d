"""The file that memories beside the Manager keep, and how runs are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from tests.memories.methods import noted

from mia.captioner import in_words
from mia.errors import StoreError
from mia.memories.kept import Keeper, Rows, Vector, Write
from mia.memories.told import plan_of, thought, told
from mia.planners.passthrough import Passthrough
from mia.sqlite_file import SqliteFile
from mia.testing.models import ToyEmbedder
from mia.types import Episode, Noun, Picture, Question, Recollection, Remembered, Trajectory, Turn

Films = Callable[..., Episode]


class Text(Noun, frozen=True):
    """What the tests keep."""

    text: str


class Tag(Noun, frozen=True):
    """Another kind."""

    text: str


def vector(*numbers: float) -> Vector:
    row = np.zeros(64, dtype=np.float32)
    row[: len(numbers)] = numbers
    return row / np.linalg.norm(row)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    opened = Keeper(tmp_path / "kept.db", "test", ToyEmbedder())
    yield opened
    opened.close()


async def keep(keeper: Keeper, episode: Episode, write: Write) -> Remembered:
    async def draft(_: Vector) -> Write:
        return write

    return await keeper.once(episode, draft)


def stored(rows: Rows, *ids: str, episode: str) -> Remembered:
    for number, id in enumerate(ids):
        rows.put(id, Text(text=id), vector(1, number), [episode])
    return Remembered(decision="stored", reason="")


async def test_the_nearest_of_a_kind_are_found_the_oldest_first_among_equals(
    keeper: Keeper, film_episode: Films
) -> None:
    def write(rows: Rows) -> Remembered:
        for id, place in (("far", vector(0, 1)), ("old", vector(1)), ("new", vector(1))):
            rows.put(id, Text(text=id), place, ["e"])
        rows.put("tag", Tag(text="tag"), vector(1), ["e"])
        assert [held.id for held in rows.nearest(Text, vector(1), 9)] == ["old", "new", "far"]
        assert [held.id for held in rows.nearest(Text, vector(1), 1)] == ["old"]
        assert [held.body for held in rows.nearest(Tag, vector(1), 9)] == [Tag(text="tag")]
        assert [round(h.similarity, 4) for h in rows.nearest(Text, vector(1, 1), 1)] == [0.7071]
        return Remembered(decision="stored", reason="")

    await keep(keeper, film_episode(id="e"), write)
    assert keeper.count() == 4


async def test_a_write_that_breaks_off_leaves_nothing(keeper: Keeper, film_episode: Films) -> None:
    def half(rows: Rows) -> Remembered:
        stored(rows, "a", episode="e")
        raise ZeroDivisionError

    episode = film_episode(id="e")
    with pytest.raises(ZeroDivisionError):
        await keep(keeper, episode, half)
    assert keeper.count() == 0
    done = await keep(keeper, episode, partial(stored, episode="e"))
    assert done.decision == "stored"


async def test_an_item_cannot_stem_from_an_episode_that_nobody_settled(
    keeper: Keeper, film_episode: Films
) -> None:
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        await keep(keeper, film_episode(id="e"), lambda rows: stored(rows, "a", episode="other"))
    assert keeper.count() == 0


async def test_what_was_changed_stems_from_all_that_changed_it_and_what_is_dropped_from_nothing(
    keeper: Keeper, film_episode: Films
) -> None:
    jaws, heat, big = (film_episode(film, id=film) for film in ("Jaws", "Heat", "Big"))
    await keep(keeper, jaws, lambda rows: stored(rows, "a", "b", episode="Jaws"))
    await keep(keeper, heat, lambda rows: stored(rows, "a", episode="Heat"))

    async def seen(episode: Episode) -> list[str]:
        return await keeper.look(
            episode.question, lambda rows, _: [held.id for held in rows.all(Text)]
        )

    assert [await seen(episode) for episode in (jaws, heat, big)] == [[], ["b"], ["a", "b"]]

    def drop(rows: Rows) -> Remembered:
        rows.drop("a")
        rows.change("b", Text(text="changed"))
        return Remembered(decision="stored", reason="")

    await keep(keeper, big, drop)
    assert [await seen(episode) for episode in (jaws, heat, big)] == [[], ["b"], ["b"]]
    assert await keeper.read(lambda rows: rows.get("b", Text)) == Text(text="changed")
    assert await keeper.look(jaws.question, lambda rows, _: rows.get("b", Text)) is None
    assert await keeper.look(jaws.question, lambda rows, asked: rows.nearest(Text, asked, 9)) == []


async def test_a_question_is_looked_up_by_what_its_pictures_show(keeper: Keeper) -> None:
    seen = Picture(id="0" * 64, width=1, height=1)
    asked = Question(text="Who painted this?", id="q", caption="a zebra", pictures=(seen,))
    (shown,) = await keeper.vectors(in_words(asked))
    found = await keeper.look(asked, lambda _, vector: vector)
    assert "zebra" in in_words(asked) and np.array_equal(found, shown)


async def test_damage_is_an_error(keeper: Keeper, tmp_path: Path, film_episode: Films) -> None:
    await keep(keeper, film_episode(id="e"), lambda rows: stored(rows, "a", episode="e"))
    raw = SqliteFile(tmp_path / "kept.db", "it", "", version=1, synchronous="FULL")
    for damage, said in (
        ("UPDATE items SET vector = x'00'", "64 numbers"),
        ("UPDATE items SET body = x'00'", "damaged"),
    ):
        with raw.writing() as db:
            db.execute(damage)
        with pytest.raises(StoreError, match=said):
            await keeper.read(lambda rows: (rows.nearest(Text, vector(1), 1), rows.all(Text)))
        with raw.writing() as db:
            db.execute("UPDATE items SET vector = zeroblob(256)")
    raw.close()


def test_a_run_is_told_in_its_turns_and_how_it_ended(film_episode: Films) -> None:
    run = film_episode().trajectory
    text = told(run, Recollection(), 1000)
    assert text.startswith("Turn 1\nThought: Who directed Jaws?\nCall: search {")
    assert text.endswith("Turn 3\nAnswer: December 18, 1946")
    stopped = told(Trajectory(turns=run.turns[:1], detail="gave up"), Recollection(), 1000)
    assert stopped.endswith("Ended: abstained gave up")
    assert len(told(run, Recollection(), 20).split()) <= 21


def test_thoughts_that_repeat_what_was_recalled_are_cut_and_the_rest_stays() -> None:
    line = "First find who directed the film in question."
    recalled = noted(f"Thought: {line}\nshort one")
    turn = Turn(thought=f"I recall: {line} That is a short one, so let me search.")
    assert thought(turn, recalled) == (
        "I recall: [as remembered] That is a short one, so let me search."
    )
    assert thought(turn, Recollection()) == turn.thought


async def test_a_plan_that_hands_on_what_was_recalled_is_no_plan(film_episode: Films) -> None:
    run = film_episode(recollection=noted("Look twice."))
    passed_on = await Passthrough().plan(run.question, run.recollection)
    assert plan_of(replace(run, plan=passed_on)) == ""
    assert plan_of(replace(run, plan=None)) == ""
    assert run.plan is not None and plan_of(run) == run.plan.text
