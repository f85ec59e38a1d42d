from __future__ import annotations

from collections.abc import Callable

from mia.memories.none import NoMemory, NoPlanMemory
from mia.types import Episode, Question


async def test_no_memory_recalls_nothing_and_remembers_nothing(
    film_episode: Callable[..., Episode],
) -> None:
    memory = NoMemory()
    remembered = await memory.remember(film_episode())
    assert remembered.decision == "ignored"
    assert remembered.workflow_id is None
    assert (await memory.recall(Question(text="When was the director of Jaws born?", id="q"))).empty


async def test_no_plan_memory_knows_no_pairs(film_episode: Callable[..., Episode]) -> None:
    memory, episode = NoPlanMemory(), film_episode()
    remembered = await memory.remember_pair(episode.question, episode, episode)
    assert remembered.decision == "ignored"
    assert await memory.pairs(episode.question, 2) == ()
