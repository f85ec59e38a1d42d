"""Sampling from a causal model on torch, in batches, with exact logprobs.

Axes: U prompts of a batch that differ, W the most rows that go on from one of them, K rows under
way, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mia.model import Generation, Sampling
from mia.models.torch_local import libraries
from mia.models.trees import bias, grown, laid_out, shares

_BATCH = 64
"""Rows that are sampled at once: beyond it a CPU gains nothing and memory grows."""
_ALL, _NOBODY = -1, -2
"""Who sees a token of a prompt, and what pads."""


class Request(NamedTuple):
    """What one asks of a sampler."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int


class Sampler:
    """Draws from a causal model, rows of a batch side by side.

    A row's draws depend on its seed alone, and on the others only as far as a batch's shape moves
    the last bits of its sums. Equal prompts are read once, and kept once where the model can.
    """

    def __init__(self, model: Any, end: int, version: Callable[[], int]) -> None:
        """`version` is asked for at each batch."""
        self._model = model
        self._end = end
        self._version = version
        self._shares = shares(model)

    def __call__(self, requests: Sequence[Request]) -> list[Generation]:
        """One generation a request, in their order."""
        torch, _ = libraries()
        rows = [_Row(request) for request in requests]
        by_prompt: dict[tuple[int, ...], list[_Row]] = {}
        for row in rows:
            by_prompt.setdefault(row.prompt_ids, []).append(row)
        together = [row for some in by_prompt.values() for row in some]
        with torch.inference_mode():
            for begin in range(0, len(together), _BATCH):
                self._batch(torch, together[begin : begin + _BATCH])
        return [row.generation() for row in rows]

    def _batch(self, torch: Any, rows: Sequence[_Row]) -> None:
        prompts: dict[object, list[_Row]] = {}
        for place, row in enumerate(rows):
            prompts.setdefault(row.prompt_ids if self._shares else place, []).append(row)
        alive = list(prompts.values())
        cache, logits_UWV, seer_UT, at_U = self._read(torch, [some[0].prompt_ids for some in alive])
        logits_UWV = logits_UWV.expand(-1, max(map(len, alive)), -1)
        branches = len(rows) > len(alive)
        version = self._version()
        for some in alive:
            for number, row in enumerate(some):
                row.number, row.version = number, version
        while True:
            self._take(torch, alive, logits_UWV)
            going = [u for u, some in enumerate(alive) if any(not row.done for row in some)]
            if not going:
                break
            if len(going) < len(alive):
                kept = torch.tensor(going, device=seer_UT.device)
                cache.batch_select_indices(kept)
                seer_UT, at_U = seer_UT[kept], at_U[kept]
            alive = [[row for row in alive[u] if not row.done] for u in going]
            ids_UW = _even(seer_UT, [[row.ids[-1] for row in some] for some in alive], 0)
            number_UW = _even(seer_UT, [[row.number for row in some] for some in alive], _NOBODY)
            seer_UT = torch.cat([seer_UT, number_UW], dim=1)
            mask = seer_UT != _NOBODY
            if branches:
                own_UWT = seer_UT[:, None] == number_UW[..., None]
                mask = bias(own_UWT | (seer_UT == _ALL)[:, None], self._model.dtype)
            out = self._model(
                input_ids=ids_UW, attention_mask=mask, past_key_values=cache, use_cache=True,
                position_ids=at_U[:, None].expand_as(ids_UW),
            )  # fmt: skip
            cache, logits_UWV, at_U = out.past_key_values, out.logits, at_U + 1

    def _take(self, torch: Any, alive: Sequence[Sequence[_Row]], logits_UWV: Any) -> None:
        """The next token of every row."""
        places = [(u, w) for u, some in enumerate(alive) for w in range(len(some))]
        of_K, as_K = torch.tensor(places, device=logits_UWV.device).T
        under_way = [row for some in alive for row in some]
        ids_K, logprobs_K = _draw(torch, logits_UWV[of_K, as_K], under_way)
        drawn = zip(under_way, ids_K.tolist(), logprobs_K.tolist(), strict=True)
        for row, token, logprob in drawn:
            row.take(token, logprob, self._end)

    def _read(self, torch: Any, prompts: list[tuple[int, ...]]) -> tuple[Any, Any, Any, Any]:
        """Cache, logits of the first token [U, 1, V], who sees what, and the next position."""
        different = list(dict.fromkeys(prompts))
        trees = grown(different, 0)
        ids_UT, at_UT, there_UT = laid_out(trees, self._model)
        out = self._model(
            input_ids=ids_UT, attention_mask=there_UT, position_ids=at_UT, use_cache=True,
            logits_to_keep=1,
        )  # fmt: skip
        index = {different[tree.rows[0]]: place for place, tree in enumerate(trees)}
        of_U = torch.tensor([index[prompt] for prompt in prompts], device=ids_UT.device)
        if of_U.tolist() != list(range(len(trees))):
            out.past_key_values.batch_select_indices(of_U)
        seer_UT = there_UT[of_U] * (_ALL - _NOBODY) + _NOBODY
        return out.past_key_values, out.logits[of_U], seer_UT, at_UT[of_U, -1] + 1


