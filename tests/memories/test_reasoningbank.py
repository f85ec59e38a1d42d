"""Lessons from successes and failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.memories.methods import a_film

from mia.errors import ModelError
from mia.memories.reasoningbank import MOST, ReasoningBank, read_items
from mia.testing.models import ScriptedModel, ToyEmbedder
from mia.types import Episode, Question, VerdictValue

Films = Callable[..., Episode]


def drawn(*titles: str) -> str:
    items = [{"title": title, "description": "One thing.", "content": "Do it."} for title in titles]
    return json.dumps({"reason": "since", "items": items})


async def test_a_question_is_shown_all_items_of_the_nearest_run_only(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([drawn("born 1", "born 2"), drawn("hired 1", "hired 2", "hired 3")])
    with closing(ReasoningBank(tmp_path / "bank.db", ToyEmbedder(), model)) as memory:
        for verb in ("born", "hired"):
            await memory.remember(film_episode(verb, verb=verb))
        asked = Question(text="When was the director of film Alien hired?", id="new")
        found = await memory.recall(asked)
        assert [note.title for note in found.notes] == ["hired 1", "hired 2", "hired 3"]
        assert found.notes[0].text == "One thing.\nDo it."
        assert len({note.id for note in found.notes}) == 3
    with closing(ReasoningBank(tmp_path / "bank.db", ToyEmbedder(), model, k=2)) as memory:
        assert len((await memory.recall(asked)).notes) == 5


@pytest.mark.parametrize("verdict", [VerdictValue.CORRECT, VerdictValue.INCORRECT])
async def test_successes_and_failures_are_asked_about_differently_by_the_episodes_verdict(
    tmp_path: Path, film_episode: Films, verdict: VerdictValue
) -> None:
    model = ScriptedModel([drawn("one")])
    with closing(ReasoningBank(tmp_path / "bank.db", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode(verdict=verdict))
    (asked,) = model.asked
    assert ("the run failed" in asked[0].content) is (verdict is VerdictValue.INCORRECT)
    assert ("the run succeeded" in asked[0].content) is (verdict is VerdictValue.CORRECT)
    assert "Steven Spielberg" in asked[0].content


async def test_too_many_items_are_asked_for_again_and_none_are_an_answer(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([drawn("1", "2", "3", "4"), drawn("1"), drawn()])
    with closing(ReasoningBank(tmp_path / "bank.db", ToyEmbedder(), model)) as memory:
        remembered = await memory.remember(film_episode("Jaws"))
        assert (remembered.decision, remembered.usage.calls) == ("stored", 2)
        assert (await memory.remember(film_episode("Heat"))).decision == "ignored"
        assert len((await memory.recall(a_film())).notes) == 1


_ITEM = st.fixed_dictionaries(
    {"title": st.text(), "description": st.text(), "content": st.text()},
    optional={"more": st.text()},
)


@given(st.fixed_dictionaries({"reason": st.text(), "items": st.lists(_ITEM, max_size=5)}))
def test_a_reply_is_read_whole_or_refused(reply: dict[str, Any]) -> None:
    items = reply["items"]
    fits = len(items) <= MOST and all(
        item["title"] and item["content"] and "more" not in item for item in items
    )
    try:
        read = read_items(json.dumps(reply))
    except ModelError:
        assert not fits
    else:
        assert fits and len(read) == len(items)
