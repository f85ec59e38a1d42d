"""The host in this process: versions side by side over one base, each as long as it is leased."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from mia.errors import ModelError
from mia.model import Message, Sampling
from mia.models.torch_local import TokenizerChat, open_base
from mia.training.exercises import Exercise
from mia.training.hosts.torch import TorchHost
from mia.training.learner import Learner
from mia.training.policy_model import Chat
from mia.training.presets import PRESETS
from mia.training.samples import Sample
from mia.training.stages import said_well
from mia.training.tiny import exercises, make_base
from mia.training.versions import Draft, Shelf, Version

ASK = (Message(role="user", content="find a"),)
SHORT = Sampling(max_tokens=4)


def taught(base: Path, shelf: Shelf, letter: str) -> Version:
    """A version that answers with one letter, whatever it is asked."""
    opened = open_base(base, device="cpu", dtype="float32")
    learner = Learner(opened, PRESETS["tiny"])
    chat = TokenizerChat(opened.tokenizer, 100)
    samples = [s for each in exercises(8) for s in says(each, letter, chat)]
    for _ in range(30):
        learner.warm_up(samples)
    draft = Draft(base="tiny", base_sha256="0" * 64, made_by="supervised")
    return shelf.publish(draft, learner.write_adapter)


def says(each: Exercise, letter: str, chat: Chat) -> list[Sample]:
    plan = next(exchange for exchange in each.exchanges if exchange.stage == "plan")
    told = replace(each, exchanges=(replace(plan, reply=letter),))
    return list(said_well(told, "planner", chat))


async def test_who_holds_a_lease_keeps_its_version_while_others_get_the_next(
    tmp_path: Path,
) -> None:
    base, shelf = make_base(tmp_path / "base"), Shelf(tmp_path, "planner")
    first, second = taught(base, shelf, "x"), taught(base, shelf, "y")
    opened = open_base(base, device="cpu", dtype="float32")
    host = TorchHost(opened, TokenizerChat(opened.tokenizer, 100))
    async with host.lease() as (model, number):
        bare = (await model.reply(ASK, sampling=SHORT)).text
        assert number == 0
    await host.activate(first, shelf.folder(first.number))
    async with host.lease() as (old, number):
        assert number == 1 and (await old.reply(ASK, sampling=SHORT)).text == "x"
        await host.activate(second, shelf.folder(second.number))
        async with host.lease() as (new, number):
            said = await asyncio.gather(*(m.reply(ASK, sampling=SHORT) for m in (old, new, old)))
            assert number == host.version == 2
            assert [reply.text for reply in said] == ["x", "y", "x"]
    await host.activate(None, None)
    async with host.lease() as (model, number):
        assert number == 0 and (await model.reply(ASK, sampling=SHORT)).text == bare
    await host.aclose()


async def test_a_version_that_cannot_be_loaded_leaves_the_one_before(tmp_path: Path) -> None:
    base, shelf = make_base(tmp_path / "base"), Shelf(tmp_path, "planner")
    version = taught(base, shelf, "x")
    opened = open_base(base, device="cpu", dtype="float32")
    host = TorchHost(opened, TokenizerChat(opened.tokenizer, 100))
    await host.activate(version, shelf.folder(version.number))
    broken = tmp_path / "nothing"
    broken.mkdir()
    with pytest.raises(ModelError, match="version 9 cannot be served"):
        await host.activate(replace(version, number=9), broken)
    async with host.lease() as (model, number):
        assert number == 1 and (await model.reply(ASK, sampling=SHORT)).text == "x"
    await host.aclose()
