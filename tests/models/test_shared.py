"""Replies that several share: one call where all ask the same, and no sharing of anything else."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import ModelError
from mia.model import Grammar, Message, Reply, Sampling
from mia.models.shared import Replies, SharedModel
from mia.testing import ScriptedModel
from mia.types import Usage

HELLO = (Message(role="user", content="hello"),)
ANSWER = Reply(text="one", usage=Usage(calls=1, seconds=2.0, money=0.25))


async def test_whoever_asks_the_same_gets_the_same_and_is_charged_for_it() -> None:
    model, replies = ScriptedModel([ANSWER]), Replies()
    askers = [SharedModel(model, replies, "m") for _ in range(3)]
    said = await asyncio.gather(*(asker.reply(HELLO) for asker in askers))
    assert said == [ANSWER] * 3 and len(model.calls) == 1
    assert replies.saved == 0.5, "two of three were not paid for"


async def test_a_call_that_differs_in_anything_is_made() -> None:
    model, replies = ScriptedModel([str(n) for n in range(5)]), Replies()
    asker = SharedModel(model, replies, "m")
    said = [
        await asker.reply(HELLO),
        await asker.reply((*HELLO, *HELLO)),
        await asker.reply(HELLO, sampling=Sampling(max_tokens=7)),
        await asker.reply(HELLO, shape=Grammar(gbnf='root ::= "a"')),
        await SharedModel(model, replies, "another").reply(HELLO),
    ]
    assert [reply.text for reply in said] == ["0", "1", "2", "3", "4"]
    assert replies.saved == 0.0


async def test_what_is_drawn_by_chance_is_drawn_each_time() -> None:
    asker = SharedModel(ScriptedModel(["a", "b"]), Replies(), "m")
    warm = replace(Sampling(), temperature=1.0)
    assert [(await asker.reply(HELLO, sampling=warm)).text for _ in "ab"] == ["a", "b"]


async def test_a_failure_is_not_kept() -> None:
    asker = SharedModel(ScriptedModel([ModelError("down"), "up"]), Replies(), "m")
    with pytest.raises(ModelError, match="down"):
        await asker.reply(HELLO)
    assert (await asker.reply(HELLO)).text == "up"


async def test_a_file_keeps_what_was_said_for_who_comes_later(tmp_path: Path) -> None:
    path, model = tmp_path / "replies.db", ScriptedModel([ANSWER, "later"])
    for _ in range(2):
        with closing(Replies(path)) as replies:
            assert await SharedModel(model, replies, "m").reply(HELLO) == ANSWER
    assert len(model.calls) == 1 and replies.saved == 0.25
    with closing(Replies(path)) as replies:
        assert (await SharedModel(model, replies, "n").reply(HELLO)).text == "later"


async def test_the_oldest_make_room() -> None:
    model, replies = ScriptedModel(["0", "1", "2"]), Replies(most=1)
    ask = (SharedModel(model, replies, "m"), SharedModel(model, replies, "n"))
    said = [(await ask[which].reply(HELLO)).text for which in (0, 1, 1, 0)]
    assert said == ["0", "1", "1", "2"]
