"""Whoever learns stands still while it is asked to, wherever it is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from tests.training import tiny_world

from mia.model import Message
from mia.models.shared import Replies, SharedModel
from mia.models.torch_local import libraries
from mia.testing import ScriptedModel
from mia.training.giving_way import GivingWay

HELLO = (Message(role="user", content="hello"),)
SOON, NEVER = 20.0, 0.3
"""Seconds in which what can happen does, and what cannot does not."""


def begun(work: Callable[[], object]) -> threading.Event:
    """Set when the work is done, which a thread of its own does."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done


def test_a_model_waits_before_each_layer_forwards_and_backwards(tiny_base: Path) -> None:
    torch, _ = libraries()
    way, model = GivingWay(), tiny_world.opened(tiny_base).model
    way.over(model)
    ids = torch.tensor([[1, 2, 3]])
    way.stop()
    forward = begun(lambda: model(input_ids=ids))
    assert not forward.wait(NEVER)
    way.go()
    assert forward.wait(SOON)
    loss = model(input_ids=ids).logits.sum()
    way.stop()
    backward = begun(loss.backward)
    assert not backward.wait(NEVER)
    way.go()
    assert backward.wait(SOON)


def test_what_is_learned_is_the_same(tiny_base: Path) -> None:
    torch, _ = libraries()
    ids = torch.tensor([[1, 2, 3]])

    def gradient(way: GivingWay | None) -> list[float]:
        model = tiny_world.opened(tiny_base).model
        if way is not None:
            way.over(model)
        model(input_ids=ids).logits.logsumexp(-1).sum().backward()
        return [float(weight.grad.norm()) for weight in model.parameters()]

    assert gradient(GivingWay()) == gradient(None)


async def test_calls_wait_and_the_loop_goes_on() -> None:
    way, model = GivingWay(), ScriptedModel(["one"])
    asking = SharedModel(model, Replies(before=way.passed), "m")
    way.stop()
    call = asyncio.create_task(asking.reply(HELLO))
    await asyncio.sleep(NEVER)
    assert not call.done() and not model.calls
    way.go()
    assert (await asyncio.wait_for(call, SOON)).text == "one"
