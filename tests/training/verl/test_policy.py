"""A policy that verl serves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from tests.training.talking import END

from mia.errors import ModelError, TrainingError
from mia.model import Sampling
from mia.training.verl.policy import ServerPolicy

DRAWN = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": True}


class Tokens(NamedTuple):
    """What verl's servers give back."""

    token_ids: Sequence[int]
    log_probs: Sequence[float] | None
    extra_fields: dict[str, Any]
    stop_reason: str | None = "completed"


class Server:
    """Says one thing, and notes what it was asked."""

    def __init__(self, says: Tokens) -> None:
        self.asked: list[tuple[str, list[int], dict[str, Any]]] = []
        self._says = says

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Tokens:
        self.asked.append((request_id, prompt_ids, sampling_params))
        return self._says


async def test_ids_and_logprobs_are_those_that_were_sampled() -> None:
    server = Server(Tokens([65, 66, END], [-0.5, -0.25, -0.125], {"global_steps": 3}))
    policy = ServerPolicy(server, "one episode", DRAWN, END)
    got = await policy.sample((1, 2), Sampling(temperature=0.7, max_tokens=9), 5)
    assert (got.ids, got.logprobs) == ((65, 66, END), (-0.5, -0.25, -0.125))
    assert (got.version, got.truncated) == (3, False)
    ((request, prompt, drawn),) = server.asked
    assert (request, prompt) == ("one episode", [1, 2])
    assert drawn == {**DRAWN, "temperature": 0.7, "max_tokens": 9, "seed": 5}


async def test_a_server_is_told_where_to_stop() -> None:
    server = Server(Tokens([65, 66], [-0.5, -0.25], {}))
    policy = ServerPolicy(server, "e", DRAWN, END)
    await policy.sample((1,), Sampling(stop=("<tool_response>",)), 0)
    await policy.sample((1,), Sampling(), 0)
    (_, _, stopped), (_, _, plain) = server.asked
    assert stopped["stop"] == ["<tool_response>"] and "stop" not in plain


async def test_the_parameters_of_one_call_are_not_those_of_the_next() -> None:
    """verl's servers take them apart."""
    server, drawn = Server(Tokens([65], [-1.0], {})), dict(DRAWN)
    policy = ServerPolicy(server, "e", drawn, END)
    await policy.sample((1,), Sampling(), 0)
    server.asked[0][2].clear()
    await policy.sample((1,), Sampling(), 0)
    assert server.asked[1][2]["top_k"] == -1
    assert drawn == DRAWN


async def test_a_reply_that_did_not_come_to_its_end_is_truncated() -> None:
    server = Server(Tokens([65, 66], [-0.5, -0.5], {"global_steps": None}, "length"))
    got = await ServerPolicy(server, "e", DRAWN, END).sample((1,), Sampling(), 0)
    assert got.truncated
    assert got.version == 0, "before the first update there is no number"


@pytest.mark.parametrize("logprobs", [None, [-0.5]])
async def test_tokens_without_their_logprobs_are_nothing_to_learn_from(
    logprobs: list[float] | None,
) -> None:
    server = Server(Tokens([65, END], logprobs, {}))
    with pytest.raises(TrainingError, match="calculate_log_probs=True"):
        await ServerPolicy(server, "e", DRAWN, END).sample((1,), Sampling(), 0)


async def test_a_server_that_says_nothing_is_no_reply() -> None:
    server = Server(Tokens([], [], {}, "aborted"))
    with pytest.raises(ModelError, match=r"sampled nothing \(aborted\)"):
        await ServerPolicy(server, "e", DRAWN, END).sample((1,), Sampling(), 0)
