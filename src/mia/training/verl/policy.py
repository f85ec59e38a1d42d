"""A policy that verl serves: it samples with the weights that are being trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mia.errors import ModelError, TrainingError
from mia.model import Generation, Policy, Sampling


class Server(Protocol):
    """What we use of verl's LLMServerClient."""

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        """A TokenOutput. Calls of one `request_id` go to one server, which then has their common
        beginning in its cache."""
        ...


class ServerPolicy(Policy):
    """The policy of one episode."""

    def __init__(self, server: Server, request: str, drawn: Mapping[str, Any], end: int) -> None:
        """`drawn` are the sampling parameters that verl gives an episode; `end` is the token that
        ends a turn."""
        self._server = server
        self._request = request
        self._drawn = drawn
        self._end = end

    async def sample(self, prompt_ids: Sequence[int], sampling: Sampling, seed: int) -> Generation:
        """Raises ModelError when nothing was sampled, TrainingError without a logprob for each
        token; what Ray raises flies."""
        output = await self._server.generate(
            self._request,
            prompt_ids=list(prompt_ids),
            sampling_params={
                **self._drawn,
                "temperature": sampling.temperature,
                "max_tokens": sampling.max_tokens,
                "seed": seed,
                **({"stop": list(sampling.stop)} if sampling.stop else {}),
            },
        )
        ids: tuple[int, ...] = tuple(output.token_ids)
        logprobs: tuple[float, ...] = tuple(output.log_probs or ())
        if not ids:
            raise ModelError(f"verl sampled nothing ({output.stop_reason})")
        if len(logprobs) != len(ids):
            raise TrainingError(
                f"verl sampled {len(ids)} tokens with {len(logprobs)} logprobs; keep"
                " actor_rollout_ref.rollout.calculate_log_probs=True"
            )
        return Generation(
            ids=ids,
            logprobs=logprobs,
            version=output.extra_fields.get("global_steps") or 0,  # before the first update
            truncated=ids[-1] != self._end,
        )
