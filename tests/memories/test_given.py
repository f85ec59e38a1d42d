"""A memory that is given what it recalls."""

from __future__ import annotations

from mia.memories.given import GivenMemory
from mia.types import Episode, Note, Question, Recollection

ASKED = Question(text="Where is Rovigo?", id="q")


async def test_it_recalls_what_it_was_given_and_learns_nothing() -> None:
    given = Recollection(notes=(Note(text="Maps tell where towns are."),))
    memory = GivenMemory(given)
    remembered = await memory.remember(Episode(id="e", question=ASKED))
    assert remembered.decision == "ignored"
    assert await memory.recall(ASKED) == given
