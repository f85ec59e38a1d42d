"""Insights from comparing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.memories.methods import a_film

from mia.errors import ModelError
from mia.memories.expel import ExpeL
from mia.memories.insights import (
    BORN,
    MOST_OPERATIONS,
    Insight,
    Operation,
    carried_out,
    listed,
    ranked,
    read_operations,
)
from mia.testing.models import ScriptedModel, ToyEmbedder
from mia.types import Episode, Trajectory, VerdictValue

Films = Callable[..., Episode]
WRONG = VerdictValue.INCORRECT


def done(*operations: tuple[str, int, str]) -> str:
    listed = [{"operation": kind, "number": n, "text": text} for kind, n, text in operations]
    return json.dumps({"reason": "since", "operations": listed})


def add(*texts: str) -> str:
    return done(*(("ADD", 0, text) for text in texts))


async def insights(memory: ExpeL) -> list[str]:
    notes = (await memory.recall(a_film())).notes
    return notes[0].text.splitlines() if notes and notes[0].id == "insights" else []


async def test_a_success_after_a_failure_of_the_same_question_is_compared_with_it(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([add("look twice")])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Jaws", date="long ago", verdict=WRONG, id="zeroth"))
        await memory.remember(film_episode("Jaws", date="never", verdict=WRONG, id="first"))
        assert model.calls == []
        await memory.remember(film_episode("Jaws", id="second"))
        assert await insights(memory) == ["1. look twice"]
        own = film_episode("Jaws").question
        assert (await memory.recall(own)).empty
    prompt = model.asked[0][0].content
    assert "long ago" not in prompt
    assert prompt.index("Answer: never") < prompt.index("Answer: December 18, 1946")


async def test_a_success_after_a_replan_is_compared_with_its_own_first_try(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([add("look twice")])
    run = film_episode("Jaws")
    first = Trajectory(turns=run.trajectory.turns[:1])
    saved = replace(run, trajectory=first, replan=run.plan, retrajectory=run.trajectory)
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model)) as memory:
        await memory.remember(saved)
        assert await insights(memory) == ["1. look twice"]
    assert "Ended: abstained" in model.asked[0][0].content


async def test_enough_successes_that_were_in_no_set_make_a_set(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([add("all alike"), add("again")])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, together=3)) as memory:
        for number, film in enumerate(["Jaws", "Heat", "Alien", "Big", "Tron", "Up"], 1):
            await memory.remember(film_episode(film))
            assert len(model.calls) == number // 3
        found = await memory.recall(a_film("Signs"))
        assert found.notes[0].text == "1. all alike\n2. again"
        assert "film Up" not in model.asked[0][0].content
        assert "film Jaws" not in model.asked[1][0].content
        # what a set taught is hidden from the questions of that set
        own = (await memory.recall(film_episode("Tron").question)).notes[0]
        assert own.text == "1. all alike"


async def test_insights_come_first_then_the_nearest_successes(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([add("an insight")])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, k=2, together=3)) as memory:
        for verb in ("paid", "born", "hired"):
            await memory.remember(film_episode(verb, verb=verb))
        await memory.remember(film_episode("born again", verdict=WRONG))
        notes = (await memory.recall(a_film())).notes
    assert [note.id for note in notes][:2] == ["insights", "episode of born"]
    assert len(notes) == 3
    assert "Answer: December 18, 1946" in notes[1].text


async def test_operations_move_the_counts_and_at_nothing_an_insight_goes(
    tmp_path: Path, film_episode: Films
) -> None:
    replies = [
        add("first", "second", "third"),
        done(("UPVOTE", 2, ""), ("DOWNVOTE", 1, "")),
        done(("DOWNVOTE", 3, ""), ("EDIT", 2, "a better third")),
    ]
    model = ScriptedModel(replies)
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, together=1)) as memory:
        await memory.remember(film_episode("Jaws"))
        assert await insights(memory) == ["1. first", "2. second", "3. third"]
        await memory.remember(film_episode("Heat"))
        assert await insights(memory) == ["1. second", "2. third", "3. first"]
        assert "1. second (counts 3)" not in model.asked[1][0].content
        await memory.remember(film_episode("Big"))
        assert "1. second (counts 3)\n2. third (counts 2)\n3. first (counts 1)" in (
            model.asked[2][0].content
        )
        assert await insights(memory) == ["1. second", "2. a better third"]
        # an edited text stems from the run that edited it as well; a vote is no text
        assert (await memory.recall(film_episode("Heat").question)).notes[0].id == "insights"
        kept = (await memory.recall(film_episode("Big").question)).notes[0]
        assert kept.text == "1. second"


async def test_a_pair_and_a_set_in_one_episode_build_on_each_other(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([add("from the pair"), done(("UPVOTE", 1, ""), ("ADD", 0, "new"))])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, together=1)) as memory:
        await memory.remember(film_episode("Jaws", verdict=WRONG, id="first"))
        remembered = await memory.remember(film_episode("Jaws", id="second"))
        assert remembered.usage.calls == 2
        assert "1. from the pair (counts 2)" in model.asked[1][0].content
        assert await insights(memory) == ["1. from the pair", "2. new"]


async def test_successes_wait_for_the_next_set_where_the_model_cannot_be_read(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([ModelError("down"), add("later")])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, together=2)) as memory:
        await memory.remember(film_episode("Jaws"))
        assert "down" in (await memory.remember(film_episode("Heat"))).reason
        assert len((await memory.recall(a_film())).notes) == 2
        await memory.remember(film_episode("Big"))
        assert await insights(memory) == ["1. later"]
    prompt = model.asked[1][0].content
    assert "film Jaws" in prompt and "film Heat" in prompt and "film Big" not in prompt


async def test_a_full_list_says_so(tmp_path: Path, film_episode: Films) -> None:
    model = ScriptedModel([add("a", "b"), add()])
    with closing(ExpeL(tmp_path / "e.db", ToyEmbedder(), model, together=1, most=2)) as memory:
        await memory.remember(film_episode("Jaws"))
        await memory.remember(film_episode("Heat"))
    assert "is full" not in model.asked[0][0].content
    assert "is full" in model.asked[1][0].content


def test_in_a_full_list_a_doubt_weighs_three() -> None:
    held = {"a": Insight(text="a", importance=4), "b": Insight(text="b", importance=3)}
    doubts = [Operation(kind="DOWNVOTE", id="a"), Operation(kind="DOWNVOTE", id="b")]
    assert carried_out(held, doubts, most=3) == {
        "a": Insight(text="a", importance=3),
        "b": Insight(text="b", importance=2),
    }
    assert carried_out(held, doubts, most=2) == {"a": Insight(text="a", importance=1)}


def test_what_is_done_to_an_insight_that_is_gone_does_nothing() -> None:
    for kind in ("EDIT", "UPVOTE", "DOWNVOTE"):
        gone = Operation(kind=kind, id="gone", text="x" if kind == "EDIT" else "")
        assert carried_out({}, [gone], most=20) == {}


def test_equally_important_insights_keep_their_order() -> None:
    held = {name: Insight(text=name, importance=n) for name, n in (("a", 2), ("b", 3), ("c", 2))}
    assert ranked(held) == ("b", "a", "c")
    assert listed([]) == "none yet"


@pytest.mark.parametrize(
    "reply",
    [
        done(("EDIT", 0, "x")),
        done(("UPVOTE", 3, "")),
        done(("DOWNVOTE", -1, "")),
        done(("ADD", 0, "  ")),
        done(("EDIT", 1, "")),
        done(("UPVOTE", 1, ""), ("EDIT", 1, "x")),
        done(*[("ADD", 0, "x")] * (MOST_OPERATIONS + 1)),
        done(("AGREE", 1, "")),
        "ADD: look twice",
        '{"operations": []}',
    ],
)
def test_what_cannot_be_carried_out_is_refused(reply: str) -> None:
    with pytest.raises(ModelError):
        read_operations(reply, shown=("a", "b"), born="e")


_OPERATION = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["ADD", "EDIT", "UPVOTE", "DOWNVOTE"]),
        "number": st.integers(-1, 5),
        "text": st.text(max_size=8),
    }
)


@given(st.lists(_OPERATION, max_size=5), st.integers(0, 4), st.integers(1, 6))
def test_whatever_is_read_can_be_carried_out_and_touches_only_what_was_shown(
    operations: list[dict[str, Any]], count: int, most: int
) -> None:
    held = {f"i{n}": Insight(text=f"t{n}", importance=n + 1) for n in range(count)}
    shown = ranked(held)
    try:
        read = read_operations(
            json.dumps({"reason": "", "operations": operations}), shown=shown, born="e"
        )
    except ModelError:
        return
    after = carried_out(held, read, most)
    added = sum(one["operation"] == "ADD" for one in operations)
    touched = {one.id for one in read}
    assert len(read) == len(operations)
    assert len(after.keys() - held.keys()) == added
    assert all(after[id].importance == BORN for id in after.keys() - held.keys())
    assert all(after[id] == held[id] for id in held.keys() - touched)
    for one, asked in zip(read, operations, strict=True):
        if asked["operation"] != "ADD":
            assert one.id == shown[asked["number"] - 1]
    assert all(one.importance > 0 for one in after.values())
