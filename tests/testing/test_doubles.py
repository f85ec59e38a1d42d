"""The doubles keep the contracts that they stand in for."""

from __future__ import annotations

import numpy as np
import pytest

from mia.errors import ModelError
from mia.memory import Memory
from mia.model import Embedder, Message, Model, Reply, Sampling
from mia.router import PlanMemory
from mia.solve import Record
from mia.testing import (
    MemoryRecord,
    ScriptedModel,
    ScriptError,
    ToyEmbedder,
    ToyMemory,
    ToyPlanMemory,
    ToySearch,
)
from mia.tool import Search
from mia.types import Episode, Passage, Question, Recollection, Remembered

ASK = (Message(role="user", content="Which town?"),)
EPISODE = Episode(id="e1", question=Question(text="Which town?", id="q1"))


def test_every_double_is_what_its_contract_asks_for() -> None:
    model: Model = ScriptedModel([])
    embedder: Embedder = ToyEmbedder()
    search: Search = ToySearch([])
    memory: Memory = ToyMemory()
    plan_memory: PlanMemory = ToyPlanMemory()
    record: Record = MemoryRecord()
    assert all((model, embedder, search, memory, plan_memory, record))


async def test_a_scripted_model_gives_its_replies_in_order_and_notes_what_was_asked() -> None:
    model = ScriptedModel(["one", Reply(text="two", truncated=True), ModelError("down"), "four"])
    sampling = Sampling(temperature=1)
    assert (await model.reply(ASK, sampling=sampling)).text == "one"
    assert (await model.reply(ASK)).truncated
    with pytest.raises(ModelError, match="down"):
        await model.reply(ASK)
    assert model.unused == ["four"]
    assert model.asked == [ASK] * 3
    assert model.calls[0].sampling == sampling


async def test_a_script_at_its_end_is_no_model_error_and_says_what_was_asked() -> None:
    with pytest.raises(AssertionError, match=r"call 1 came after the script's end.*Which town"):
        await ScriptedModel([]).reply(ASK)


async def test_toy_vectors_are_unit_rows_the_same_every_time_and_alike_for_like_texts() -> None:
    rows = await ToyEmbedder().embed(["the town of Rovigo", "Rovigo, the town", "a cold river", ""])
    again = await ToyEmbedder().embed(["the town of Rovigo"])
    np.testing.assert_array_equal(rows[:1], again)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 1, 0], atol=1e-6)
    assert rows[0] @ rows[1] > rows[0] @ rows[2]


async def test_toy_search_finds_by_words_and_opens_by_id_title_or_url() -> None:
    rovigo = Passage(id="1", title="Rovigo", text="a town in Italy", url="http://r")
    padua = Passage(id="2", title="Padua", text="a town in Italy with a university")
    search = ToySearch([rovigo, padua])
    found = await search.search("Which town in Italy has a university?", 5)
    assert [passage.id for passage in found] == ["2", "1"]
    assert [p.id for p in await search.search("town", 1)] == ["1"]
    assert await search.search("glacier", 5) == ()
    assert [await search.page(address) for address in ("1", "Rovigo", "http://r")] == [rovigo] * 3
    assert await search.page("Venice") is None


async def test_toy_memory_remembers_an_episode_once() -> None:
    memory = ToyMemory(Recollection())
    first = await memory.remember(EPISODE)
    second = await memory.remember(EPISODE)
    assert (first.decision, second.decision) == ("stored", "ignored")
    assert memory.episodes == [EPISODE]
    assert await memory.recall(EPISODE.question) == Recollection()


async def test_a_toy_plan_memory_keeps_a_couple_once() -> None:
    memory, other = ToyPlanMemory(), Episode(id="e2", question=EPISODE.question)
    first = await memory.remember_pair(EPISODE.question, EPISODE, other)
    second = await memory.remember_pair(EPISODE.question, EPISODE, other)
    assert (first.decision, second.decision) == ("stored", "ignored")
    assert memory.couples == [(EPISODE, other)]
    assert await memory.pairs(EPISODE.question, 2) == ()


async def test_a_record_settles_only_what_was_written_down() -> None:
    record = MemoryRecord()
    remembered = Remembered(decision="ignored", reason="no")
    with pytest.raises(ScriptError):
        await record.settle("e1", remembered)
    await record.append(EPISODE)
    await record.settle("e1", remembered)
    assert record.episodes == [EPISODE]
    assert record.settled == {"e1": remembered}
