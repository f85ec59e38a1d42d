"""Notes that link and change each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.memories.methods import a_film, ids_of

from mia.errors import ModelError
from mia.memories.amem import AMem, read_evolution
from mia.testing.models import ScriptedModel, ToyEmbedder
from mia.types import Episode, Question

Films = Callable[..., Episode]


def described(context: str = "about films", tags: Sequence[str] = ("film",)) -> str:
    return json.dumps({"keywords": ["director"], "context": context, "tags": list(tags)})


def evolved(
    links: Sequence[int] = (), tags: Sequence[str] = (), updates: Sequence[dict[str, Any]] = ()
) -> str:
    return json.dumps({"links": list(links), "tags": list(tags), "updates": list(updates)})


async def test_a_note_has_what_the_model_says_of_it_and_is_found_by_that(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([described(), described("zebras and giraffes", ["savanna"]), evolved()])
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), model, k=1)) as memory:
        await memory.remember(film_episode("Jaws"))
        await memory.remember(film_episode("Heat"))
        (note,) = (await memory.recall(Question(text="Zebras and giraffes?", id="new"))).notes
    assert note.id == "episode of Heat"
    assert "Context: zebras and giraffes\nKeywords: director\nTags: savanna" in note.text
    assert "The answer was judged correct." in note.text
    assert model.unused == []


async def test_what_a_note_is_linked_with_comes_with_it(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([described(), described(), evolved(links=[1])])
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), model, k=1)) as memory:
        first = replace(film_episode("Jaws"), question=Question(text="Boats?", id="boats"))
        await memory.remember(first)
        await memory.remember(film_episode("Heat"))
        found = await memory.recall(a_film())
        assert ids_of(found) == ["episode of Heat", "episode of Jaws"]
        asked_by_link = replace(a_film(), id="boats")
        assert ids_of(await memory.recall(asked_by_link)) == ["episode of Heat"]


async def test_links_go_to_the_neighbours_by_their_numbers_the_nearest_first(
    tmp_path: Path, film_episode: Films
) -> None:
    boats = replace(film_episode("Jaws"), question=Question(text="Boats?", id="b"), id="far")
    replies = [described("far"), described(), evolved(), described(), evolved([2])]
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), ScriptedModel(replies), k=1)) as memory:
        await memory.remember(boats)
        await memory.remember(film_episode("Heat"))
        await memory.remember(film_episode("Alien"))
        found = await memory.recall(replace(a_film(), text="Who was the director of Alien?"))
        assert ids_of(found) == ["episode of Alien", "far"]


async def test_at_most_k_linked_notes_come_along_and_none_twice(
    tmp_path: Path, film_episode: Films
) -> None:
    replies = [described(), described(), evolved([1]), described(), evolved([2, 1, 1])]
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), ScriptedModel(replies), k=1)) as memory:
        for film, verb in (("Jaws", "paid"), ("Heat", "hired"), ("Alien", "born")):
            await memory.remember(film_episode(film, verb=verb))
        asked = Question(text="When was the director of film Big born?", id="new")
        assert len(ids_of(await memory.recall(asked))) == 2
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), ScriptedModel([]), k=3)) as memory:
        assert sorted(ids_of(await memory.recall(asked))) == sorted(
            f"episode of {film}" for film in ("Jaws", "Heat", "Alien")
        )


async def test_a_new_note_changes_what_its_neighbours_say_and_from_then_on_they_stem_from_it_too(
    tmp_path: Path, film_episode: Films
) -> None:
    update = {"number": 1, "context": "also about heat", "tags": ["changed"]}
    model = ScriptedModel([described(), described(), evolved(tags=["new"], updates=[update])])
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Jaws"))
        heat = film_episode("Heat")
        remembered = await memory.remember(heat)
        assert "1 updates" in remembered.reason
        texts = {note.id: note.text for note in (await memory.recall(a_film())).notes}
        assert "Context: also about heat" in texts["episode of Jaws"]
        assert "Tags: changed" in texts["episode of Jaws"]
        assert "Tags: new" in texts["episode of Heat"]
        assert (await memory.recall(heat.question)).empty
        own = film_episode("Jaws").question
        assert ids_of(await memory.recall(own)) == ["episode of Heat"]


async def test_only_so_many_neighbours_are_put_before_the_model(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel([described(), *[described(), evolved()] * 3])
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), model, neighbours=2)) as memory:
        for film in ("Jaws", "Heat", "Alien", "Big"):
            await memory.remember(film_episode(film))
    shown = model.asked[-1][0].content
    assert "Note 2" in shown and "Note 3" not in shown


async def test_a_note_that_cannot_be_linked_stays_as_it_was_made(
    tmp_path: Path, film_episode: Films
) -> None:
    model = ScriptedModel(
        [described(), described(tags=["mine"]), evolved([7]), evolved([0]), described(), evolved()]
    )
    with closing(AMem(tmp_path / "a.db", ToyEmbedder(), model)) as memory:
        await memory.remember(film_episode("Jaws"))
        remembered = await memory.remember(film_episode("Heat"))
        assert "no note 0" in remembered.reason and remembered.usage.calls == 3
        notes = (await memory.recall(a_film())).notes
        assert any("Tags: mine" in note.text for note in notes)


_TAGS = st.lists(st.text(min_size=1, max_size=5), max_size=3)
_UPDATE = st.fixed_dictionaries({"number": st.integers(-1, 5), "context": st.text(), "tags": _TAGS})


@given(
    st.fixed_dictionaries(
        {
            "links": st.lists(st.integers(-1, 5), max_size=4),
            "tags": _TAGS,
            "updates": st.lists(_UPDATE, max_size=3),
        }
    ),
    st.integers(1, 4),
)
def test_an_evolution_names_neighbours_that_there_are_or_is_refused(
    reply: dict[str, Any], neighbours: int
) -> None:
    updated = [update["number"] for update in reply["updates"]]
    named = [*reply["links"], *updated]
    fits = all(1 <= n <= neighbours for n in named) and len(set(updated)) == len(updated)
    try:
        read = read_evolution(json.dumps(reply), neighbours=neighbours)
    except ModelError:
        assert not fits
    else:
        assert fits and read.links == reply["links"]


_SAME = {"number": 1, "context": "", "tags": []}


@pytest.mark.parametrize(
    "reply",
    ["", "{}", "[]", "links: 1", '{"links": [1], "tags": []}', evolved(updates=[_SAME, _SAME])],
)
def test_what_is_no_evolution_is_refused(reply: str) -> None:
    with pytest.raises(ModelError):
        read_evolution(reply, neighbours=1)