class _Row:
    """One request while it is answered."""

    def __init__(self, request: Request) -> None:
        self.prompt_ids = request.prompt_ids
        self.temperature = request.sampling.temperature
        self.limit = max(1, request.sampling.max_tokens)
        self.ids: list[int] = []
        self.done = False
        self.number = 0
        """Among the rows that go on from one prompt."""
        self.version = 0
        self._logprobs: list[float] = []
        self._ended = False
        self._chance = np.random.default_rng(request.seed % 2**63)

    def chance(self) -> float:
        """The next of this row's numbers, 0 to 1."""
        return float(self._chance.random())

    def take(self, token: int, logprob: float, end: int) -> None:
        self.ids.append(token)
        self._logprobs.append(logprob)
        self._ended = token == end
        self.done = self._ended or len(self.ids) >= self.limit

    def generation(self) -> Generation:
        return Generation(
            ids=tuple(self.ids),
            logprobs=tuple(self._logprobs),
            version=self.version,
            truncated=not self._ended,
        )


def _even(like: Any, rows: Sequence[Sequence[int]], filler: int) -> Any:
    """Rows as a matrix beside another one."""
    wide = max(map(len, rows))
    return like.new_tensor([[*row, *[filler] * (wide - len(row))] for row in rows])


def _draw(torch: Any, logits_KV: Any, rows: Sequence[_Row]) -> tuple[Any, Any]:
    """A token a row and its logprob: the likeliest at temperature 0, else by the inverse of the
    cumulated distribution at the row's next number."""
    device = logits_KV.device
    exact = "cpu" if device.type == "mps" else device  # MPS has no numbers of 64 bits
    warmth_K1 = torch.tensor([[row.temperature or 1.0] for row in rows], device=device)
    logprobs_KV = torch.log_softmax(logits_KV.float() / warmth_K1, dim=-1)
    sums_KV = logprobs_KV.to(exact).double().exp().cumsum(dim=-1)
    chance_K1 = torch.tensor([[row.chance()] for row in rows], dtype=torch.double, device=exact)
    drawn_K = torch.searchsorted(sums_KV, chance_K1 * sums_KV[:, -1:], right=True)[:, 0]
    drawn_K = drawn_K.clamp(max=logits_KV.shape[-1] - 1).to(device)
    greedy_K = torch.tensor([row.temperature <= 0 for row in rows], device=device)
    ids_K = torch.where(greedy_K, logits_KV.argmax(dim=-1), drawn_K)
    return ids_K, logprobs_KV.gather(-1, ids_K[:, None])[:, 0]
